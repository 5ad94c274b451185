"""Shapes of what comes in: who brings it from outside, the class of its source, and the counters.

Place: tables origin and received, and what leads to them from classify, output, arrival, spread and limit
(docs/decisions/0045). See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from model.addresses import OUTSIDE_MAC
from model.flow import Action, Match, Output, OutputField, SetField, Shape
from pipelines import fields as f
from pipelines import tables as t
from pipelines.shapes.entry import TUNNEL_VRF4, TUNNEL_VRF6
from pipelines.shapes.prefixes import ARRIVAL_VIA, SPREAD_LOCAL
from pipelines.shapes.routes import ARRIVAL_LOCAL
from pipelines.shapes.terms import (
    AT_GENERAL,
    CLS,
    IP4,
    IP6,
    IS_IPV4,
    IS_IPV6,
    MASK4,
    MASK6,
    PORT,
    PRIORITY,
    RECEIVER,
    into_door,
    into_origin,
    shape,
)

_FROM_OUTSIDE: Final = SetField(f.OUTSIDE.field, 1)
_IS_OUTSIDE: Final = Match(f.OUTSIDE.field, 1)
_IS_EXIT: Final = Match(f.EXIT.field, PORT)
_AT_LET_IN: Final = 160
"""Above what sends any frame out of a port, below what is for an address of an external network here."""


# classify: a border leads out of the cluster; a gateway marks what it has let in
def _outside(entry: Shape) -> Shape:
    return replace(entry, name=f"{entry.name}-outside", actions=(*entry.actions, _FROM_OUTSIDE))


def _let_in(entry: Shape) -> Shape:
    marked = (*entry.match, Match(f.ETH_SRC, OUTSIDE_MAC))
    return replace(_outside(entry), name=f"{entry.name}-let-in", priority=_AT_LET_IN, match=marked)


BORDER4, BORDER6 = _outside(TUNNEL_VRF4), _outside(TUNNEL_VRF6)
LET_IN4, LET_IN6 = _let_in(TUNNEL_VRF4), _let_in(TUNNEL_VRF6)

# output: what comes back to a tenant behind its address, at the gateway
OUTPUT_MARKED: Final = shape(
    "let-in",
    t.OUTPUT,
    _AT_LET_IN,
    (_IS_OUTSIDE, _IS_EXIT),
    (PORT,),
    (SetField(f.ETH_SRC, OUTSIDE_MAC), OutputField(f.EXIT.field)),
)
OUTPUT_OPEN: Final = shape(
    "open",
    t.OUTPUT,
    _AT_LET_IN,
    (_IS_OUTSIDE, _IS_EXIT),
    (PORT, RECEIVER),
    (SetField(f.RECEIVER.field, RECEIVER),),
    t.ORIGIN,
)

# arrival, spread: the ways of `routes` and `prefixes` to a port that is reached from outside
ARRIVAL_OPEN: Final = tuple(into_origin(each) for each in ARRIVAL_LOCAL)
ARRIVAL_VIA_OPEN: Final = tuple(into_origin(each) for each in ARRIVAL_VIA)
SPREAD_OPEN: Final = tuple(into_origin(each) for each in SPREAD_LOCAL)
OUTPUT_OPEN_JUDGED: Final = into_door(OUTPUT_OPEN)
ARRIVAL_OPEN_JUDGED: Final = tuple(into_door(each) for each in ARRIVAL_OPEN)
ARRIVAL_VIA_OPEN_JUDGED: Final = tuple(into_door(each) for each in ARRIVAL_VIA_OPEN)
SPREAD_OPEN_JUDGED: Final = tuple(into_door(each) for each in SPREAD_OPEN)

# origin
ORIGIN_INSIDE: Final = shape("inside", t.ORIGIN, 1000, (Match(f.OUTSIDE.field, 0),), goto=t.LIMIT)
ORIGIN_UNASKED: Final = shape(
    # Of a port under policy that nothing is counted for, which comes here all the same.
    "unasked",
    t.ORIGIN,
    990,
    (Match(f.RECEIVER.field, 0),),
    goto=t.LIMIT,
)


def _sources() -> tuple[Shape, ...]:
    """(masked, exact, any) of IPv4, then of IPv6: as the declared prefixes of table class."""
    made = []
    for family, kind, field, ip, mask in (
        ("4", IS_IPV4, f.IP_SRC, IP4, MASK4),
        ("6", IS_IPV6, f.IPV6_SRC, IP6, MASK6),
    ):
        for form, terms, more in (
            ("masked", (Match(field, ip, mask),), (ip, mask)),
            ("exact", (Match(field, ip),), (ip,)),
            ("any", (), ()),
        ):
            name, slots = f"declared{family}-{form}", (PRIORITY, CLS, *more)
            actions: tuple[Action, ...] = (SetField(f.CLASS.field, CLS),)
            made.append(shape(name, t.ORIGIN, PRIORITY, (kind, *terms), slots, actions, t.RECEIVED))
    return tuple(made)


ORIGIN_DECLARED: Final = _sources()

# received, limit
RECEIVED_COUNTER: Final = shape(
    "counter",
    t.RECEIVED,
    AT_GENERAL,
    (Match(f.RECEIVER.field, RECEIVER), Match(f.CLASS.field, CLS)),
    (RECEIVER, CLS),
    (),
    t.LIMIT,
)
LIMIT_PLAIN: Final = shape("plain", t.LIMIT, AT_GENERAL, (_IS_EXIT,), (PORT,), (Output(PORT),))

INWARD: Final = (
    BORDER4,
    BORDER6,
    LET_IN4,
    LET_IN6,
    OUTPUT_MARKED,
    OUTPUT_OPEN,
    *ARRIVAL_OPEN,
    *ARRIVAL_VIA_OPEN,
    *SPREAD_OPEN,
    OUTPUT_OPEN_JUDGED,
    *ARRIVAL_OPEN_JUDGED,
    *ARRIVAL_VIA_OPEN_JUDGED,
    *SPREAD_OPEN_JUDGED,
    ORIGIN_INSIDE,
    ORIGIN_UNASKED,
    *ORIGIN_DECLARED,
    RECEIVED_COUNTER,
    LIMIT_PLAIN,
)
"""All shapes of this file."""
