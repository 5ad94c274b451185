"""Flows of a group of ports that the same rules judge are among those of each of its ports, and say so."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bgp.table import Limits
from controller.agent import core, listing
from controller.agent.core import Core
from controller.agent.naming import names
from controller.southbound.openflow.dump import parse
from controller.southbound.openflow.encoder import Encoder
from model.ids import HostName, PortKey
from pipelines import cookies
from pipelines.compile import compile
from tests.fakes import world
from tests.fakes.governed import tiered

WEB, BESIDE, RIVAL = PortKey(11), PortKey(12), PortKey(21)
"""Two of one tenant, which are judged alike, and one of another."""


@pytest.fixture(scope="module")
def state() -> Core:
    snapshot = tiered(world.two_tenants())
    start = core.start(HostName("hv1"), None, Limits())
    return replace(start, effective=snapshot, program=compile(snapshot))


def chosen(state: Core, **wanted: int) -> list[dict[str, Any]]:
    flows = list(state.program.flows())
    three = (wanted.get(name, 0) for name in ("port", "network", "tenant"))
    told = listing.flows(
        listing.Choice(None, *three, limit=2_000),
        names(state.effective),
        state.program.index.policed.judged,
        lambda: tuple({flow.shape.table for flow in flows}),
        lambda table: parse(Encoder().rows([flow for flow in flows if flow.shape.table == table])),
        lambda: 0.0,
    )
    return list(told["flows"])


def of_group(state: Core, port: PortKey) -> list[str]:
    """Cookies of the flows of a port's group, as they were compiled."""
    cookie = cookies.group(state.program.index.policed.judged[port])
    return [f"{flow.cookie:#018x}" for flow in state.program.flows() if flow.cookie == cookie]


def test_a_port_s_flows_are_those_of_its_group_too(state: Core) -> None:
    assert of_group(state, WEB) == of_group(state, BESIDE) != of_group(state, RIVAL)
    for port in (WEB, BESIDE, RIVAL):
        rows = chosen(state, port=port)
        shared = [row["cookie"] for row in rows if row["shared"]]
        assert shared == of_group(state, port) != []
        assert {row["owner"] for row in rows if row["shared"]} == {"ports that the same rules judge (2)"}
        assert [row for row in rows if not row["shared"]], "and its own"


def test_a_tenant_s_and_a_network_s_flows_are_those_of_its_ports_groups(state: Core) -> None:
    network = state.effective.ports[WEB].network
    for wanted in ({"tenant": 1}, {"network": network}, {"network": network, "port": WEB}):
        assert {row["cookie"] for row in chosen(state, **wanted) if row["shared"]} == {*of_group(state, WEB)}
    assert not [row for row in chosen(state, network=network, port=RIVAL) if row["shared"]]


def test_in_a_table_of_many_flows_they_are_found_as_well(
    state: Core, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "MOST", 1)
    shared = [row["cookie"] for row in chosen(state, port=WEB) if row["shared"]]
    assert shared == of_group(state, WEB) != []
