"""Underlay: what VXLAN adds to a packet, and the MTU that networks get from the devices below.

Place: asked by ipam for networks without an MTU of their own, and by the agent, which compares. Pure. Must
not know routes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.addresses import Address

OVERHEAD: Final = {4: 50, 6: 70}
"""Octets by IP version of the VTEPs: inner Ethernet 14, VXLAN 8, UDP 8, IP 20 or 40 (RFC 7348 section 5)."""
USUAL: Final = 1500
"""The MTU of an Ethernet device of which nobody said more."""
LEAST: Final = 1280
"""What IPv6 asks of every link (RFC 8200 section 5)."""


@dataclass(frozen=True, slots=True)
class Way:
    """How packets to a VTEP leave this host. `mtu`: of the device, or of the route if that is smaller."""

    vtep: Address
    device: str
    mtu: int


def overhead(vtep: Address) -> int:
    """Octets that a packet is larger on its way to a VTEP."""
    return OVERHEAD[vtep.version]


def default_mtu(vteps: Iterable[Address], reported: int) -> int:
    """Of a network that asks for none: it fits between any two of the VTEPs over Ethernet.

    `reported`: the smallest MTU that a host found below, 0 = none did. One above that of Ethernet changes
    nothing: the next host may have less.
    """
    below = min(USUAL, reported or USUAL)
    return max(LEAST, below - max((overhead(vtep) for vtep in vteps), default=OVERHEAD[4]))
