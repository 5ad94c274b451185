"""Rules for leaf switches, loaded into a switch made of Linux: what VFs can't send or be sent any more, and
that everything else, and the switch's own BGP with its spine, goes on. Bridged, routed and to the switch.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ipam.leaves.nft import nft
from ipam.leaves.rules import BGP, VXLAN, Socket
from tests.singular import RUN
from topologies.cell import Cell
from topologies.directory import claim
from topologies.nodes.link import End, link
from topologies.nodes.node import LabNode
from topologies.nodes.vm import INTERFACE, Vm
from topologies.traffic.endpoint import family_of, open_socket

pytestmark = pytest.mark.integration

ROCE, OTHER = 4791, 180
"""RoCE v2 (UDP), and a TCP port next to BGP's: what has to pass."""
PATIENCE = 5.0
REFUSAL = 0.15
"""Seconds in which a connection would have come about; its packets are sent once in this time."""
HOSTS = {
    "a": ("swp1", "10.9.0.11", "fd09::11"),
    "b": ("swp2", "10.9.0.12", "fd09::12"),
    "c": ("swp3", "10.9.1.11", "fd09:1::11"),
    "spine": ("up1", "10.9.2.11", "fd09:2::11"),
}
"""Port of the leaf, addresses. `a` and `b` share a bridge, the others are routed; `up1` is no VF's."""
ADDRESSES = {name: addresses for name, (_, *addresses) in HOSTS.items()} | {"leaf": ["10.9.0.1", "fd09::1"]}
BARRED = [("a", "b"), ("a", "c"), ("c", "a"), ("a", "leaf"), ("leaf", "a"), ("a", "spine"), ("spine", "c")]
FREE = [("leaf", "spine"), ("spine", "leaf")]
SOCKETS = tuple(Socket("leaf", "rail0", f"n{n}", "rail0", HOSTS[n][0]) for n in ("a", "b", "c"))


@dataclass
class Stage:
    nodes: dict[str, LabNode]

    def datagrams(self, source: str, target: str, address: str, *ports: int) -> list[int]:
        """To which of these ports one arrived, that of the last of them being waited for."""
        family = family_of(address)
        sender = open_socket(self.nodes[source], family, socket.SOCK_DGRAM)
        takers = {port: open_socket(self.nodes[target], family, socket.SOCK_DGRAM) for port in ports}
        try:
            for port, taker in takers.items():
                taker.bind(("", port))
            for port in ports:
                sender.sendto(b"x", (address, port))
            last = takers[ports[-1]]
            last.settimeout(PATIENCE)
            assert last.recv(10) == b"x"
            return [port for port, taker in takers.items() if port == ports[-1] or _there(taker)]
        finally:
            for one in (sender, *takers.values()):
                one.close()

    def connects(
        self, source: str, target: str, address: str, port: int, patience: float, own: int = 0
    ) -> bool:
        family = family_of(address)
        with (
            open_socket(self.nodes[target], family, socket.SOCK_STREAM) as listener,
            open_socket(self.nodes[source], family, socket.SOCK_STREAM) as sender,
        ):
            for one in (listener, sender):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("", port))
            listener.listen(1)
            if own:
                sender.bind(("", own))
            sender.settimeout(patience)
            # No state is left behind that the next one with these ports would meet.
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            try:
                sender.connect((address, port))
            except TimeoutError:
                return False
            return True


def _there(taker: socket.socket) -> bool:
    taker.setblocking(False)
    try:
        return bool(taker.recv(10))
    except BlockingIOError:
        return False


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    directory = claim(f"leaves-{RUN}")
    cell = Cell()
    try:
        leaf = LabNode("leaf", cell, directory)
        leaf.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"
            " net.ipv6.conf.default.disable_ipv6=0 net.ipv6.conf.default.accept_dad=0"
            " net.ipv6.conf.all.forwarding=1\n"
            "ip link add br0 type bridge forward_delay 0\nip link set br0 up"
        )
        made = Stage({"leaf": leaf})
        for name, (port, *addresses) in HOSTS.items():
            node = Vm(name, cell, directory)
            made.nodes[name] = node
            link(End(leaf, port), End(node, INTERFACE), 1500)
            node.configure("", [f"{addresses[0]}/24", f"{addresses[1]}/64"])
            bridged = name in ("a", "b")
            gateways = [f"{addresses[0].rpartition('.')[0]}.1", f"{addresses[1].rpartition('::')[0]}::1"]
            if bridged:
                leaf.run(f"ip link set {port} master br0")
            if name != "b":
                home = "br0" if bridged else port
                leaf.run(f"ip address add {gateways[0]}/24 dev {home}")
                leaf.run(f"ip address add {gateways[1]}/64 dev {home} nodad")
            node.run(f"ip route add default via {gateways[0]}\nip -6 route add default via {gateways[1]}")
        yield made
    finally:
        cell.close()
        directory.release()


def test_rules_for_leaves(stage: Stage) -> None:
    """Everything passes first: what is missing later is missing because of the rules."""
    pairs = [(source, target, address) for source, target in BARRED + FREE for address in ADDRESSES[target]]
    for source, target, address in pairs:
        where = (source, address)
        assert stage.datagrams(source, target, address, VXLAN, ROCE) == [VXLAN, ROCE], where
        assert stage.connects(source, target, address, BGP, PATIENCE), where
        assert stage.connects(source, target, address, OTHER, PATIENCE, own=BGP), where
    leaf = stage.nodes["leaf"]
    text = nft("west", "leaf", SOCKETS)
    for _ in range(2):
        # Loaded again it stands there once.
        leaf.run(["nft", "-f", "-"], stdin=text.encode())
    for source, target, address in pairs:
        where, free = (source, address), (source, target) in FREE
        assert stage.datagrams(source, target, address, VXLAN, ROCE) == [VXLAN] * free + [ROCE], where
        patience = PATIENCE if free else REFUSAL
        assert stage.connects(source, target, address, BGP, patience) == free, where
        assert stage.connects(source, target, address, OTHER, patience, own=BGP) == free, where
        assert stage.connects(source, target, address, OTHER, PATIENCE), where
    rules = json.loads(leaf.run(["nft", "-j", "list", "ruleset"]))["nftables"]
    counted = [
        expression["counter"]["packets"]
        for each in rules
        if "rule" in each
        for expression in each["rule"]["expr"]
        if "counter" in expression
    ]
    assert len(counted) == 6
    assert all(counted), counted
