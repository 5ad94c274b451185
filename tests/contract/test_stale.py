"""Cached flows of a real Open vSwitch that outlive what they were made of, and how the product forgets them.

Two cached flows overlap: a narrow one, made when the tables looked at more of an address, and a wide one.
Some releases, told to change the narrow one, find the wide one by the narrow one's key (docs/decisions/0066).
Then what the tables no longer say goes on: open, which is a breach, or closed.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace
from typing import cast

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from controller.agent import forgetting
from controller.agent.forgetting import Forgetting
from controller.southbound import megaflows, unixctl
from tests.contract.ovs import WAIT, PrivateOvs
from topologies.traffic.endpoint import Endpoint, open_socket

ETH_P_IP = 0x0800
TRIES = 6
"""Rounds at most: in which order Open vSwitch changes two flows is by their random names."""
SOME = 5
OTHER = "priority=5,ip,in_port=1,nw_dst=10.2.0.0/16,actions=output:2"
"""As wide as the wide one."""


def rule(prefix: str, action: str) -> str:
    return f"priority=9,ip,in_port=1,nw_dst={prefix},actions={action}"


NARROW, WIDE = "10.1.2.0/24", "10.1.0.0/16"
PASS, DROP = "output:2", "drop"
WAYS = {
    "closed": (PASS, (rule(WIDE, PASS).replace("=9", "=5"), rule(NARROW, DROP)), 0),
    "opened": (DROP, (rule(NARROW, PASS),), SOME),
}
"""What the tables say first, then, and how many of `SOME` packets arrive by that."""
BOTH = ("closed", pytest.param("opened", marks=pytest.mark.long))


@dataclass
class Bench:
    """A switch with a sender at port 1 and a receiver at port 2."""

    ovs: PrivateOvs
    sender: socket.socket
    receiver: socket.socket

    def program(self, *flows: str) -> None:
        """In one bundle, and until Open vSwitch has looked at what it has cached."""
        listed = self.ovs.rundir / "flows"
        listed.write_text("".join(f"{flow}\n" for flow in (OTHER, *flows)))
        command = ("ovs-ofctl", "-O", "OpenFlow14", "--bundle", "replace-flows")
        self.ovs.run(*command, f"unix:{self.ovs.management}", str(listed))
        unixctl.revalidate_wait(self.ovs.rundir)

    def arrived(self, destination: str, turn: int) -> int:
        """How many of `SOME` packets. Two that pass for sure follow, so that nobody waits: the first may
        overtake them, being known; the second is sent once the first is there, and they have been dealt with.
        """
        sent, last = frame(destination, turn), frame("10.2.0.9", turn)
        for one in [sent] * SOME:
            self.sender.send(one)
        found = 0
        for _ in range(2):
            self.sender.send(last)
            while (got := self.receiver.recv(2000)) != last:
                found += got == sent
        return found

    def outlive(self, way: str, turn: int) -> bool:
        """Make the two, then change the tables: whether packets go on by what they said before."""
        before, after, _ = WAYS[way]
        with suppress(TimeoutError):
            self.receiver.settimeout(0.05)
            while self.receiver.recv(2000):
                pass
        self.receiver.settimeout(10)
        self.ovs.tell()
        self.program(rule(NARROW, before))
        self.arrived("10.2.0.1", turn)  # first: Open vSwitch then looks for wide ones first
        self.arrived("10.1.2.2", turn)
        self.program(rule(WIDE, before))
        self.arrived("10.1.0.2", turn)
        self.program(*after)
        return not self.right(way, turn)

    def right(self, way: str, turn: int) -> bool:
        """Whether packets for the narrow one go by what the tables say at last."""
        return self.arrived("10.1.2.2", turn) == WAYS[way][2]


def frame(destination: str, turn: int) -> bytes:
    made = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(src="10.0.0.1", dst=destination)
    return bytes(made / UDP(sport=1000 + turn, dport=9) / bytes(40))


@pytest.fixture
def bench(own_ovs: PrivateOvs) -> Iterator[Bench]:
    own_ovs.lay_bridge(("p1", 1), ("p2", 2))
    inside = ("nsenter", f"--net={own_ovs.namespace()}")
    own_ovs.run(*inside, "sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
    for name in ("p1", "p2"):
        own_ovs.run(*inside, "ip", "link", "set", name, "up")
    node = cast(Endpoint, SimpleNamespace(name="bench", pid=int(own_ovs.namespace().split("/")[2])))
    kind = socket.AF_PACKET, socket.SOCK_RAW
    with open_socket(node, *kind) as sender, open_socket(node, *kind) as receiver:
        sender.bind(("p1", 0))
        receiver.bind(("p2", ETH_P_IP))
        yield Bench(own_ovs, sender, receiver)


@pytest.mark.parametrize("way", BOTH)
def test_what_was_before_goes_on_until_it_is_forgotten(bench: Bench, way: str) -> None:
    rundir = bench.ovs.rundir
    turn = next((turn for turn in range(TRIES) if bench.outlive(way, turn)), None)
    assert (turn is not None) == megaflows.mistakes(rundir), (
        "the releases that err are not those that we know"
    )
    forgetting.forget(rundir)
    assert bench.right(way, turn or 0)


@pytest.mark.parametrize("way", BOTH)
def test_the_product_forgets_after_each_change(bench: Bench, way: str) -> None:
    """The control is above. Not by itself: it would take as long as packets come. Its word is true."""
    known = threading.Event()
    product = Forgetting(bench.ovs.rundir, "netdev", known.set)
    try:
        bench.outlive(way, 0)  # mostly
        product.changed()
        assert known.wait(WAIT) and product.turns() == (1, 1)
        assert bench.right(way, 0), "it goes on by what was before"
    finally:
        product.close()
