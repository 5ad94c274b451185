"""The tables of policy: where leaving and entering packets of ports under policy are judged.

Place: listed in `pipelines.tables`: the leaving side behind services, the entering side before origin, the
chains that both use behind everything (docs/decisions/0058). Must not hold flows.
"""

from __future__ import annotations

from typing import Final

from model.entries import Level
from model.flow import Field
from model.policy import Direction
from pipelines import fields as f
from pipelines.declaration import Table

_SRC = f.SOURCE.field
_EXIT = f.EXIT.field
_SUBJECT = f.SUBJECT.field
_GROUP = f.ALIKE.field
_SCOPE = f.SCOPE.field
_DOMAIN = f.DOMAIN.field
_NOTED = f.NOTED.field
_DECIDED = f.DECIDED.field
_NET = f.NETWORK.field
_PART: Final = (_SUBJECT, _GROUP, f.CT_STATE, f.LABEL_EPOCH, f.ETH_TYPE, f.IP_FRAG)
_OWN: Final = (_SUBJECT, f.CT_STATE, f.CT_ZONE)
_WAYS: Final = {Direction.OUT: "out", Direction.IN: "in"}


def _name(world: str, direction: Direction, level: Level) -> str:
    return f"{_WAYS[direction]}_{world}_{level.name.lower()}"


def _starts(direction: Direction) -> tuple[str, str]:
    """Where a chain begins, for a port of which some rule counts, and for any other."""
    return _name("foreseen", direction, Level.OPERATOR), _name("real", direction, Level.OPERATOR)


def _own(
    number: int, name: str, onward: tuple[str, ...], behind: str, writes: tuple[Field, ...] = ()
) -> Table:
    """Open vSwitch (ipf.c of 3.1, userspace data path) hands out fragments that conntrack held with whatever
    packet it tracks next: parts that did not fit into their own batch of 32, and parts whose time is over.
    They go on with that packet's registers, whoever it is from, but bear their own zone, or none."""
    return Table(
        number=number,
        name=name,
        purpose=f"Lets on, behind {behind}, only what was tracked in the zone of the very port that is being"
        " judged: fragments that Open vSwitch held of another port end here.",
        matches=_OWN,
        writes=writes,
        next=(),
        again=onward,
        miss="drop: a fragment of another port's, or of nobody's any more",
    )


_CHAINS: Final = (*_starts(Direction.OUT), *_starts(Direction.IN))

ACROSS: Final = Table(
    number=13,
    name="across",
    purpose="Says of packets that cross a peering that the addresses of their ends are meant there: what one"
    " side exports, to what the other does.",
    matches=(f.VRF.field, f.ETH_DST, f.ETH_TYPE, f.IP_SRC, f.IP_DST, f.IPV6_SRC, f.IPV6_DST),
    writes=(_SCOPE,),
    next=("watch",),
    miss="continue: within the tenant",
)
WATCH: Final = Table(
    number=14,
    name="watch",
    purpose="Looks up what a port under policy sends among the connections of the port. Neighbour discovery"
    " and what else never leaves the link is not judged, nor is what is for a gateway itself, where all of it"
    " ends.",
    matches=(*(_SRC, f.VRF.field, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST, f.IP_PROTO, f.ICMPV6_TYPE),),
    writes=(_SUBJECT, _DOMAIN),
    next=("gateway",),
    again=("leaving_own",),
    miss="continue: no policy",
)
LEAVING: Final = Table(
    number=15,
    name="leaving",
    purpose="Lets on what belongs to a connection that was judged by what holds now. Any other is judged, by"
    " how it began: a reply by the chain of what enters, all else by the chain of what leaves. Later parts of"
    " a datagram show no ports: they wait for the word on the first.",
    matches=_PART,
    writes=(_DECIDED, _NOTED),
    next=("left", "left_parts", *_CHAINS),
    miss="drop: no port under policy",
)
LEFT: Final = Table(
    number=17,
    name="left",
    purpose="Counts for each rule what it has let leave.",
    matches=(_DECIDED,),
    writes=(),
    next=("left_hits",),
    miss="continue: the rule is no more",
)
LEFT_HITS: Final = Table(
    number=18,
    name="left_hits",
    purpose="Counts for each port and counting rule what the rule would have dropped.",
    matches=(_NOTED, _SUBJECT),
    writes=(),
    next=("left_parts",),
    miss="continue: nothing, or the rule is no more",
)
LEFT_PARTS: Final = Table(
    number=19,
    name="left_parts",
    purpose="Has the parts of a datagram whose connection is not known yet wait for each other: the later"
    " ones come without a judge, the first only if it was let through. Together they go on, and their"
    " connection is remembered as one that is still to be judged.",
    matches=_PART,
    writes=(f.LABEL_EPOCH,),
    next=("gateway",),
    again=("left_whole",),
    miss="continue: a whole packet, or of a connection that was judged",
)
ADDRESSEE: Final = Table(
    number=38,
    name="addressee",
    purpose="Lets a bridged IP packet of a port that some rule forbids to send on only to a MAC that has the"
    " packet's destination in the network: rules judge addresses, frames go by MAC. What is only counted as"
    " forbidden goes on, and is counted.",
    matches=(_NET, _SRC, f.ETH_DST, f.ETH_TYPE, f.IP_DST, f.IPV6_DST),
    writes=(),
    next=("resolve",),
    miss="drop: never reached, each port that comes here has a flow",
)
DOOR: Final = Table(
    number=66,
    name="door",
    purpose="Looks up what a port under policy gets among the connections of the port. Neighbour discovery"
    " and what else never leaves the link is not judged.",
    matches=(_SRC, _EXIT, f.ETH_TYPE, f.IP_PROTO, f.ICMPV6_TYPE),
    writes=(_SUBJECT, _DOMAIN, _DECIDED, _NOTED),
    next=("origin",),
    again=("entering_own",),
    miss="drop: never reached, each port that may come here has a flow",
)
ENTERING: Final = Table(
    number=70,
    name="entering",
    purpose="As leaving, of what a port gets: a reply is judged by the chain of what leaves, all else by the"
    " chain of what enters.",
    matches=_PART,
    writes=(_DECIDED, _NOTED),
    next=("entered", "entered_parts", *_CHAINS),
    miss="drop: no port under policy",
)
ENTERED: Final = Table(
    number=72,
    name="entered",
    purpose="Counts for each rule what it has let enter.",
    matches=(_DECIDED,),
    writes=(),
    next=("entered_hits",),
    miss="continue: the rule is no more",
)
ENTERED_HITS: Final = Table(
    number=74,
    name="entered_hits",
    purpose="As left_hits, of what a port gets.",
    matches=(_NOTED, _SUBJECT),
    writes=(),
    next=("entered_parts",),
    miss="continue: nothing, or the rule is no more",
)
ENTERED_PARTS: Final = Table(
    number=75,
    name="entered_parts",
    purpose="As left_parts, of what a port gets.",
    matches=_PART,
    writes=(f.LABEL_EPOCH,),
    next=("origin",),
    again=("entered_whole",),
    miss="continue: a whole packet, or of a connection that was judged",
)


