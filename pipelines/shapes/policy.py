"""Shapes of policy at a port: what is looked up among its connections, judged anew, remembered and counted.

Place: tables watch to left_hits, door to entered_hits, and settle (docs/decisions/0058). Those of the chains
are in `pipelines.policy.shapes`. See pipelines.shapes for the rules of all shapes.
"""

from __future__ import annotations

from typing import Final

from model.entries import Level
from model.flow import Back, Ct, Match, Move, SetField, Shape, Slot
from model.policy import Action, Direction, State
from pipelines import fields as f
from pipelines import tables as t
from pipelines.policy import shapes as sh
from pipelines.policy.clauses import Chain
from pipelines.shapes.terms import (
    AT_GENERAL,
    AT_LAST,
    AT_LOCAL,
    AT_OWN,
    AT_REMOTE,
    IS_ICMPV6,
    IS_IPV4,
    IS_IPV6,
    IS_SRC,
    PORT,
    SRC,
    shape,
)

ZONE: Final = Slot("zone", 16)
EPOCH: Final = Slot("epoch", 32)
MESSAGE: Final = Slot("message", 8)
SUBJECT: Final = Slot("subject", 32)
GROUP: Final = Slot("group", 64)
DOMAIN: Final = Slot("domain", 32)
NUMBER: Final = Slot("number", 32)

_FAMILIES: Final = (("4", IS_IPV4), ("6", IS_IPV6))
_IS_SUBJECT: Final = Match(f.SUBJECT.field, SUBJECT)
_IS_GROUP: Final = Match(f.ALIKE.field, GROUP)
"""Its name is written behind the look-up and not before it: Open vSwitch may go on with a cached first half
until it has looked at that after a change, and the name of before the change has no rules any more. Settle
asks for it again: what a switch that is half mended judges by another's rules is not remembered as its own.
"""
_IS_EXIT: Final = Match(f.EXIT.field, PORT)
_IS_LEAVING: Final = Match(f.EXIT.field, 0)
"""Nothing has been found out yet of where it goes."""
_KNOWN: Final = f.CT_TRACKED | f.CT_INVALID
_IS_INVALID: Final = Match(f.CT_STATE, _KNOWN, _KNOWN)
_IS_VALID: Final = Match(f.CT_STATE, f.CT_TRACKED, _KNOWN)
_IS_REPLY: Final = Match(f.CT_STATE, f.CT_TRACKED | f.CT_REPLY, _KNOWN | f.CT_REPLY)
_IS_ASKED: Final = Match(f.CT_STATE, f.CT_TRACKED, _KNOWN | f.CT_REPLY)
_RECALL: Final = (Move(f.LABEL_DECIDED, f.DECIDED.field), Move(f.LABEL_NOTED, f.NOTED.field))
_REMEMBER: Final = (
    SetField(f.LABEL_EPOCH, EPOCH),
    Move(f.DECIDED.field, f.LABEL_DECIDED),
    Move(f.NOTED.field, f.LABEL_NOTED),
)
NEVER_JUDGED: Final = (130, 131, 132, 133, 134, 135, 136, 137, 143)
"""Types of ICMPv6 that never leave the link: listeners (RFC 3810) and neighbours (RFC 4861). Conntrack calls
them invalid."""

# watch
WATCH_LINK: Final = shape(
    "link", t.WATCH, AT_LOCAL, (*IS_ICMPV6, Match(f.ICMPV6_TYPE, MESSAGE)), (MESSAGE,), goto=t.GATEWAY
)
WATCH_JUDGED: Final = tuple(
    shape(
        f"judged{name}",
        t.WATCH,
        AT_GENERAL,
        (IS_SRC, kind),
        (SRC, SUBJECT, DOMAIN, ZONE),
        (
            SetField(f.SUBJECT.field, SUBJECT),
            SetField(f.DOMAIN.field, DOMAIN),
            Ct(ZONE, t.LEAVING_OWN.number),
        ),
    )
    for name, kind in _FAMILIES
)
WATCH_CLOSED: Final = shape("closed", t.WATCH, AT_LAST, (IS_SRC,), (SRC,))
"""It cannot be judged yet: its zone of connections is still to be given out."""

