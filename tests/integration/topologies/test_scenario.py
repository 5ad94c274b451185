"""The scenario of two tenants: the product comes up in it, and every one of its processes can be hurt.

Place: proves the lab for the other integration tests; what the product promises is tested there.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from topologies import faults
from topologies.deadline import until
from topologies.process import Daemon
from topologies.scenarios.two_tenants import TENANTS, TwoTenants
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    found = two_tenants_lab(2, frr_hosts=1)
    found.await_reachability()
    return found


def test_same_addresses_in_both_tenants(scenario: TwoTenants) -> None:
    red, blue = (scenario.of(tenant) for tenant in TENANTS)
    assert [w.addresses for w in red] == [w.addresses for w in blue]
    assert not {w.uid for w in red} & {w.uid for w in blue}
    assert len(red) == 3


def test_every_pair_of_a_tenant_by_both_families(scenario: TwoTenants) -> None:
    for tenant in TENANTS:
        for here in scenario.of(tenant):
            for there in scenario.of(tenant):
                if here is not there:
                    for address in there.addresses:
                        assert ping(here.vm, address, 2).reached, (here.name, there.name, address)


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_tcp_across_hosts(scenario: TwoTenants, family: int) -> None:
    here, there = scenario.at("red", "hv1"), scenario.at("red", "hv2")
    result = transfer(here.vm, there.vm, there.addresses[family], 1 << 18)
    assert result.intact, result


def _daemon(scenario: TwoTenants, name: str) -> Daemon:
    control = scenario.control
    return {
        "store": control.store,
        "api": control.api,
        "speaker": control.speakers["hv1"],
        "agent": control.agents["hv1"],
    }[name]


@pytest.mark.parametrize("name", ["api", "store", "agent", "speaker"])
def test_each_process_is_killed_and_back(scenario: TwoTenants, name: str) -> None:
    daemon = _daemon(scenario, name)
    before = daemon.pid
    daemon.kill()
    assert not daemon.running
    daemon.start()
    assert daemon.running and daemon.pid != before
    scenario.await_reachability()
    until("the CLI answers", lambda: scenario.control.run("get", "ports").ok, 30)


def test_frozen_process_thaws(scenario: TwoTenants) -> None:
    daemon = _daemon(scenario, "agent")
    with faults.frozen(daemon):
        assert _state(daemon.pid) == "T"
    until("it runs again", lambda: _state(daemon.pid) != "T", 10)


def _state(pid: int) -> str:
    """Third field of /proc/PID/stat (proc(5)): T is stopped."""
    with open(f"/proc/{pid}/stat") as stream:
        return stream.read().rpartition(")")[2].split()[0]


def test_crashed_host_comes_back_with_its_vms(scenario: TwoTenants) -> None:
    hypervisor = scenario.lab.node("hv2")
    here, there = scenario.at("red", "hv1"), scenario.at("red", "hv2")
    faults.crash(scenario.lab, hypervisor)
    assert not ping(here.vm, there.ipv4, 1, wait=0.3).reached
    faults.boot(scenario.lab, hypervisor)
    scenario.control.revive("hv2")
    scenario.await_reachability()