def _stage(number: int, world: str, direction: Direction, level: Level, purpose: str) -> Table:
    """One tier of a chain. A rule may lead to any tier behind it, and what is decided to the end."""
    beyond = tuple(_name(world, direction, later) for later in Level if later > level)
    really = (_name("real", direction, Level.OPERATOR),) if world == "foreseen" else ("settle",)
    return Table(
        number=number,
        name=_name(world, direction, level),
        purpose=purpose,
        matches=(
            *(_GROUP, _DOMAIN, _SCOPE, f.CONJ_ID, f.ETH_TYPE, f.IP_PROTO, f.SCTP_SRC, f.SCTP_DST),
            *(f.CT_STATE, f.CT_SRC, f.CT_DST, f.CT_SRC6, f.CT_DST6, f.CT_PROTO, f.CT_SPORT, f.CT_DPORT),
        ),
        writes=(_NOTED, _DECIDED),
        next=(*beyond, *really),
        miss="continue to the next tier" if beyond else "continue: nobody decides",
    )


def _chain(first: int, direction: Direction) -> tuple[Table, ...]:
    """As if all rules were enforced, a table for each tier; then as if those that count were not there."""
    foreseen = tuple(
        _stage(first + level, "foreseen", direction, level, "Notes what would be dropped, and drops nothing.")
        for level in Level
    )
    real = tuple(
        _stage(first + 4 + level, "real", direction, level, "Judges by the rules that are enforced.")
        for level in Level
    )
    return foreseen + real


OUTWARD_CHAIN: Final = _chain(100, Direction.OUT)
INWARD_CHAIN: Final = _chain(110, Direction.IN)
"""Four tables of what is foreseen, then four of what is real."""

SETTLE: Final = Table(
    number=120,
    name="settle",
    purpose="Remembers with the connection what judged it, which rule let it through and which one would not"
    " have, and has the packet go on where it was judged. The first part of a datagram goes on at once, to"
    " be remembered with the others.",
    matches=(_EXIT, _SUBJECT, _GROUP, f.ETH_TYPE, f.IP_FRAG),
    writes=f.PARTS,
    next=(),
    again=("left", "entered", "left_own", "entered_own"),
    miss="drop: no port under policy, or judged as one of another group",
)

LEAVING_OWN: Final = _own(121, "leaving_own", ("leaving", "gateway"), "watch", (_GROUP,))
LEFT_OWN: Final = _own(122, "left_own", ("left", "gateway"), "settle")
LEFT_WHOLE: Final = _own(123, "left_whole", ("gateway",), "left_parts")
ENTERING_OWN: Final = _own(124, "entering_own", ("entering", "origin"), "door", (_GROUP,))
ENTERED_OWN: Final = _own(125, "entered_own", ("entered", "origin"), "settle")
ENTERED_WHOLE: Final = _own(126, "entered_whole", ("origin",), "entered_parts")

LEAVING_PART: Final = (ACROSS, WATCH, LEAVING, LEFT, LEFT_HITS, LEFT_PARTS, ADDRESSEE)
ENTERING_PART: Final = (DOOR, ENTERING, ENTERED, ENTERED_HITS, ENTERED_PARTS)
CHAINS: Final = (*OUTWARD_CHAIN, *INWARD_CHAIN, SETTLE)
OWN: Final = (LEAVING_OWN, LEFT_OWN, LEFT_WHOLE, ENTERING_OWN, ENTERED_OWN, ENTERED_WHOLE)
"""Each is all that may come behind one look-up among connections."""
JUDGING: Final = frozenset(
    table.number for table in (*LEAVING_PART, *ENTERING_PART, *CHAINS, *OWN) if table is not ACROSS
)
"""The tables that judge (`pipelines.turns.judges`)."""