# door
DOOR_LINK: Final = shape(
    "link", t.DOOR, AT_LOCAL, (*IS_ICMPV6, Match(f.ICMPV6_TYPE, MESSAGE)), (MESSAGE,), goto=t.ORIGIN
)
DOOR_JUDGED: Final = tuple(
    shape(
        f"judged{name}",
        t.DOOR,
        AT_GENERAL,
        (_IS_EXIT, kind),
        (PORT, SUBJECT, DOMAIN, ZONE),
        (
            SetField(f.SUBJECT.field, SUBJECT),
            SetField(f.DOMAIN.field, DOMAIN),
            SetField(f.DECIDED.field, 0),  # a port of this host may have been judged for sending it
            SetField(f.NOTED.field, 0),
            Ct(ZONE, t.ENTERING_OWN.number),
        ),
    )
    for name, kind in _FAMILIES
)
DOOR_CLOSED: Final = tuple(
    shape(f"closed{name}", t.DOOR, AT_GENERAL, (_IS_EXIT, kind), (PORT,)) for name, kind in _FAMILIES
)
DOOR_PLAIN: Final = shape("plain", t.DOOR, AT_LAST, (_IS_EXIT,), (PORT,), goto=t.ORIGIN)


# behind each look-up
_IS_TRACKED: Final = Match(f.CT_STATE, f.CT_TRACKED, f.CT_TRACKED)
_IS_OWN: Final = (_IS_SUBJECT, _IS_TRACKED, Match(f.CT_ZONE, ZONE))
_JUDGED_BEHIND: Final = ((t.LEAVING_OWN, t.LEAVING), (t.ENTERING_OWN, t.ENTERING))
_BEHIND: Final = (
    (t.LEFT_OWN, t.LEFT),
    (t.LEFT_WHOLE, t.GATEWAY),
    (t.ENTERED_OWN, t.ENTERED),
    (t.ENTERED_WHOLE, t.ORIGIN),
)


def _own(table: t.Table, onward: t.Table, *named: Slot) -> Shape:
    name = tuple(SetField(f.ALIKE.field, slot) for slot in named)
    return shape("own", table, AT_GENERAL, _IS_OWN, (SUBJECT, ZONE, *named), (*name, Back(onward.number)))


OWN_JUDGED: Final = tuple(_own(*tables, GROUP) for tables in _JUDGED_BEHIND)
OWN: Final = tuple(_own(*tables) for tables in _BEHIND)
"""What conntrack gives back of the port's own. All else bears the registers of the port, and is not of it. To
be judged it gets the name of the group that the port is in now."""
_LEAVING_BEHIND: Final = frozenset({t.LEAVING_OWN, t.LEFT_OWN, t.LEFT_WHOLE})
DRAINING: Final = tuple(
    shape(
        "draining",
        table,
        AT_GENERAL,
        _IS_OWN,
        (SUBJECT, ZONE),
        (Back((t.GATEWAY if table in _LEAVING_BEHIND else t.ORIGIN).number),),
    )
    for table, _ in (*_JUDGED_BEHIND, *_BEHIND)
)
"""In their places, of a port that is no more under policy: cached flows of before may still look up what it
sends and gets."""


def _side(table: t.Table, onward: t.Table) -> tuple[Shape, Shape]:
    """What conntrack calls invalid, and what was judged by what holds now."""
    return (
        shape("invalid", table, AT_OWN, (_IS_SUBJECT, _IS_INVALID), (SUBJECT,)),
        shape(
            "known",
            table,
            AT_LOCAL,
            (_IS_GROUP, _IS_VALID, Match(f.LABEL_EPOCH, EPOCH)),
            (GROUP, EPOCH),
            _RECALL,
            onward,
        ),
    )


LEAVING_INVALID, LEAVING_KNOWN = _side(t.LEAVING, t.LEFT)
ENTERING_INVALID, ENTERING_KNOWN = _side(t.ENTERING, t.ENTERED)

# Parts of a datagram come from conntrack together, each with the tuple, but only the first with its ports.
# Of a connection that is to be judged the first is, alone; the others wait for it in conntrack, which has
# all go on when all are there: then the first has been let through. The last to come says how they go on, and
# does not know what was decided and noted of the first: so that is counted before, and the connection is
# remembered as one that is still to be judged.
_AT_PARTS: Final = 205
"""Above what is judged, below what is known."""


