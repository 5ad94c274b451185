"""Shapes of questions: what a port asks its network, and the agent answers.

Place: table guard, above all that it refuses or lets through. See pipelines.shapes for the rules of all.
"""

from __future__ import annotations

from typing import Final

from model.flow import Match, Metered, Shape, Slot, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import IS_ICMPV6, IS_IPV4, IS_IPV6, IS_SRC, MAC, SRC, shape

METER: Final = Slot("meter", 32)
_AT_ASKED: Final = 320


def _asked(name: str, *terms: Match) -> Shape:
    """Of a port's own MAC; whatever its source address, since a client may have none yet."""
    match = (IS_SRC, Match(f.ETH_SRC, MAC), *terms)
    actions = (Metered(METER), Special.CONTROLLER_ASKED)
    return shape(f"asked-{name}", t.GUARD, _AT_ASKED, match, (SRC, MAC, METER), actions)


def _udp(kind: Match, client: int, server: int) -> tuple[Match, ...]:
    return (kind, Match(f.IP_PROTO, f.UDP), Match(f.UDP_SRC, client), Match(f.UDP_DST, server))


ASKED_DHCP4: Final = _asked("dhcp4", *_udp(IS_IPV4, 68, 67))
ASKED_DHCP6: Final = _asked("dhcp6", *_udp(IS_IPV6, 546, 547))
ASKED_ROUTER: Final = _asked("router", *IS_ICMPV6, Match(f.ICMPV6_TYPE, f.ROUTER_SOLICITATION))
ASKED: Final = (ASKED_DHCP4, ASKED_DHCP6, ASKED_ROUTER)
"""All shapes of this file."""
