"""Announcements: what a hypervisor sends for a workload that it has just started, or the workload itself.

Place: tests of migration and of shared addresses. Must not be used outside of a lab's namespaces.
"""

from __future__ import annotations

from scapy.layers.l2 import ARP, Ether
from scapy.packet import Packet

_BROADCAST = "ff:ff:ff:ff:ff:ff"
_RARP = 0x8035
_REVERSE_REQUEST = 3


def rarp(mac: str) -> Packet:
    """As QEMU sends it after a migration (RFC 903, reverse request)."""
    body = ARP(op=_REVERSE_REQUEST, hwsrc=mac, hwdst=mac, psrc="0.0.0.0", pdst="0.0.0.0")
    return Ether(src=mac, dst=_BROADCAST, type=_RARP) / body


def gratuitous(mac: str, address: str) -> Packet:
    """A gratuitous ARP request (RFC 5227 section 3)."""
    body = ARP(op=1, hwsrc=mac, psrc=address, hwdst="00:00:00:00:00:00", pdst=address)
    return Ether(src=mac, dst=_BROADCAST) / body
