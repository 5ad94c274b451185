"""A next hop that a real Open vSwitch does not know and would never ask for again, and how it is made to.

The underlay is a bridge with a port of this test's: it sees what Open vSwitch asks, and answers or not.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import SimpleNamespace
from typing import Final, cast

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether

from controller.agent.pathing import Wish
from controller.agent.resolving import Resolving
from controller.southbound import neighbours, unixctl
from model.ids import Mac
from tests.contract.ovs import PrivateOvs, eventually
from topologies.traffic.endpoint import Endpoint, open_socket

ETH_P_IP, ETH_P_ALL = 0x0800, 3
HERE, THERE, BEYOND = "192.0.2.1", "192.0.2.9", "198.51.100.7"
OURS, PEER = "02:00:00:00:00:0a", "02:00:00:00:00:09"
VXLAN: Final = 4789
MANY: Final = 20
TUNNEL: Final = 100
FLOWS: Final = (
    f"priority=1,in_port=1,actions=set_field:{THERE}->tun_dst,set_field:5->tun_id,output:{TUNNEL}",
    "priority=2,ip,in_port=1,nw_dst=10.2.0.9,actions=output:2",
)


@dataclass
class Bench:
    """`inside`, `marks`: into br-int, from where all but marks goes to THERE; `far`: where THERE would be."""

    ovs: PrivateOvs
    inside: socket.socket
    marks: socket.socket
    far: socket.socket

    def send(self, count: int = 1) -> list[Ether]:
        """What the underlay sees of it. Marks say when all is done: the first may overtake, being known."""
        for _ in range(count):
            self.inside.send(frame("10.1.0.1"))
        for _ in range(2):
            self.inside.send(frame("10.2.0.9"))
            self.marks.recv(2000)
        return self.listen()

    def listen(self) -> list[Ether]:
        """What has come to the underlay since."""
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(Ether(self.far.recv(2000)))
        return [one for one in found if one.src != PEER]

    def answer(self) -> None:
        self.far.send(
            bytes(Ether(src=PEER, dst=OURS) / ARP(op=2, hwsrc=PEER, psrc=THERE, hwdst=OURS, pdst=HERE))
        )

    def resolved(self) -> bool:
        return ip_address(THERE) in neighbours.resolved(self.ovs.rundir)

    def launch(self, port: int, fields: tuple[tuple[str, int | str], ...], packet: bytes) -> None:
        """As the agent's session does, by Open vSwitch's own tool."""
        values = ",".join(f"set_field:{value}->{name}" for name, value in fields)
        self.ovs.ofctl(
            "packet-out", f"in_port=CONTROLLER packet={packet.hex()} actions={values},output:{port}"
        )


def frame(destination: str) -> bytes:
    made = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst=destination)
    return bytes(made / UDP(sport=1000, dport=9) / bytes(40))


def questions(seen: list[Ether]) -> int:
    return sum(one.haslayer(ARP) and one[ARP].op == 1 and one[ARP].pdst == THERE for one in seen)


def tunnelled(seen: list[Ether]) -> int:
    return sum(one.haslayer(UDP) and one[UDP].dport == VXLAN for one in seen)


@pytest.fixture
def bench(own_ovs: PrivateOvs) -> Iterator[Bench]:
    own_ovs.lay_bridge(("p1", 1), ("p2", 2))
    own_ovs.vsctl("add-br", "br-phy", "--", "set", "Bridge", "br-phy", "datapath_type=netdev",
                  f'other_config:hwaddr="{OURS}"', "--", "add-port", "br-phy", "far", "--",
                  "set", "Interface", "far", "type=internal")  # fmt: skip
    namespace = ("nsenter", f"--net={own_ovs.namespace()}")
    own_ovs.run(*namespace, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    own_ovs.run(*namespace, "ip", "address", "add", f"{HERE}/24", "dev", "br-phy")
    for name in ("p1", "p2", "br-phy", "far"):
        own_ovs.run(*namespace, "ip", "link", "set", name, "up")
    for flow in FLOWS:
        own_ovs.ofctl("add-flow", flow)
    eventually(lambda: hop(own_ovs, THERE) == THERE, "no route in Open vSwitch")
    node = cast(Endpoint, SimpleNamespace(name="bench", pid=int(own_ovs.namespace().split("/")[2])))
    kind = socket.AF_PACKET, socket.SOCK_RAW
    with (
        open_socket(node, *kind) as inside,
        open_socket(node, *kind) as marks,
        open_socket(node, *kind) as far,
    ):
        inside.bind(("p1", 0))
        marks.bind(("p2", ETH_P_IP))
        marks.settimeout(10)
        far.bind(("far", ETH_P_ALL))
        far.setblocking(False)
        yield Bench(own_ovs, inside, marks, far)


def hop(ovs: PrivateOvs, vtep: str) -> str:
    return str(neighbours.next_hop(ovs.rundir, ip_address(vtep)))


def product(bench: Bench, clock: Iterator[float], stirred: list[int] | None = None) -> Resolving:
    def stir() -> None:
        if stirred is not None:
            stirred.append(1)

    made = Resolving(bench.ovs.rundir, "netdev", bench, frozenset, stir, lambda: next(clock))
    made.want(Wish(frozenset(), TUNNEL, Mac(0x0200_0000_0001), frozenset({ip_address(THERE)})))
    return made


def steps() -> Iterator[float]:
    """A look an hour: nothing is put off."""
    now = 0.0
    while True:
        yield now
        now += 3600.0


def test_a_lost_question_is_asked_again(bench: Bench) -> None:
    assert questions(bench.send())  # the control: it does ask, and gets no answer
    eventually(lambda: not questions(bench.send(MANY)), "cached flows ask by themselves: nothing to be done")
    resolving = product(bench, steps())
    resolving.look()
    assert questions(bench.listen())
    bench.answer()
    eventually(lambda: tunnelled(bench.send()), "nothing gets there")
    resolving.look()
    assert not questions(bench.listen()), "asked though it is known"


def test_an_answer_that_a_cached_flow_forwards_is_read_after_a_purge(bench: Bench) -> None:
    bench.send()
    bench.answer()
    eventually(bench.resolved, "the answer is not read")
    eventually(lambda: tunnelled(bench.send()), "nothing gets there")
    unixctl.call(bench.ovs.rundir, "tnl/neigh/flush")
    eventually(lambda: not tunnelled(bench.send()), "what it forgot is still used")
    for _ in range(MANY):  # the control: answers come, and none is read
        bench.answer()
        bench.send()
    assert not bench.resolved()
    resolving = product(bench, steps())
    eventually(lambda: asked_and_answered(bench, resolving), "no answer is read")
    eventually(lambda: tunnelled(bench.send()), "nothing gets there")


def asked_and_answered(bench: Bench, resolving: Resolving) -> bool:
    resolving.look()
    if questions(bench.listen()):
        bench.answer()
        bench.send()
    return bench.resolved()


def test_what_open_vswitch_brings_in_line_by_itself_is_told(bench: Bench) -> None:
    stirred: list[int] = []
    resolving = product(bench, steps(), stirred)

    def calm() -> bool:
        stirred.clear()
        resolving.look()
        return not stirred

    eventually(calm, "it never rests")
    unixctl.call(bench.ovs.rundir, "tnl/neigh/set", "br-phy", THERE, PEER)
    eventually(lambda: not calm(), "a neighbour that is learnt is no news")


def test_the_next_hop_is_the_gateways_where_there_is_one(bench: Bench) -> None:
    assert hop(bench.ovs, THERE) == THERE and hop(bench.ovs, BEYOND) == "None"
    namespace = ("nsenter", f"--net={bench.ovs.namespace()}")
    bench.ovs.run(*namespace, "ip", "route", "add", "198.51.100.0/24", "via", THERE)
    eventually(lambda: hop(bench.ovs, BEYOND) == THERE, "the route is not seen")
