"""A workload moves to another host with its port: blocked there until it announces itself, then it is there.

Two hypervisors. The VM of red that moves is `roamer`: on its second host it is another namespace with the
same MAC and addresses, as a live migration leaves it: first paused, then running. Losses are printed, not
judged.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from tests.integration.product.witness import Guest, seat
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor, plug, unplug
from topologies.nodes.vm import Vm
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.announce import gratuitous, rarp
from topologies.traffic.capture import Capture, beacon, contains, incoming
from topologies.traffic.frames import inject
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

NUMBER = 77


@dataclass
class Stage:
    """`here` is the roamer where it lives, `peer` a neighbour on the first host."""

    scenario: TwoTenants
    peer: Workload
    here: Workload
    count: int = 0

    def cli(self, *arguments: str) -> subprocess.CompletedProcess | object:
        return self.scenario.control.run(*arguments)

    def status(self) -> dict:
        (port,) = self.scenario.control.get("ports", self.here.port, "--tenant", self.here.tenant)
        return port["status"]

    def host(self, name: str) -> Hypervisor:
        return next(h for h in self.scenario.lab.hypervisors if str(h.name) == name)

    def other(self) -> str:
        return next(str(h.name) for h in self.scenario.lab.hypervisors if str(h.name) != self.here.host)

    def prepare(self) -> Workload:
        """Plug the roamer in on the other host, paused: its interface is down."""
        self.count += 1
        vm: Vm = self.scenario.lab.vm(f"roam{self.count}")
        name, ifname = self.other(), f"tap-{vm.name}"
        plug(self.host(name), vm, ifname, self.here.uid, self.here.mac, self.here.cidrs)
        vm.run("ip link set eth0 down")
        return Workload(
            self.here.tenant, self.here.port, self.here.uid, self.here.mac, self.here.cidrs, name, vm, ifname
        )

    def resume(self, there: Workload) -> None:
        """The workload stops here and runs there, still silent."""
        self.here.vm.run("ip link set eth0 down")
        there.vm.run("ip link set eth0 up")
        # a link that comes up has no IPv6 address left
        for cidr in there.cidrs:
            if ":" in cidr:
                there.vm.run(f"ip address replace {cidr} dev eth0 nodad")

    def settled(self, there: Workload) -> None:
        """The old side is gone, as after a migration."""
        old, self.here = self.here, there
        unplug(self.host(old.host), old.ifname)

    def reaches(self, address: str) -> bool:
        return ping(self.peer.vm, address, 1, wait=0.5).reached


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(2)
    first, second = (str(h.name) for h in scenario.lab.hypervisors[:2])
    (roamer,) = seat(scenario, [Guest("red", "net", "roamer", NUMBER, (second, first))])
    scenario.await_reachability()
    made = Stage(scenario, scenario.at("red", first), roamer)
    for address in roamer.addresses:
        until(f"reaches the roamer at {address}", lambda address=address: made.reaches(address), 30)
    return made


def announcing(stage: Stage, there: Workload, how: str) -> None:
    """Again and again, as hypervisors and guests do, until the port is there."""

    def said() -> bool:
        if how == "rarp":
            inject(there.vm, "eth0", [rarp(there.mac)])
        elif how == "arp":
            inject(there.vm, "eth0", [gratuitous(there.mac, there.ipv4)])
        return bool(stage.status()["host"] == there.host)

    until(f"the port lives on {there.host}", said, 20)


@pytest.mark.parametrize("how", ["rarp", "arp"])
def test_a_port_moves_when_its_workload_announces_itself(stage: Stage, how: str) -> None:
    there = stage.prepare()
    before = stage.status()
    moving = stage.scenario.control.run("migrate", "roamer", "--tenant", "red", "--to", there.host)
    assert moving.ok, moving.stderr
    until("the target reports it as moving", lambda: stage.status().get("movingTo") == there.host, 10)
    with Capture(stage.peer.vm) as capture:
        marker = os.urandom(16)
        capture.confirm(beacon(stage.here.vm, stage.peer.ipv4, marker), incoming(contains(marker)))
        with UdpStream(stage.peer.vm, there.vm, there.ipv4, rate=500) as stream:
            until("the stream runs", lambda: stream.sent > 50, 10)
            paused = stream.sent
            stage.resume(there)
            # silent so far: whatever else it says, nothing comes out
            sign = os.urandom(16)
            body = IP(src=there.ipv4, dst=stage.peer.ipv4) / UDP(sport=7, dport=7) / sign
            inject(there.vm, "eth0", [Ether(src=there.mac, dst=stage.peer.mac) / body] * 5)
            assert stage.status()["host"] == stage.here.host
            announcing(stage, there, how)
            count = stream.received
            until("the stream arrives at the new place", lambda: stream.received > count, 20)
            result = stream.stop()
        control = os.urandom(16)
        capture.confirm(beacon(there.vm, stage.peer.ipv4, control), incoming(contains(control)))
        assert not capture.leaks(incoming(contains(sign)))
    stage.settled(there)
    after = stage.status()
    assert (after["host"], after["sequence"]) == (there.host, before["sequence"] + 1)
    assert "movingTo" not in after
    lost = result.sent - paused - result.received
    print(f"migration by {how}: {lost} datagrams lost from the pause on, at 500/s, silence included")
    for address in there.addresses:
        until(f"reached at {address} there", lambda address=address: stage.reaches(address), 20)


def test_the_operator_can_say_that_it_is_there(stage: Stage) -> None:
    there = stage.prepare()
    stage.resume(there)
    moving = stage.scenario.control.run(
        "migrate", "roamer", "--tenant", "red", "--to", there.host, "--activate"
    )
    assert moving.ok, moving.stderr
    until(f"the port lives on {there.host}", lambda: stage.status()["host"] == there.host, 20)
    stage.settled(there)
    for address in there.addresses:
        until(f"reached at {address} there", lambda address=address: stage.reaches(address), 20)


def test_a_migration_that_is_called_off_leaves_the_port_where_it_is(stage: Stage) -> None:
    there = stage.prepare()
    control = stage.scenario.control
    assert control.run("migrate", "roamer", "--tenant", "red", "--to", there.host).ok
    until("it is moving", lambda: stage.status().get("movingTo") == there.host, 10)
    assert control.run("migrate", "roamer", "--tenant", "red", "--cancel").ok
    until("it is not", lambda: "movingTo" not in stage.status(), 10)
    there.vm.run("ip link set eth0 up")
    inject(there.vm, "eth0", [rarp(there.mac)] * 5)
    until("still reached where it was", lambda: stage.reaches(stage.here.ipv4), 10)
    assert stage.status()["host"] == stage.here.host
    unplug(stage.host(there.host), there.ifname)


def test_a_disabled_port_passes_nothing_and_comes_back(stage: Stage) -> None:
    control, port = stage.scenario.control, stage.here
    (document,) = control.get("ports", port.port, "--tenant", port.tenant)
    document.pop("status")
    control.apply([document | {"spec": document["spec"] | {"enabled": False}}])
    until("it says so", lambda: stage.status()["state"] == "disabled", 20)
    until("it is not reached", lambda: not stage.reaches(port.ipv4), 10)
    control.apply([document | {"spec": document["spec"] | {"enabled": True}}])
    for address in port.addresses:
        until(f"reached again at {address}", lambda address=address: stage.reaches(address), 20)
    assert stage.status()["state"] == "active"
