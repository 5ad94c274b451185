"""An Ethernet segment of two leaves without our agent: all-active, and what a mass withdrawal does.

GoBGP is each leaf's voice, a kernel bridge with a VXLAN device its data plane; FRR reflects. The server
behind both has a bridge in place of a bond, which this machine's kernel lacks: it learns behind which leaf a
host of ours is heard, and forgets that when the link goes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.product.extra import document
from tests.integration.product.witness import vni as vni_of
from topologies.deadline import until
from topologies.fabrics import ASN, BRIDGE, UNDERLAY_MTU
from topologies.nodes.gobgp import UPLINK, GobgpNode
from topologies.nodes.link import VM_MTU, End, link, offloads_off
from topologies.nodes.vm import INTERFACE, Vm
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.ping import ping
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import UdpStream

pytestmark = [pytest.mark.integration, pytest.mark.long]

LEAVES = {"leaf1": "172.16.0.131", "leaf2": "172.16.0.132"}
WORDS = "esi lacp 02:aa:bb:cc:dd:01 7"
SEGMENT = "01:02:aa:bb:cc:dd:01:00:07:00"
OTHER = "esi lacp 02:aa:bb:cc:dd:02 7"
SERVER = ("10.0.0.150", "fd00:10::150")
SILENT = 6
"""Ports behind the segment besides the server: MACs only."""


@dataclass
class Leaf:
    """A VTEP: what it says, and the bridge that does it. `down`: the name of its link to the server."""

    node: GobgpNode
    vni: int

    @property
    def tail(self) -> str:
        return f"rd {self.node.address}:9 rt {ASN}:{self.vni} encap vxlan"

    def whole(self, words: str = WORDS) -> str:
        return f"a-d {words} etag {0xFFFFFFFF} label 0 {self.tail} esi-label 0"

    def per_evi(self) -> str:
        return f"a-d {WORDS} etag 0 label {self.vni} {self.tail}"

    def member(self) -> str:
        return f"esi {self.node.address} {WORDS} {self.tail}"

    def mac(self, mac: str, address: str = "0.0.0.0") -> str:
        return f"macadv {mac} {address} {WORDS} etag 0 label {self.vni} {self.tail}"


@dataclass
class Stage:
    scenario: TwoTenants
    leaves: dict[str, Leaf]
    server: Vm
    macs: tuple[str, ...]
    """Behind the segment, the server's first."""

    def items(self, what: str, host: str = "hv1", *more: str) -> list[dict[str, Any]]:
        done = self.scenario.control.run("evpn", what, "--host", host, *more, "-o", "json")
        assert done.ok, done.stderr
        return list(json.loads(done.stdout)["items"])

    def places(self, host: str = "hv1") -> dict[str, str]:
        """MAC behind the segment -> the VTEP that the host uses."""
        rows = self.items("routes", host, "--type", "2")
        return {row["mac"]: row["vtep"] for row in rows if row["segment"] == SEGMENT}

    def at(self, vtep: str) -> Leaf:
        return next(leaf for leaf in self.leaves.values() if leaf.node.address == vtep)

    def link(self, leaf: Leaf, state: str) -> None:
        """The leaf's link to the server: up or down."""
        leaf.node.run(f"ip link set srv0 {state}")


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Stage:
    scenario = two_tenants_lab(2)
    scenario.await_reachability()
    control, lab = scenario.control, scenario.lab
    spec = {"external": True, "segments": [SEGMENT]}
    ports = [{"network": "net", "addresses": list(SERVER), "hosts": list(LEAVES)}]
    ports += [{"network": "net", "addresses": [], "hosts": list(LEAVES)}] * SILENT
    control.apply(
        [
            *(document("Hypervisor", name, {"vtep": vtep} | spec) for name, vtep in LEAVES.items()),
            *(document("Port", f"behind{n}", port, "red") for n, port in enumerate(ports)),
        ]
    )
    found = {p["metadata"]["name"]: p["spec"]["mac"] for p in control.get("ports", "--tenant", "red")}
    macs = tuple(found[f"behind{n}"] for n in range(len(ports)))
    number = vni_of(scenario, "red")
    server = lab.vm("server")
    server.run(f"ip link add {INTERFACE} address {macs[0]} mtu {VM_MTU} type bridge forward_delay 0")
    fabric, leaves = lab.nodes[BRIDGE], {}
    for name, vtep in LEAVES.items():
        node = GobgpNode(name, lab.cell, lab.directory, f"{vtep}/24")
        lab.add(node)
        link(End(node, UPLINK), End(fabric, name), UNDERLAY_MTU)
        fabric.attach(name)  # type: ignore[attr-defined]
        link(End(node, "srv0"), End(server, name), VM_MTU)
        server.run(f"ip link set {name} master {INTERFACE} up")
        node.start(ASN, [r.address for r in lab.reflectors])
        leaves[name] = Leaf(node, number)
        _bridge(scenario, leaves[name])
    server.run(f"{offloads_off(INTERFACE)}\nip link set {INTERFACE} up")
    server.configure(macs[0], [f"{SERVER[0]}/24", f"{SERVER[1]}/64"])
    for workload in scenario.of("red"):  # what a leaf would answer from RT-2
        for address in workload.addresses:
            server.run(f"ip neigh replace {address} lladdr {workload.mac} dev {INTERFACE} nud permanent")
    return Stage(scenario, leaves, server, macs)


