"""Paths between three hypervisors and a border: a tunnel that breaks is named in `status`, and heals again.

What breaks is VXLAN alone: UDP port 4789 of one host is dropped in the underlay, while BGP and ping go on. Or
the MACs of VTEPs are not known, which the userspace data path would not mend by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from topologies.deadline import until
from topologies.faults import Way, loss
from topologies.lab import Lab
from topologies.nodes.frr import UPLINK
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.outside import BORDER_ADDRESS, SERVER, Outside
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, Frame
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


def vm1(lab: Outside, tenant: str) -> Workload:
    return next(w for w in lab.base.workloads if (w.tenant, w.port) == (tenant, "vm1"))


@contextmanager
def silent_to_arp(lab: Outside) -> Iterator[None]:
    """The border takes no part in ARP."""
    lab.border.run(f"ip link set {UPLINK} arp off")
    try:
        yield
    finally:
        lab.border.run(f"ip link set {UPLINK} arp on")


def forget_neighbours(host: Hypervisor) -> None:
    """Open vSwitch's own and the kernel's, and no cached flow has them any more."""
    host.run("ip neighbour flush all")
    host.appctl("tnl/neigh/flush")
    host.appctl("revalidator/wait")


def asks_for_the_border(frame: Frame) -> bool:
    """An ARP request (RFC 826)."""
    target = bytes(map(int, BORDER_ADDRESS.split(".")))
    return frame.raw[12:14] == b"\x08\x06" and frame.raw[20:22] == b"\x00\x01" and frame.raw[38:42] == target


def test_a_border_that_did_not_answer_at_first_is_reached(outside_lab: Outside) -> None:
    """Nobody probes it, and packets that wait for its MAC ask for it but once with userspace's data path."""
    one = vm1(outside_lab, "blue")
    host = next(h for h in outside_lab.lab.hypervisors if h.name == one.host)
    assert ping(one.vm, SERVER[0], 3).complete
    with silent_to_arp(outside_lab), Capture(outside_lab.border, UPLINK) as capture:
        forget_neighbours(host)
        assert capture.await_frame(asks_for_the_border)  # the control

        def lost_in_silence() -> bool:
            before = len(capture.matching(asks_for_the_border))
            reached = ping(one.vm, SERVER[0], 30, 0.1, wait=0.1).reached
            return not reached and len(capture.matching(asks_for_the_border)) == before

        until("packets are lost, and nobody asks", lost_in_silence, 60)
    until("its VM reaches the server", lambda: ping(one.vm, SERVER[0], 1, wait=0.5).reached, 60)


def test_a_host_that_lost_its_neighbours_again_and_again_is_not_cut_off(outside_lab: Outside) -> None:
    """While their answers are forwarded by cached flows, Open vSwitch's own data path does not read them."""
    one = vm1(outside_lab, "red")
    host = next(h for h in outside_lab.lab.hypervisors if h.name == one.host)
    other = next(w for w in outside_lab.base.workloads if w.tenant == "red" and w.host != one.host)
    for _ in range(3):
        forget_neighbours(host)
        for to in (other.addresses[0], SERVER[0]):
            until(f"it reaches {to}", lambda to=to: ping(one.vm, to, 1, wait=0.5).reached, 60)