def _later(table: t.Table, onward: t.Table) -> tuple[Shape, ...]:
    later = Match(f.IP_FRAG, f.LATER_FRAGMENT, f.LATER_FRAGMENT)
    return tuple(
        shape(f"later{name}", table, _AT_PARTS, (kind, _IS_VALID, later), goto=onward)
        for name, kind in _FAMILIES
    )


LEAVING_LATER: Final = _later(t.LEAVING, t.LEFT_PARTS)
ENTERING_LATER: Final = _later(t.ENTERING, t.ENTERED_PARTS)


def _parts(table: t.Table, onward: t.Table, whole: t.Table) -> tuple[Shape, tuple[Shape, ...]]:
    """What needs not wait, for its connection was judged by what holds now; what waits."""
    some = Match(f.IP_FRAG, f.ANY_FRAGMENT, f.ANY_FRAGMENT)
    known = (_IS_GROUP, _IS_VALID, Match(f.LABEL_EPOCH, EPOCH))
    unjudged = (SetField(f.LABEL_EPOCH, 0),)
    return (
        shape("known", table, AT_LOCAL, known, (GROUP, EPOCH), goto=onward),
        tuple(
            shape(
                f"gathered{name}",
                table,
                AT_GENERAL,
                (_IS_SUBJECT, kind, some),
                (SUBJECT, ZONE),
                (Ct(ZONE, whole.number, remember=unjudged),),
            )
            for name, kind in _FAMILIES
        ),
    )


LEFT_PARTS_KNOWN, LEFT_PARTS = _parts(t.LEFT_PARTS, t.GATEWAY, t.LEFT_WHOLE)
ENTERED_PARTS_KNOWN, ENTERED_PARTS = _parts(t.ENTERED_PARTS, t.ORIGIN, t.ENTERED_WHOLE)

_CHAINS: Final = {Direction.OUT: t.OUTWARD_CHAIN, Direction.IN: t.INWARD_CHAIN}
_WORLDS: Final = (("real", 4), ("foreseen", 0))
"""Where a chain begins for a port of which nothing counts, and of which something does."""


def _unknown(table: t.Table, opened: Direction) -> dict[Direction, tuple[Shape, Shape]]:
    """What is judged by the chain of a direction: of replies it is that of the other end, which opened the
    connection. By whether something counts for the port."""
    terms = {opened: _IS_ASKED, _other(opened): _IS_REPLY}
    made: dict[Direction, tuple[Shape, Shape]] = {}
    for direction, term in terms.items():
        real, foreseen = (
            shape(
                f"{direction.value}-{world}",
                table,
                AT_REMOTE,
                (_IS_GROUP, term),
                (GROUP,),
                goto=_CHAINS[direction][at],
            )
            for world, at in _WORLDS
        )
        made[direction] = (real, foreseen)
    return made


def _closed(table: t.Table, unknown: dict[Direction, tuple[Shape, Shape]]) -> dict[Shape, Shape]:
    """In the very place of what is judged, for either."""
    made: dict[Shape, Shape] = {}
    for direction, ways in unknown.items():
        shut = shape(f"{direction.value}-closed", table, AT_REMOTE, ways[0].match, (GROUP,))
        made.update(dict.fromkeys(ways, shut))
    return made


def _other(direction: Direction) -> Direction:
    return Direction.IN if direction is Direction.OUT else Direction.OUT


LEAVING_UNKNOWN: Final = _unknown(t.LEAVING, Direction.OUT)
ENTERING_UNKNOWN: Final = _unknown(t.ENTERING, Direction.IN)
CLOSED: Final = _closed(t.LEAVING, LEAVING_UNKNOWN) | _closed(t.ENTERING, ENTERING_UNKNOWN)
"""What stands in the place of those by which a group is judged, while its rules are changed in parts."""

