"""Roll: who is in a gang, as its tenant's names have it: nodes by rank, and their addresses by rail.

Place: made of a gang's rows by whoever reads the store, kept in the snapshot, entered into zones by
`services.naming`. Must not say where a node is, nor anything of its devices: hosts of the tenant read it that
bear none of the gang.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.addresses import Address
from model.fabric import RailIndex
from model.gang import Berth, GangState
from model.order import address_rank

NAMED: Final = frozenset({GangState.RESERVED, GangState.PROGRAMMED, GangState.VERIFIED, GangState.ACTIVE})
"""Before, a gang has no slots; after, it is on its way to give them back."""

Rank = tuple[tuple[RailIndex, tuple[Address, ...]], ...]
"""A node: each of its rails once, in order, with all its addresses there, in order."""


@dataclass(frozen=True, slots=True)
class Roll:
    """`tenant` by name. `ranks`: in the order of the nodes' names."""

    generation: int
    tenant: str
    name: str
    ranks: tuple[Rank, ...]


def line_up(berths: Iterable[Berth]) -> tuple[Rank, ...]:
    """Nodes of one gang, in whatever order they come."""
    return tuple(_rank(berth) for berth in sorted(berths, key=lambda berth: berth.node))


def _rank(berth: Berth) -> Rank:
    found: dict[RailIndex, set[Address]] = {}
    for one in berth.interfaces:
        found.setdefault(one.rail, set()).update(one.addresses)
    return tuple((rail, tuple(sorted(found[rail], key=address_rank))) for rail in sorted(found))
