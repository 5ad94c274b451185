"""Trail: where a MAC or an address was, how often it moved, and where it stays while several say that they
have it (RFC 7432 section 15.1).

Place: values of `bgp.table`, made by `bgp.moves`. Must not decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from immutables import Map

from model.addresses import Address
from model.ids import Mac, NetworkKey, PortKey
from model.route import RemoteAddress, RemoteMac

MacEntity = tuple[Literal["mac"], NetworkKey, Mac]
AddressEntity = tuple[Literal["address"], NetworkKey, Address]
Spot = MacEntity | AddressEntity
Place = RemoteMac | RemoteAddress

MOST: Final = 10_000
"""Trails kept at most."""


@dataclass(frozen=True, slots=True)
class Trail:
    """`last`: where it was last. `moves`: when it moved within the window, oldest first; `at`: the newest
    thing that happened to it."""

    last: Place
    moves: tuple[float, ...]
    at: float


@dataclass(frozen=True, slots=True)
class Damped:
    """It moved too often: it stays at `place` until an operator releases it, or the store says where it is.

    `quiet`: since when nobody says that he has it; None while somebody does.
    """

    place: Place
    since: float
    moves: int
    quiet: float | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """What an earlier life of the agent knew of moves, in times of this one's clock; `now` by it.

    `contests`: see bgp.table.Table.
    """

    damped: Map[Spot, Damped] = Map()
    trails: Map[Spot, Trail] = Map()
    contests: Map[PortKey, tuple[float, ...]] = Map()
    now: float = field(default=0.0, compare=False)
