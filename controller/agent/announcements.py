"""Announcements: what a workload says of itself unasked, as the switch hands it up.

Place: between the OpenFlow session and the agent's loop. Pure; a workload wrote the frame: nothing in it may
raise. Which port it came from is in the cookie of the flow, never in the frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import Address
from model.ids import Mac, PortKey
from pipelines import cookies

_ETHERNET: Final = struct.Struct("!6s6sH")
_ARP: Final = struct.Struct("!HHBBH6s4s6s4s")
_IPV6_HEADER: Final = 40
_ARP_TYPE: Final = 0x0806
_RARP_TYPE: Final = 0x8035
_IPV6_TYPE: Final = 0x86DD
_ICMPV6: Final = 58
_ADVERTISEMENT: Final = 136


@dataclass(frozen=True, slots=True)
class Announced:
    """An event: a port's workload said that it is here. `address`: for which it spoke, None = for its MAC."""

    port: PortKey
    mac: Mac
    address: Address | None


def read(cookie: int, frame: bytes) -> Announced | None:
    """An announcement, if the flow that handed the frame up was made for them, and it is one.

    RARP as hypervisors send it for a workload that has moved in; gratuitous ARP (RFC 5227 section 3);
    unsolicited neighbour advertisement (RFC 4861 section 7.2.6).
    """
    parsed = cookies.parse(cookie)
    if parsed is None or parsed.kind is not cookies.Kind.ANNOUNCE or len(frame) < _ETHERNET.size:
        return None
    _, source, kind = _ETHERNET.unpack_from(frame)
    mac, body = Mac(int.from_bytes(source, "big")), frame[_ETHERNET.size :]
    if kind == _RARP_TYPE:
        return Announced(parsed.port, mac, None)
    if kind == _ARP_TYPE and len(body) >= _ARP.size:
        return Announced(parsed.port, mac, IPv4Address(_ARP.unpack_from(body)[6]))
    if kind == _IPV6_TYPE:
        target = _target(body)
        return None if target is None else Announced(parsed.port, mac, target)
    return None


def _target(packet: bytes) -> IPv6Address | None:
    """Of a neighbour advertisement without extension headers, which the pipeline lets through only so."""
    if len(packet) < _IPV6_HEADER + 24 or packet[6] != _ICMPV6 or packet[_IPV6_HEADER] != _ADVERTISEMENT:
        return None
    return IPv6Address(packet[_IPV6_HEADER + 8 : _IPV6_HEADER + 24])
