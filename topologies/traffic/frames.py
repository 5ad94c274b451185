"""Frames: raw Ethernet from any interface, and VXLAN forged by someone in the underlay.

Place: the attacks of isolation tests. Must not be used outside of a lab's namespaces: it needs an endpoint.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass

from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet

from topologies.errors import LabError
from topologies.traffic.endpoint import Endpoint, family_of, open_socket
from topologies.traffic.ping import ping

VXLAN_PORT = 4789
_RATE = 1000


@dataclass(frozen=True, slots=True)
class Forgery:
    """A VXLAN packet as its outer header claims it to be (RFC 7348 section 5)."""

    source: str
    target: str
    vni: int
    inner: bytes


def inject(endpoint: Endpoint, interface: str, frames: Iterable[bytes | Packet]) -> int:
    """Send whole Ethernet frames out of an interface, at most 1,000/s; returns how many."""
    count = 0
    with open_socket(endpoint, socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        for frame in frames:
            sender.send(bytes(frame))
            count += 1
            time.sleep(1 / _RATE)  # The pace: a veth's receiver has a small queue.
    return count


def forge(endpoint: Endpoint, forgeries: Iterable[Forgery]) -> int:
    """Send VXLAN packets with any outer source address from a node of the underlay, routed by its kernel.

    Forge a living VTEP's address in a routed fabric only: on one segment Open vSwitch's tunnel neighbour
    table learns the forger's MAC from the packet, and the victim's replies go astray for minutes (as by ARP
    spoofing, which such a segment can't prevent either).
    Each target VTEP is pinged first: LabError if it is out of reach, for then the attack would prove nothing.
    """
    wanted = tuple(forgeries)
    for target in sorted({f.target for f in wanted}):
        if not ping(endpoint, target).reached:
            raise LabError(f"{endpoint.name}: VTEP {target} does not answer: nothing forged would arrive")
    count = 0
    for forgery in wanted:
        family = family_of(forgery.target)
        with open_socket(endpoint, family, socket.SOCK_RAW, socket.IPPROTO_RAW) as sender:
            sender.sendto(bytes(outer(forgery)), (forgery.target, 0))
        count += 1
        time.sleep(1 / _RATE)
    return count


def outer(forgery: Forgery) -> Packet:
    """The IP packet around the inner frame; with IPv4 the UDP checksum is 0, as VTEPs send it (RFC 7348
    section 5)."""
    inside = VXLAN(flags="Instance", vni=forgery.vni) / Ether(forgery.inner)
    udp = UDP(sport=49152 + forgery.vni % 16384, dport=VXLAN_PORT)
    if ":" in forgery.target:
        return IPv6(src=forgery.source, dst=forgery.target) / udp / inside
    udp.chksum = 0
    return IP(src=forgery.source, dst=forgery.target) / udp / inside
