"""Holdings: the names and addresses that one port or one gang brings into its tenant's zone.

Place: made from intent and gangs, entered into a zone by `services.naming.directory`. Must not look at any
other object: so a change of one costs what one costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.addresses import Address
from model.gang import Gang, GangState, Interface
from model.ids import TenantKey
from model.intent import Network, Port
from model.order import address_rank
from services.naming.labels import Labels

HoldingKey = tuple[str, str]
"""`port` and its uid, or `gang` and its name with its generation."""

_GANG: Final = b"gang"
_NAMED: Final = frozenset({GangState.RESERVED, GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE})


@dataclass(frozen=True, slots=True)
class Holding:
    """`names`: below the zone's origin. `pointers`: the one name that each address leads back to."""

    key: HoldingKey
    tenant: TenantKey
    names: tuple[tuple[Labels, tuple[Address, ...]], ...]
    pointers: tuple[tuple[Address, Labels], ...]


def hold_port(port: Port, network: Network) -> Holding:
    """PORT.NETWORK, and PORT alone: a port's name is its own in the whole tenant. Addresses lead to the long
    form. Without addresses it has its names, and nothing under them."""
    short = (_label(port.name),)
    long = (*short, _label(network.name))
    return Holding(
        ("port", port.uid),
        network.tenant,
        ((short, port.addresses), (long, port.addresses)),
        tuple((address, long) for address in port.addresses),
    )


def hold_gang(gang: Gang, tenant: TenantKey) -> Holding | None:
    """rank-N.GANG.gang for the Nth node of a gang, rail-R below it for its interfaces on one rail.

    None while it has no slots, or is on its way to give them back. Three labels and more: a port has at most
    two, so that no port and no network can be called what a rank is.
    """
    if gang.progress.state not in _NAMED:
        return None
    home = (_label(gang.request.name), _GANG)
    names: list[tuple[Labels, tuple[Address, ...]]] = []
    pointers: list[tuple[Address, Labels]] = []
    for rank, berth in enumerate(gang.berths):
        place = (b"rank-%d" % rank, *home)
        names.append((place, _addresses(berth.interfaces)))
        for rail in sorted({one.rail for one in berth.interfaces}):
            name = (b"rail-%d" % rail, *place)
            found = _addresses(tuple(one for one in berth.interfaces if one.rail == rail))
            names.append((name, found))
            pointers += [(address, name) for address in found]
    key = ("gang", f"{gang.request.name}/{gang.generation}")
    return Holding(key, tenant, tuple(names), tuple(pointers))


def _addresses(interfaces: tuple[Interface, ...]) -> tuple[Address, ...]:
    return tuple(sorted({a for one in interfaces for a in one.addresses}, key=address_rank))


def _label(text: str) -> bytes:
    return text.lower().encode("ascii", "replace")
