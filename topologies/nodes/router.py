"""Underlay nodes without a tenant: a router (leaf or spine) and a bridge (one flat segment).

Place: the middle of a fabric. Must not see into VXLAN.
"""

from __future__ import annotations

from collections.abc import Sequence

from topologies.cell import Cell
from topologies.directory import LabDirectory
from topologies.nodes.node import LabNode


class Router(LabNode):
    """Routes IPv4, spreads over equal paths by layer 4 (a VXLAN source port tells inner flows apart)."""

    def __init__(self, name: str, cell: Cell, lab: LabDirectory) -> None:
        super().__init__(name, cell, lab)
        self.run(
            "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.fib_multipath_hash_policy=1"
            " net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0"
        )

    def add_address(self, interface: str, address: str) -> None:
        """Give an interface an address with prefix length."""
        self.run(f"ip address add {address} dev {interface}")

    def route(self, prefix: str, gateways: Sequence[str]) -> None:
        """A static route over one or several equal gateways."""
        hops = " ".join(f"nexthop via {g}" for g in gateways)
        self.run(f"ip route replace {prefix} {hops}")


class Bridge(LabNode):
    """One Ethernet segment: a kernel bridge `br0` without spanning tree."""

    def __init__(self, name: str, cell: Cell, lab: LabDirectory, mtu: int) -> None:
        super().__init__(name, cell, lab)
        self.run(f"ip link add br0 type bridge forward_delay 0\nip link set br0 up mtu {mtu}")

    def attach(self, interface: str) -> None:
        """Make an interface a port of the segment."""
        self.run(f"ip link set {interface} master br0")

    def detach(self, interface: str) -> None:
        """Take a port out; its carrier stays up, so that neighbours see nothing but silence."""
        self.run(f"ip link set {interface} nomaster")
