"""Shapes of allowed pairs: what a port may say besides as itself, in guard and neighbours.

Place: tables guard and neighbours, just below the port's own identity. See pipelines.shapes for the rules of
all shapes.
"""

from __future__ import annotations

from typing import Final

from model.flow import Match, Shape, Special
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.terms import (
    IP4,
    IP6,
    IS_ADVERT,
    IS_ARP,
    IS_ICMPV6,
    IS_IPV4,
    IS_IPV6,
    IS_ONE_HOP,
    IS_SOLICIT,
    IS_SRC,
    LLA,
    MAC,
    MASK4,
    MASK6,
    SRC,
    shape,
)

AT_ANNOUNCED: Final = 195
AT_PAIR: Final = 190
_BY = (IS_SRC, Match(f.ETH_SRC, MAC))


def _twice(
    name: str, table: t.Table, match: tuple[Match, ...], last: Match, goto: t.Table
) -> tuple[Shape, Shape]:
    """For one address, and for a prefix of them: `last` is the term that has the mask."""
    four = last.field.bits == 32
    address, mask = (IP4, MASK4) if four else (IP6, MASK6)
    slots = tuple(s for s in (SRC, MAC, LLA) if any(m.value == s for m in match))
    exact = shape(name, table, AT_PAIR, (*match, last), (*slots, address), (), goto)
    masked = (*match, Match(last.field, address, mask))
    return exact, shape(f"{name}-within", table, AT_PAIR, masked, (*slots, address, mask), (), goto)


# Each as (one address, a prefix). Slots: port, MAC, address, and the mask of a prefix.
PAIR_ARP: Final = _twice(
    "pair-arp", t.GUARD, (*_BY, IS_ARP, Match(f.ARP_SHA, MAC)), Match(f.ARP_SPA, IP4), t.SERVICES
)
PAIR_IPV4: Final = _twice("pair-ipv4", t.GUARD, (*_BY, IS_IPV4), Match(f.IP_SRC, IP4), t.SIZE)
PAIR_IPV6: Final = _twice("pair-ipv6", t.GUARD, (*_BY, IS_IPV6), Match(f.IPV6_SRC, IP6), t.NEIGHBOURS)
PAIR_ANNOUNCED4: Final = shape(
    "pair-announced",  # RFC 5227 section 3: sender and target are the address; the agent learns who has it
    t.GUARD,
    AT_ANNOUNCED,
    (*_BY, IS_ARP, Match(f.ARP_SPA, IP4), Match(f.ARP_TPA, IP4), Match(f.ARP_SHA, MAC)),
    (SRC, MAC, IP4),
    (Special.CONTROLLER,),
    t.SERVICES,
)
PAIR_PROBE: Final = shape(
    "pair-probe",  # RFC 5227 section 2.1.1
    t.GUARD,
    AT_PAIR,
    (
        *_BY,
        IS_ARP,
        Match(f.ARP_OP, f.ARP_REQUEST),
        Match(f.ARP_SPA, 0),
        Match(f.ARP_TPA, IP4),
        Match(f.ARP_SHA, MAC),
    ),
    (SRC, MAC, IP4),
    (),
    t.SERVICES,
)
PAIR_DAD: Final = shape(
    "pair-dad",  # RFC 4862 section 5.4.2
    t.GUARD,
    AT_PAIR,
    (
        *_BY,
        *IS_ICMPV6,
        Match(f.IPV6_SRC, 0),
        IS_ONE_HOP,
        *IS_SOLICIT,
        Match(f.ND_TARGET, IP6),
        Match(f.ND_SLL, 0),
    ),
    (SRC, MAC, IP6),
    (),
    t.SERVICES,
)
PAIR_SOLICIT: Final = shape(
    "pair-solicit",
    t.NEIGHBOURS,
    AT_PAIR,
    (IS_SRC, *IS_ICMPV6, IS_ONE_HOP, *IS_SOLICIT, Match(f.ND_SLL, LLA)),
    (SRC, LLA),
    (),
    t.SERVICES,
)
PAIR_ADVERTISE: Final = _twice(
    "pair-advertise",
    t.NEIGHBOURS,
    (IS_SRC, *IS_ICMPV6, IS_ONE_HOP, *IS_ADVERT, Match(f.ND_TLL, LLA)),
    Match(f.ND_TARGET, IP6),
    t.SERVICES,
)
PAIR_ANNOUNCED6: Final = shape(
    "pair-announced",  # RFC 4861 section 7.2.6
    t.NEIGHBOURS,
    AT_ANNOUNCED,
    (IS_SRC, *IS_ICMPV6, IS_ONE_HOP, *IS_ADVERT, Match(f.ND_TARGET, IP6), Match(f.ND_TLL, LLA)),
    (SRC, LLA, IP6),
    (Special.CONTROLLER,),
    t.SERVICES,
)

PAIRS: Final = (
    *PAIR_ARP,
    *PAIR_IPV4,
    *PAIR_IPV6,
    PAIR_ANNOUNCED4,
    PAIR_PROBE,
    PAIR_DAD,
    PAIR_SOLICIT,
    *PAIR_ADVERTISE,
    PAIR_ANNOUNCED6,
)
