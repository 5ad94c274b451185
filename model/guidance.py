"""Guidance: what a network tells its ports besides their addresses, by DHCP and router advertisements.

Place: beside `model.intent`; the rooms that answer ports read it. Must not hold what follows from the network
itself: subnets, gateway, MTU.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.addresses import Address, Prefix

DAY: Final = 86_400
LEASES: Final = range(600, 30 * DAY + 1)
"""Seconds. Below, ports would ask all the time; above, what changed would never reach them."""
MOST_RESOLVERS: Final = 8
MOST_SEARCH: Final = 8
MOST_ROUTES: Final = 64
"""So that what is said fits into a packet, or nearly so: what does not is left out."""


@dataclass(frozen=True, slots=True)
class Guidance:
    """`answers` False: the network's ports are told nothing, as if nobody were there to ask.

    `resolvers` and `routes` in the order declared; each route is a prefix and a next hop of its own family in
    the network. `domain`: what names without a dot are in, "" = none; `search`: domains tried besides. Both
    are host names as RFC 1123 section 2.1 has them. `lease` in seconds, one of `LEASES`. `names` False: what
    it does not declare of names is not filled in with our resolvers and the tenant's zone.
    """

    answers: bool = True
    resolvers: tuple[Address, ...] = ()
    domain: str = ""
    search: tuple[str, ...] = ()
    routes: tuple[tuple[Prefix, Address], ...] = ()
    lease: int = DAY
    names: bool = True


USUAL: Final = Guidance()