def _bridge(scenario: TwoTenants, leaf: Leaf) -> None:
    """The leaf's kernel: the server's link and a VXLAN device, which knows our VMs as RT-2 would say."""
    leaf.node.run(
        "ip link add br0 type bridge forward_delay 0 mcast_snooping 0\nip link set br0 up\n"
        f"ip link add vx0 type vxlan id {leaf.vni} dstport 4789 local {leaf.node.address} nolearning\n"
        f"ip link set vx0 master br0 up mtu {VM_MTU}\nbridge link set dev vx0 learning off\n"
        "ip link set srv0 master br0"
    )
    for workload in scenario.of("red"):
        vtep = next(h for h in scenario.lab.hypervisors if h.name == workload.host).underlay
        leaf.node.run(
            f"bridge fdb replace {workload.mac} dev vx0 dst {vtep} self static\n"
            f"bridge fdb replace {workload.mac} dev vx0 master static"
        )


def test_macs_wait_until_their_segment_is_said(stage: Stage) -> None:
    first = stage.leaves["leaf1"]
    for mac in stage.macs:
        first.node.say(first.mac(mac))
    for address in SERVER:
        first.node.say(first.mac(stage.macs[0], address))

    def waiting() -> bool:
        rows = [r for r in stage.items("rejected") if r["code"] == "segment-waiting"]
        return len(rows) == len(stage.macs) + len(SERVER) and all(SEGMENT in r["reason"] for r in rows)

    until("hv1 lists them as waiting", waiting, 30)
    assert stage.places() == {}
    assert not ping(stage.scenario.at("red", "hv1").vm, SERVER[0], 1, wait=0.5).reached


def test_both_leaves_serve_an_all_active_segment(stage: Stage) -> None:
    for leaf in stage.leaves.values():
        for route in (leaf.whole(), leaf.per_evi(), leaf.member()):
            leaf.node.say(route)
    for host in ("hv1", "hv2"):
        until(
            f"{host} spreads the MACs over both",
            lambda host=host: set(stage.places(host).values()) == set(LEAVES.values()),
            30,
        )
    until("hv1 has all RT-4", lambda: len(stage.items("routes", "hv1", "--type", "4")) == 2, 30)
    assert set(stage.places()) == set(stage.macs)
    assert stage.places("hv1") == stage.places("hv2")
    rows = stage.items("routes", "hv1", "--type", "1")
    said = {(row["network"], row["vtep"], row["mode"]) for row in rows}
    assert said == {
        (network, vtep, "" if network else "all-active")
        for network in ("", "red/net")
        for vtep in LEAVES.values()
    }
    assert {row["segment"] for row in stage.items("routes", "hv1", "--type", "4")} == {SEGMENT}
    assert stage.items("rejected") == []