# settle
_IS_FIRST: Final = Match(f.IP_FRAG, f.ANY_FRAGMENT)
SETTLE_FIRST_LEFT: Final = tuple(
    shape(f"first-left{name}", t.SETTLE, 310, (_IS_LEAVING, kind, _IS_FIRST), (), (Back(t.LEFT.number),))
    for name, kind in _FAMILIES
)
SETTLE_FIRST_ENTERED: Final = tuple(
    shape(f"first-entered{name}", t.SETTLE, AT_OWN, (kind, _IS_FIRST), (), (Back(t.ENTERED.number),))
    for name, kind in _FAMILIES
)
SETTLE_LEFT: Final = tuple(
    shape(
        f"left{name}",
        t.SETTLE,
        AT_LOCAL,
        (_IS_LEAVING, _IS_SUBJECT, _IS_GROUP, kind),
        (SUBJECT, GROUP, ZONE, EPOCH),
        (Ct(ZONE, t.LEFT_OWN.number, remember=_REMEMBER),),
    )
    for name, kind in _FAMILIES
)
SETTLE_ENTERED: Final = tuple(
    shape(
        f"entered{name}",
        t.SETTLE,
        AT_GENERAL,
        (_IS_SUBJECT, _IS_GROUP, kind),
        (SUBJECT, GROUP, ZONE, EPOCH),
        (Ct(ZONE, t.ENTERED_OWN.number, remember=_REMEMBER),),
    )
    for name, kind in _FAMILIES
)

# left and entered, with their hits
_IS_DECIDED: Final = Match(f.DECIDED.field, NUMBER)
LEFT_TALLY: Final = shape("rule", t.LEFT, AT_GENERAL, (_IS_DECIDED,), (NUMBER,), goto=t.LEFT_HITS)
ENTERED_TALLY: Final = shape("rule", t.ENTERED, AT_GENERAL, (_IS_DECIDED,), (NUMBER,), goto=t.ENTERED_HITS)
_IS_NOTED: Final = Match(f.NOTED.field, NUMBER)
LEFT_HIT: Final = shape(
    "hit", t.LEFT_HITS, AT_GENERAL, (_IS_NOTED, _IS_SUBJECT), (NUMBER, SUBJECT), goto=t.LEFT_PARTS
)
ENTERED_HIT: Final = shape(
    "hit", t.ENTERED_HITS, AT_GENERAL, (_IS_NOTED, _IS_SUBJECT), (NUMBER, SUBJECT), goto=t.ENTERED_PARTS
)

# the chains
_ENDS: Final = {Direction.OUT: (f.CT_DST, f.CT_DST6), Direction.IN: (f.CT_SRC, f.CT_SRC6)}


def _chain(direction: Direction) -> Chain:
    numbers = [table.number for table in _CHAINS[direction]]
    return Chain(
        foreseen=(numbers[0], numbers[1], numbers[2], numbers[3]),
        real=(numbers[4], numbers[5], numbers[6], numbers[7]),
        done=t.SETTLE.number,
        sides=sh.Sides(f.ALIKE.field, f.SCOPE.field, *_ENDS[direction], f.DOMAIN.field),
        noted=f.NOTED.field,
        decided=f.DECIDED.field,
    )


CHAINS: Final = {direction: _chain(direction) for direction in Direction}
"""By whose direction they judge."""
CHAIN_MISSES: Final = {miss.table: miss for chain in CHAINS.values() for miss in chain.misses()}

POLICY: Final = (
    WATCH_LINK,
    *WATCH_JUDGED,
    WATCH_CLOSED,
    DOOR_LINK,
    *DOOR_JUDGED,
    *DOOR_CLOSED,
    DOOR_PLAIN,
    *OWN_JUDGED,
    *OWN,
    *DRAINING,
    LEAVING_INVALID,
    LEAVING_KNOWN,
    ENTERING_INVALID,
    ENTERING_KNOWN,
    *(each for pair in LEAVING_UNKNOWN.values() for each in pair),
    *(each for pair in ENTERING_UNKNOWN.values() for each in pair),
    *dict.fromkeys(CLOSED.values()),
    *LEAVING_LATER,
    *ENTERING_LATER,
    *SETTLE_FIRST_LEFT,
    *SETTLE_FIRST_ENTERED,
    *SETTLE_LEFT,
    *SETTLE_ENTERED,
    LEFT_PARTS_KNOWN,
    *LEFT_PARTS,
    ENTERED_PARTS_KNOWN,
    *ENTERED_PARTS,
    LEFT_TALLY,
    ENTERED_TALLY,
    LEFT_HIT,
    ENTERED_HIT,
    *(
        sh.concluded(chain.real[level], chain.really(level)[Action.DENY, State.ENFORCE])
        for chain in CHAINS.values()
        for level in Level
    ),
    *(
        sh.subject(table, chain.sides, sh.Clause(0, 2))
        for chain in CHAINS.values()
        for table in (*chain.foreseen, *chain.real)
    ),
)
"""All shapes of this file, and of each table of a chain one of those that `pipelines.policy.shapes` makes."""
