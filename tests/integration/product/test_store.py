"""The store goes, comes back, or comes back as another: the data plane stays, and the operator is asked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from topologies.deadline import until
from topologies.scenarios.two_tenants import TwoTenants, hypervisors
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration


@pytest.fixture
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    made = two_tenants_lab(2)
    made.await_reachability()
    return made


def all_in(scenario: TwoTenants, state: str) -> bool:
    found = scenario.control.hosts()
    return len(found) == 2 and all(h["state"] == state for h in found.values())


def flows(scenario: TwoTenants) -> dict[str, int]:
    return {
        str(h.name): h.ofctl("dump-flows", h.management).count("cookie=0x52f1")
        for h in scenario.lab.hypervisors
    }


def test_store_killed_and_back_loses_nothing(scenario: TwoTenants) -> None:
    here, there = scenario.of("red")[:2]
    until("in sync", lambda: all_in(scenario, "in-sync"), 30)
    with UdpStream(here.vm, there.vm, there.ipv4, rate=500) as stream:
        scenario.control.store.kill()
        # an agent that starts now has its snapshot only
        agent = scenario.control.agents[there.host]
        agent.kill()
        agent.start()
        scenario.control.store.start()
        until("in sync", lambda: all_in(scenario, "in-sync"), 60)
        result = stream.stop()
    assert result.sent > 200 and result.lost == 0, result


def test_freeze_holds_changes_and_unfreeze_lets_them_through(scenario: TwoTenants) -> None:
    here = scenario.of("red")[0]
    control = scenario.control
    until("in sync", lambda: all_in(scenario, "in-sync"), 30)
    assert control.run("freeze", here.host).ok
    until("frozen", lambda: scenario.control.hosts()[here.host]["state"] == "frozen", 30)
    before = flows(scenario)[here.host]
    control.apply([egress_class("storage", "198.51.100.0/24")])
    until("the other host has it", lambda: flows(scenario)[scenario.of("red")[1].host] > before, 30)
    assert flows(scenario)[here.host] == before
    assert control.run("unfreeze", here.host).ok
    until("thawed", lambda: all_in(scenario, "in-sync"), 30)
    until("the change came through", lambda: flows(scenario)[here.host] > before, 30)
    assert control.run("delete", "egressclass", "storage").ok
    until("the class is gone", lambda: set(flows(scenario).values()) == {before}, 30)


def egress_class(name: str, prefix: str) -> dict[str, Any]:
    return {
        "apiVersion": "ringfence/v1",
        "kind": "EgressClass",
        "metadata": {"name": name},
        "spec": {"prefixes": [prefix]},
    }


def test_store_replaced_by_an_empty_one_deletes_nothing_and_asks(scenario: TwoTenants) -> None:
    here, there = scenario.of("blue")[:2]
    control = scenario.control
    until("in sync", lambda: all_in(scenario, "in-sync"), 30)
    before = flows(scenario)
    with UdpStream(here.vm, there.vm, there.ipv4, rate=500) as stream:
        control.api.stop()
        control.store.stop()
        shutil.rmtree(scenario.lab.directory.path / "store")
        control.store.start()
        control.api.start()
        control.apply(hypervisors(scenario.lab))
        until("both hosts ask", lambda: all_in(scenario, "frozen"), 60)
        result = stream.stop()
    assert result.sent > 200 and result.lost == 0, result
    assert flows(scenario) == before
    reason = scenario.control.hosts()[here.host]["reason"]
    assert "other-cluster" in reason and f"ringfence confirm {here.host}" in reason
    # a restart of the agent must not forget to ask
    agent = control.agents[here.host]
    agent.kill()
    agent.start()
    until("it asks again", lambda: all_in(scenario, "frozen"), 60)
    assert flows(scenario) == before
    assert ping(here.vm, there.ipv4, 3).reached
    # only the operator's word, host by host, makes the new store's emptiness true
    assert control.run("confirm", here.host).ok
    until("confirmed", lambda: scenario.control.hosts()[here.host]["state"] != "frozen", 30)
    until("its ports are gone", lambda: flows(scenario)[here.host] < before[here.host], 30)
    assert flows(scenario)[there.host] == before[there.host]
    assert scenario.control.hosts()[there.host]["state"] == "frozen"
