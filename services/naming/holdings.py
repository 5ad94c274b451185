"""Holdings: the names and addresses that one port or one gang brings into its tenant's zone.

Place: made from intent and rolls, entered into a zone by `services.naming.directory`. Must not look at any
other object: so a change of one costs what one costs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.addresses import Address
from model.ids import TenantKey
from model.intent import Network, Port
from model.order import address_rank
from model.roll import Roll
from services.naming.labels import Labels

HoldingKey = tuple[str, str]
"""`port` and its uid, or `gang` and its name with its generation."""

_GANG: Final = b"gang"


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


def hold_gang(roll: Roll, tenant: TenantKey) -> Holding:
    """rank-N.GANG.gang for the Nth node of a gang, rail-R below it for its interfaces on one rail.

    Three labels and more: a port has at most two, so that no port and no network is called what a rank is.
    """
    home = (_label(roll.name), _GANG)
    names: list[tuple[Labels, tuple[Address, ...]]] = []
    pointers: list[tuple[Address, Labels]] = []
    for number, rank in enumerate(roll.ranks):
        place = (b"rank-%d" % number, *home)
        whole = {address for _, addresses in rank for address in addresses}
        names.append((place, tuple(sorted(whole, key=address_rank))))
        for rail, addresses in rank:
            name = (b"rail-%d" % rail, *place)
            names.append((name, addresses))
            pointers += [(address, name) for address in addresses]
    return Holding(("gang", f"{roll.name}/{roll.generation}"), tenant, tuple(names), tuple(pointers))


def _label(text: str) -> bytes:
    return text.lower().encode("ascii", "replace")
