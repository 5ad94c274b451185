"""Two tenants with the same addresses: everyone reaches its own only; a cut cable cuts exactly its cells."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from topologies import faults
from topologies.deadline import until
from topologies.matrix import Matrix, measure
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer

pytestmark = pytest.mark.integration


def expected(scenario: TwoTenants, apart: frozenset[str] = frozenset()) -> frozenset[tuple[str, str, int]]:
    """Cells that must be reached when the hosts `apart` are cut off."""
    return frozenset(
        (a.name, b.name, version)
        for a in scenario.workloads
        for b in scenario.workloads
        for version in (4, 6)
        if a is not b and a.tenant == b.tenant and (a.host == b.host or not {a.host, b.host} & apart)
    )


@pytest.mark.parametrize(("hypervisors", "routed"), [(2, False), (4, True)])
def test_each_tenant_reaches_its_own_and_nothing_else(
    two_tenants_lab: Callable[..., TwoTenants], hypervisors: int, routed: bool
) -> None:
    scenario = two_tenants_lab(hypervisors, routed=routed)
    scenario.await_reachability()
    matrix = measure(scenario.workloads)
    assert matrix.reach() == expected(scenario)
    assert matrix.leaks() == ()
    for tenant in ("red", "blue"):
        here, there = scenario.of(tenant)[:2]
        for address in there.addresses:
            sent = transfer(here.vm, there.vm, address, 1 << 20)
            assert sent.received == 1 << 20


def test_a_cut_cable_changes_exactly_its_cells(two_tenants_lab: Callable[..., TwoTenants]) -> None:
    scenario = two_tenants_lab(4, routed=True)
    scenario.await_reachability()
    assert measure(scenario.workloads).reach() == expected(scenario)
    victim = str(scenario.lab.hypervisors[2].name)
    with faults.host_link_down(scenario.lab, victim):
        cut = measured_without_control_over_the_cut(scenario, victim)
    assert cut.reach() == expected(scenario, frozenset({victim}))
    assert cut.leaks() == ()
    scenario.await_reachability(90)
    assert measure(scenario.workloads).reach() == expected(scenario)


def measured_without_control_over_the_cut(scenario: TwoTenants, victim: str) -> Matrix:
    """The cut is seen by a ping first: what is measured is the state after it."""
    inside, outside = scenario.at("red", victim), scenario.of("red")[0]
    until("the cable is cut", lambda: not ping(outside.vm, inside.ipv4, 1, wait=0.3).reached, 20)
    return measure(scenario.workloads)


def test_without_bgp_nothing_crosses_hosts(two_tenants_lab: Callable[..., TwoTenants]) -> None:
    scenario = two_tenants_lab(2)
    scenario.await_reachability()
    here, there = scenario.of("red")[:2]
    assert ping(here.vm, there.ipv4, 1).reached
    scenario.control.run("freeze", here.host)  # positive control of the CLI itself comes with its exit code
    scenario.control.run("unfreeze", here.host)
    for speaker in scenario.control.speakers.values():
        speaker.stop()
    for reflector in scenario.lab.reflectors:
        reflector.kill()
    for agent in scenario.control.agents.values():
        agent.stop()
    for host in scenario.lab.hypervisors:
        for path in (host.directory / "agent").glob("snapshot.json"):
            path.unlink()
        host.ofctl("del-flows", host.management)
    for agent in scenario.control.agents.values():
        agent.start()
    scenario.control.await_bound()
    # the ports live, the store says where each one is: yet without a route nothing may cross
    until("flows are back", lambda: local_flows(scenario, here.host), 30)
    assert not ping(here.vm, there.ipv4, 3, wait=0.5).reached
    assert not ping(here.vm, there.ipv6, 3, wait=0.5).reached
    for reflector in scenario.lab.reflectors:
        reflector.revive()
    for speaker in scenario.control.speakers.values():
        speaker.start()
    scenario.await_reachability(90)


def local_flows(scenario: TwoTenants, name: str) -> bool:
    host = scenario.lab.node(name)
    return "priority=100,in_port=2" in host.ofctl("dump-flows", host.management, "table=0")