@pytest.mark.parametrize("family", [4, 6])
def test_packets_pass_both_ways(stage: Stage, family: int) -> None:
    for host in ("hv1", "hv2"):
        inside, address = stage.scenario.at("red", host), SERVER[family == 6]
        until(f"{host} reaches it", lambda i=inside, a=address: ping(i.vm, a, 1, wait=0.5).reached, 30)
        own = inside.ipv4 if family == 4 else inside.ipv6
        for here, there, goal in ((inside.vm, stage.server, address), (stage.server, inside.vm, own)):
            assert ping(here, goal, 3).complete, f"{here.name} to {goal}"
            with UdpStream(here, there, goal, rate=500, size=1000, limit=100) as stream:
                result = stream.finish()
            assert (result.sent, result.lost) == (100, 0), result
            assert transfer(here, there, goal, 100_000).intact
    other = stage.scenario.at("blue", "hv1")
    assert not ping(other.vm, SERVER[family == 6], 1, wait=0.5).reached


def test_a_leaf_speaks_for_its_declared_segments_only(stage: Stage) -> None:
    leaf = stage.leaves["leaf2"]
    leaf.node.say(leaf.whole(OTHER))
    until("refused", lambda: [r["code"] for r in stage.items("rejected")] == ["segment"], 30)
    leaf.node.take_back(leaf.whole(OTHER))
    until("gone", lambda: stage.items("rejected") == [], 30)


def test_a_mass_withdrawal_moves_the_traffic(stage: Stage) -> None:
    """The leaf in use loses its link to the server and takes back one route; its RT-2 stay."""
    inside, before = stage.scenario.at("red", "hv1"), stage.places()
    leaf = stage.at(before[stage.macs[0]])
    (spare,) = (one for one in stage.leaves.values() if one is not leaf)
    with UdpStream(inside.vm, stage.server, SERVER[0], rate=1000, size=200) as stream:
        until("the stream runs", lambda: stream.received > 300, 30)
        stage.link(leaf, "down")
        leaf.node.take_back(leaf.whole())
        until("hv1 uses the other", lambda: set(stage.places().values()) == {spare.node.address}, 30)
        resumed = stream.received
        until("the stream goes on", lambda: stream.received > resumed + 300, 30)
        result = stream.stop()
    print(f"mass withdrawal: {result.lost} of {result.sent} lost, gap {1000 * result.longest_gap:.0f} ms")
    assert set(stage.places()) == set(stage.macs)
    assert ping(inside.vm, SERVER[0], 3).complete and ping(stage.server, inside.ipv4, 3).complete
    with UdpStream(inside.vm, stage.server, SERVER[0], rate=1000, size=200) as stream:
        until("a second stream runs", lambda: stream.received > 300, 30)
        stage.link(leaf, "up")
        leaf.node.say(leaf.whole())
        until("hv1 uses both again", lambda: stage.places() == before, 30)
        resumed = stream.received
        until("the stream goes on", lambda: stream.received > resumed + 300, 30)
        result = stream.stop()
    print(f"and back: {result.lost} of {result.sent} lost, gap {1000 * result.longest_gap:.0f} ms")


def test_without_any_leaf_nothing_is_sent_into_the_dark(stage: Stage) -> None:
    inside = stage.scenario.at("red", "hv1")
    for leaf in stage.leaves.values():
        leaf.node.take_back(leaf.whole())
    until("none is in use", lambda: stage.places() == {}, 30)
    assert not ping(inside.vm, SERVER[0], 1, wait=0.5).reached
    for leaf in stage.leaves.values():
        leaf.node.say(leaf.whole())
    until("the server is back", lambda: ping(inside.vm, SERVER[0], 1, wait=0.5).reached, 30)
