"""Layout: the ports of the torture test and what is sent between them. Pure values.

Place: built by the arena, sent by the traffic, judged cell by cell. Must not be read from the product.

Twenty ports of three tenants on four hosts. Who receives strictly never moves, and nothing on the way to it
is ever taken away: these cells have to be billed to the byte. `Care.LOOSE` is sent towards what moves, or
over what is switched on and off: that is told apart by construction (docs/accounting.md, "A destination that
goes").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from topologies.scenarios.outside import SERVER

HOSTS: Final = ("hv1", "hv2", "hv3", "hv4")
TENANTS: Final = ("red", "blue", "green")
NET, FAR = "net", "far"
SUBNETS: Final = {
    ("red", FAR): ("10.1.0.0/24", "fd00:11::/64"),
    ("blue", FAR): ("10.2.0.0/24", "fd00:12::/64"),
    ("green", NET): ("10.9.0.0/24", "fd00:19::/64"),
    ("green", FAR): ("10.10.0.0/24", "fd00:1a::/64"),
}
"""Besides `net` of red and blue, which two_tenants makes."""

OWN, REST = "same-network", "everything-else"
STORAGE, PARTNER, WITHIN, NEIGHBOURS, INTERNET = "storage", "partner", "within", "neighbours", "internet"
STORED: Final = ("192.0.2.0/24", "2001:db8:100::/48")
WANDERING: Final = ("198.18.5.0/24", "2001:db8:7::/48")
"""Now of one class, now of another."""
CONTAINERS: Final = ("172.20.0.0/24", "fd00:c0::/64")
"""Behind a route that comes and goes."""
STORED_AT: Final = ("192.0.2.7", "2001:db8:100::7")
WANDERING_AT: Final = ("198.18.5.7", "2001:db8:7::7")
CONTAINERS_AT: Final = ("172.20.0.7", "fd00:c0::7")


class Care(Enum):
    STRICT = "strict"
    LOOSE = "loose"


@dataclass(frozen=True, slots=True)
class Seat:
    """A port besides those of two_tenants; `last`: of its addresses; on `host` at the beginning."""

    tenant: str
    port: str
    network: str
    last: int
    host: str


SEATS: Final = (
    Seat("red", "far1", FAR, 11, "hv2"),
    Seat("red", "far2", FAR, 12, "hv4"),
    Seat("blue", "far1", FAR, 11, "hv1"),
    Seat("blue", "far2", FAR, 12, "hv3"),
    Seat("green", "vm1", NET, 11, "hv1"),
    Seat("green", "vm2", NET, 12, "hv2"),
    Seat("green", "vm3", NET, 13, "hv3"),
    Seat("green", "vm4", NET, 14, "hv4"),
    Seat("green", "far1", FAR, 11, "hv3"),
    Seat("red", "roamer", NET, 71, "hv1"),
    Seat("blue", "roamer", NET, 72, "hv2"),
    Seat("green", "roamer", NET, 73, "hv3"),
)
ROAMERS: Final = tuple((tenant, "roamer") for tenant in TENANTS)
BEHIND: Final = {
    ("red", "far2"): STORED_AT,
    ("blue", "far1"): STORED_AT,
    ("green", "far1"): WANDERING_AT,
    ("green", "vm3"): CONTAINERS_AT,
}
"""Addresses that ports have besides their own; routes lead there."""


@dataclass(frozen=True, slots=True)
class Way:
    """Who sends to whom ("tenant/port", or "server"), to which addresses (empty: its own), as what.

    `still`: not sent until somebody says so.
    """

    source: str
    target: str
    name: str
    care: Care = Care.STRICT
    addresses: tuple[str, ...] = ()
    still: bool = False


def _ring(tenant: str, *others: str) -> tuple[Way, ...]:
    """Within a tenant's network, with a port that moves: it sends strictly, and is sent to loosely."""
    ring = tuple(
        Way(f"{tenant}/{here}", f"{tenant}/{there}", OWN)
        for here, there in zip(others, (*others[1:], others[0]), strict=True)
    )
    return (
        *ring,
        Way(f"{tenant}/roamer", f"{tenant}/{others[0]}", OWN),
        Way(f"{tenant}/vm4", f"{tenant}/roamer", OWN, Care.LOOSE),
    )


WAYS: Final = (
    *_ring("red", "vm1", "vm2", "vm3"),
    *_ring("blue", "vm1", "vm2", "vm3"),
    *_ring("green", "vm1", "vm2", "vm3"),
    Way("red/far1", "red/vm1", WITHIN),
    Way("red/far2", "red/vm3", WITHIN),
    Way("red/vm2", "red/far1", WITHIN),
    Way("blue/far1", "blue/vm2", WITHIN),
    Way("blue/vm4", "blue/far2", WITHIN),
    Way("green/vm1", "green/far1", WITHIN),
    Way("green/far1", "green/vm4", WITHIN),
    Way("red/far1", "green/vm1", NEIGHBOURS),
    Way("green/vm2", "red/far2", NEIGHBOURS),
    Way("blue/far2", "green/far1", NEIGHBOURS, Care.LOOSE),
    Way("red/vm1", "red/far2", STORAGE, addresses=STORED_AT),
    Way("blue/vm3", "blue/far1", STORAGE, addresses=STORED_AT),
    Way("green/vm4", "green/far1", STORAGE, addresses=WANDERING_AT),
    Way("green/vm4", "green/far1", PARTNER, addresses=WANDERING_AT, still=True),
    Way("red/vm1", "server", INTERNET, addresses=SERVER),
    Way("red/vm3", "server", INTERNET, addresses=SERVER),
    Way("blue/vm1", "server", INTERNET, addresses=SERVER),
    Way("blue/vm2", "server", INTERNET, addresses=SERVER),
    Way("blue/vm3", "server", INTERNET, Care.LOOSE, SERVER),
    Way("green/vm2", "server", INTERNET, Care.LOOSE, SERVER),
    Way("green/vm1", "green/vm3", REST, Care.LOOSE, CONTAINERS_AT),
)


@dataclass(frozen=True, slots=True)
class Stream:
    """Datagrams of one way and family, known by their UDP port. `size`: payload, `each`: layer-3 bytes."""

    number: int
    way: Way
    family: int
    size: int

    @property
    def udp(self) -> int:
        return 20_000 + self.number

    @property
    def each(self) -> int:
        return self.size + (28 if self.family == 4 else 48)


def streams() -> tuple[Stream, ...]:
    """Each of a size of its own; both families of each way."""
    pairs = [(way, family) for way in WAYS for family in (4, 6)]
    return tuple(Stream(n, way, family, 60 + 17 * n) for n, (way, family) in enumerate(pairs))
