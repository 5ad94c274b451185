"""The check of size: who takes it, what becomes of packets that are too large, and what changes it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from model.change import Change, Part
from model.ids import NetworkKey, PortKey
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.compile import compile, recompile
from pipelines.walk import SIZE
from tests.fakes import packets, world
from tests.fakes.switch import CONTROLLER, Switch, Verdict
from tests.unit.pipelines.test_walks import A1, A3, M1, M3, S1, S3

FITS = 1450 + 14
PACKETS = (packets.ipv4(M1, M3, A1, A3), packets.ipv6(M1, M3, S1, S3))


def send(packet: dict[str, int], octets: int, snapshot: Snapshot) -> Verdict:
    return Switch.of(compile(snapshot).flows()).receive(packet | {"in_port": 1, SIZE: octets})


def names(verdict: Verdict) -> set[str]:
    return {flow.shape.name for _, flow in verdict.path if flow is not None}


@pytest.mark.parametrize("packet", PACKETS)
def test_what_is_too_large_goes_to_the_agent_and_to_no_account(packet: dict[str, int]) -> None:
    verdict = send(packet, FITS + 1, world.qualified())
    assert verdict.ports == (CONTROLLER,)
    told = verdict.path[-1][1]
    assert told is not None and told.shape.name == "oversize-told"
    assert cookies.parse(told.cookie) == cookies.Cookie(
        cookies.Kind.TOLD,
        network=NetworkKey(1),
        tenant=world.two_tenants().networks[NetworkKey(1)].tenant,
        reason=cookies.Reason.TOO_BIG,
    )
    assert not any(name.startswith("account") for name in names(verdict))


@pytest.mark.parametrize("packet", PACKETS)
def test_what_fits_goes_its_way(packet: dict[str, int]) -> None:
    verdict = send(packet, FITS, world.qualified())
    assert verdict.ports == (world.TUNNEL,)
    assert "oversize-miss" in names(verdict)


@pytest.mark.parametrize("packet", PACKETS)
def test_a_port_that_cannot_send_too_much_is_not_checked(packet: dict[str, int]) -> None:
    verdict = send(packet, FITS, world.two_tenants())
    assert verdict.ports == (world.TUNNEL,)
    assert "size-miss" in names(verdict) and "oversize-miss" not in names(verdict)


def test_a_network_without_gateway_checks_nothing() -> None:
    """Nobody there could answer."""
    before = world.qualified()
    flat = replace(before.networks[NetworkKey(1)], routed=False)
    made = compile(world.with_part(before, Part.NETWORK, flat.key, flat))
    assert not [
        flow for flow in made.flows() if flow.shape.name.startswith(("size-checked", "oversize-told"))
    ]


def test_a_changed_mtu_of_network_or_interface_changes_the_check_alone() -> None:
    before = world.qualified()
    key = PortKey(11)
    network = replace(before.networks[NetworkKey(1)], mtu=1500)
    uid = before.ports[key].uid
    interface = replace(before.interfaces[uid], mtu=1450)
    for part, name, value in ((Part.NETWORK, network.key, network), (Part.INTERFACE, uid, interface)):
        after = world.with_part(before, part, name, value)
        program, patch = recompile(compile(before), before, after, [Change(part, name)])
        assert set(program.flows()) == set(compile(after).flows())
        gone = {flow.shape.name for _, drop in patch.groups for flow in drop}
        made = {flow.shape.name for add, _ in patch.groups for flow in add}
        assert gone == {"size-checked4", "size-checked6", "oversize-told"} and not made
