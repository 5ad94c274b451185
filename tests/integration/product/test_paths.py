"""Path probes between three hypervisors: a tunnel that breaks is named in `status`, and heals again.

What breaks is VXLAN alone: UDP port 4789 of one host is dropped in the underlay, while BGP and ping go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from topologies.deadline import until
from topologies.faults import Way, loss
from topologies.lab import Lab
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.outside import Outside
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

PROBES = "tun_id=0xfffffe"
VXLAN = "udp dport 4789"


@contextmanager
def vxlan_lost(lab: Lab, host: str) -> Iterator[None]:
    """VXLAN to and from the host is dropped at the fabric's end of its cable, and nothing else."""
    name, interface = lab.links[host]
    node = lab.node(name)
    with loss(node, interface, 100, VXLAN), loss(node, interface, 100, VXLAN, Way.OUT):
        yield


@pytest.fixture(scope="module")
def scenario(outside_lab: Outside) -> TwoTenants:
    """Three hypervisors; that there is a way out is of no use here, but so this is the lab of others, too."""
    outside_lab.base.await_reachability()
    return outside_lab.base


def report(scenario: TwoTenants, name: str) -> dict:
    return scenario.control.hosts()[name]


def answered(host: Hypervisor) -> int:
    """Probes of others that this switch has sent back."""
    host.appctl("revalidator/purge")
    lines = host.ofctl("dump-flows", host.management, "table=0").splitlines()
    found = (line for line in lines if PROBES in line and "IN_PORT" in line)
    return sum(int(line.partition("n_packets=")[2].partition(",")[0]) for line in found)


def test_switches_answer_each_other_without_their_agents(scenario: TwoTenants) -> None:
    first, second = scenario.lab.hypervisors[:2]
    until("probes come back", lambda: answered(second) > 3, 30)
    scenario.control.agents[str(second.name)].kill()
    before = answered(second)
    until("and go on without the agent", lambda: answered(second) > before + 3, 30)
    assert "path to" not in report(scenario, str(first.name))["reason"]
    scenario.control.agents[str(second.name)].start()


def test_a_broken_tunnel_is_named_and_heals(scenario: TwoTenants) -> None:
    first, second, third = scenario.lab.hypervisors[:3]
    here, there = scenario.at("red", str(first.name)), scenario.at("red", str(third.name))
    until("reached first", lambda: ping(here.vm, there.ipv4, 1, wait=0.5).reached, 20)
    until("all is well", lambda: report(scenario, str(first.name))["state"] == "in-sync", 60)
    with vxlan_lost(scenario.lab, str(third.name)):
        until(
            "named",
            lambda: f"path to {third.vtep_address}" in report(scenario, str(first.name))["reason"],
            60,
        )
        assert not ping(here.vm, there.ipv4, 2, wait=0.3).reached
        # the other one is not blamed, and BGP stands
        assert f"path to {second.vtep_address}" not in report(scenario, str(first.name))["reason"]
        assert "BGP" not in report(scenario, str(first.name))["reason"]
        until(
            "the one that is cut off says so",
            lambda: "no other VTEP answers" in report(scenario, str(third.name))["reason"],
            60,
        )
    until("reached again", lambda: ping(here.vm, there.ipv4, 1, wait=0.5).reached, 30)
    until("well again", lambda: report(scenario, str(first.name))["state"] == "in-sync", 90)
