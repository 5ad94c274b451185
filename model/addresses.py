"""Addresses: MACs as integers, IPs as `ipaddress` values, and the text forms at the edge.

Place: parsing happens here once; inside, only the typed values travel. Must not resolve names or do I/O.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from model.ids import Mac

Address = IPv4Address | IPv6Address
Prefix = IPv4Network | IPv6Network

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_GROUP_BIT: Final = 1 << 40
BROADCAST: Final = Mac((1 << 48) - 1)
GATEWAY_MAC: Final = Mac(0x0A0052F10001)
"""Of every network's anycast gateway, the same on all hosts. Locally administered, and outside `02:`, from
which ports get theirs."""
OUTSIDE_MAC: Final = Mac(0x0A0052F10002)
"""Source of routed frames between hosts whose packet a gateway has let in from outside the cluster: so the
host of the receiving port knows."""
PROBE_REQUEST_MAC: Final = Mac(0x0A0052F10010)
PROBE_REPLY_MAC: Final = Mac(0x0A0052F10011)
"""Of path probes between VTEPs, under a VNI that no network has (model.ids)."""
_ROUTER: Final = 0x0E52 << 32


def parse_mac(text: str) -> Mac:
    """`02:00:00:00:00:01` (either case) to an integer; ValueError for any other form."""
    lowered = text.lower()
    if not _MAC.fullmatch(lowered):
        raise ValueError(f"{text!r} is not six hex pairs joined by colons")
    return Mac(int(lowered.replace(":", ""), 16))


def format_mac(mac: int) -> str:
    """The colon form in lower case."""
    raw = f"{mac:012x}"
    return ":".join(raw[i : i + 2] for i in range(0, 12, 2))


def router_mac(router_id: int) -> Mac:
    """The MAC under which a VTEP routes for its tenants (RFC 9135 section 4.1): made from its 32-bit router
    id, so that it needs no allocation and survives everything.
    """
    return Mac(_ROUTER | router_id)


def is_router_mac(mac: int) -> bool:
    """Whether it is of those that `router_mac` makes."""
    return mac >> 32 == _ROUTER >> 32


def gateway(subnet: Prefix) -> Address:
    """The first address of the range that hosts may use: the network's own.

    RFC 3021 (/31), RFC 6164 (/127): such a subnet has no network address of its own.
    """
    return subnet.network_address if subnet.num_addresses <= 2 else subnet.network_address + 1


def is_unicast(mac: int) -> bool:
    """True for an individual, non-zero address (IEEE 802 I/G bit clear)."""
    return mac != 0 and not mac & _GROUP_BIT


def is_single(version: int, number: int) -> bool:
    """True for an address that may be one interface's: no group, and not the unspecified one.

    RFC 5771 section 3, RFC 4291 section 2.7. The properties of `ipaddress` say the same, ten times slower.
    """
    return number != 0 and (number >> 28 != 0xE if version == 4 else number >> 120 != 0xFF)


def link_local(mac: int) -> IPv6Address:
    """The link-local address made from a MAC by modified EUI-64 (RFC 4291 appendix A)."""
    high, low = mac >> 24, mac & 0xFFFFFF
    return IPv6Address((0xFE80 << 112) | ((high ^ 0x020000) << 40) | (0xFFFE << 24) | low)
