"""Rebinding: whether an answer from outside leads to where nobody outside may lead a tenant's programs.

Place: asked by `services.naming.forwarding` of each answer, before it is kept and before it is given. Must
not know who asks, only the zone of its tenant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, cast

import dns.rdata
import dns.rrset
from dns.rdatatype import AAAA, HTTPS, SVCB, A
from dns.rdtypes.svcbbase import SVCBBase

from model.addresses import Address, Prefix
from services.naming.directory import Zone
from services.naming.labels import PRIVATE

_ADDRESSES: Final = frozenset({A, AAAA})
_BINDINGS: Final = frozenset({SVCB, HTTPS})
_HINTS: Final = (4, 6)
"""Keys of SVCB and HTTPS that carry addresses (RFC 9460 section 7.3)."""
_NEVER: Final[tuple[Prefix, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "224.0.0.0/3",
        "::/127",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::/32",
    )
)
"""Of the host that asks, of its link, of everybody, or of what serves every port (metadata, names)."""
_TRANSLATED: Final = ip_network("64:ff9b::/96")
_SIX_TO_FOUR: Final = ip_network("2002::/16")


def leads(rrsets: Iterable[dns.rrset.RRset], zone: Zone) -> bool:
    """Whether any address in it is of the tenant's networks or gangs, or is no destination outside."""
    return any(
        _barred(address, zone)
        for rrset in rrsets
        for rdata in rrset
        for carried in _carried(rdata)
        for address in _meant(carried)
    )


def _barred(address: Address, zone: Zone) -> bool:
    if _within(address, _NEVER):
        return True
    if address in zone.pointers or zone.contains(ip_network(address)):
        return True
    # A route may be to all there is; what is everybody's behind it is no secret of the tenant's.
    return _within(address, PRIVATE) and _within(address, zone.beyond.values())


def _within(address: Address, prefixes: Iterable[Prefix]) -> bool:
    return any(address.version == prefix.version and address in prefix for prefix in prefixes)


def _carried(rdata: dns.rdata.Rdata) -> Iterator[Address]:
    """By type and octets, not by class: a library that imports dnspython for itself (eventlet) leaves classes
    behind that are not those that were imported here, and everything would pass."""
    if rdata.rdtype in _ADDRESSES:
        yield ip_address(rdata.to_digestable())
    elif rdata.rdtype in _BINDINGS:
        for key in _HINTS:
            hint = cast(SVCBBase, rdata).params.get(key)
            if hint is not None:
                yield from (ip_address(text) for text in hint.addresses)


def _meant(address: Address) -> Iterator[Address]:
    """Itself, and an IPv4 address that it is a form of (RFC 4291 section 2.5.5, RFC 6052, RFC 3056)."""
    yield address
    if isinstance(address, IPv6Address):
        number = int(address)
        if number >> 32 in (0, 0xFFFF) or address in _TRANSLATED:
            yield IPv4Address(number & 0xFFFFFFFF)
        elif address in _SIX_TO_FOUR:
            yield IPv4Address(number >> 80 & 0xFFFFFFFF)
