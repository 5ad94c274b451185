"""Serving: where ports ask for names and metadata, and by which address whoever answers knows a port.

Place: pipelines translate by it, `ringfenced services` reads it back. A port's alias follows from its key
alone, so nothing is allotted, kept or told. Must not hold state.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import Address
from model.ids import PORT_KEYS, Mac, PortKey, Uid

RESOLVERS: Final[tuple[Address, ...]] = (IPv4Address("169.254.169.253"), IPv6Address("fd00:ec2::253"))
METADATA: Final[tuple[Address, ...]] = (IPv4Address("169.254.169.254"), IPv6Address("fd00:ec2::254"))
"""Where cloud-init looks for it, by itself or when told."""
SERVED: Final = (*RESOLVERS, *METADATA)
"""Addresses that no workload has, in any network: IPv4 first of each pair."""
NAMES_PORT: Final = 53
METADATA_PORT: Final = 80

IFACE_ID: Final = Uid("ringfence-services")
"""The iface-id of the interface that leads to whoever answers. No port's uid: it is no UUID."""
SUFFIX_MARK: Final = "ringfence-suffix"
"""Key of that interface's external_ids which says what zones of names end in on this host. It stands there
while nobody answers, too, so that what ports are told does not follow each restart."""
SERVICES_MAC: Final = Mac(0x0A0052F10020)
"""Of that interface's other end."""

PLACES: Final = 100
"""Addresses of a family for which a port has an alias; it has no more of them that could ask."""
_FIRST: Final = 10
_KEY_BITS: Final = 24
_SIX: Final = int(IPv6Address("fd52:f1::")) >> 64
"""The upper half of all aliases of IPv6. They are seen by nobody but who answers."""
_PLACE_AT: Final = 32


def alias(port: PortKey, place: int, version: int) -> Address:
    """By which a port asks with its address at `place` of those of its family, 0..PLACES - 1."""
    if version == 4:
        return IPv4Address(_FIRST + place << _KEY_BITS | port)
    return IPv6Address(_SIX << 64 | place << _PLACE_AT | port)


def aliases(port: PortKey, addresses: Iterable[Address]) -> tuple[tuple[Address, Address], ...]:
    """Each address of a port that can ask, with its alias."""
    found: list[tuple[Address, Address]] = []
    for version in (4, 6):
        own = [each for each in addresses if each.version == version and not each.is_link_local]
        found += [(each, alias(port, place, version)) for place, each in enumerate(own[:PLACES])]
    return tuple(found)


def port_of(address: Address) -> PortKey | None:
    """Whose alias it is; None: nobody's."""
    number = int(address)
    if address.version == 4:
        place, key = (number >> _KEY_BITS) - _FIRST, number & (1 << _KEY_BITS) - 1
    elif number >> 64 == _SIX:
        low = number & (1 << 64) - 1
        place, key = low >> _PLACE_AT, low & (1 << _PLACE_AT) - 1
    else:
        return None
    return PortKey(key) if place in range(PLACES) and key in PORT_KEYS else None
