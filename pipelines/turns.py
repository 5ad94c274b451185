"""Turns: in which order the parts of a patch go, so that no packet in between is let through that both the
old and the new program forbid.

Place: under `pipelines.compile`, which says what comes and goes; the southbound makes bundles of the parts,
and puts all of policy into one (docs/decisions/0058). Must not compile.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Final

from model.change import WHOLE
from model.flow import Flow
from pipelines.objects import JUDGES, POLICY, Kind, Object
from pipelines.shapes.addressee import HELD
from pipelines.shapes.policy import CLOSED
from pipelines.tables import JUDGING

Group = tuple[tuple[Flow, ...], tuple[Flow, ...]]
Flows = dict[Object, list[Flow]]
Judging = Mapping[Object, tuple[Sequence[Flow], Sequence[Flow]]]
"""The flows of groups of ports, before and after, also of those that have the same."""
_Turn = tuple[int, int, Object]
_HELD: Final = frozenset(shape.name for shape in HELD)
_FIRST: Final[_Turn] = (-1, 0, Object(Kind.GROUP))
_BEHIND_POLICY: Final[_Turn] = (1, 0, Object(max(POLICY), 1 << 64))


def arrange(puts: Flows, drops: Flows, judging: Judging) -> tuple[Group, ...]:
    """(put, drop) of each object in its turn; of policy as it is, if it fits into one bundle.

    Else in parts, as all else: the groups of ports whose rules or peers change are closed first, and opened
    when all of it is there. Meanwhile only what was let through before goes on.
    """
    flows = chain(puts.items(), drops.items())
    if sum(len(some) for subject, some in flows if subject.kind in POLICY) <= WHOLE:
        return _ordered([(_turn(s, puts), puts.get(s, ()), drops.get(s, ())) for s in puts.keys() | drops])
    shut, gone, opened = list[Flow](), list[Flow](), list[Flow]()
    for subject in sorted(judging):
        was, now = ([flow for flow in flows if flow.shape in CLOSED] for flows in judging[subject])
        opened += now
        if now:
            shut += [Flow(CLOSED[flow.shape], flow.cookie, flow.values) for flow in was]
        else:
            gone += was
    early, late = set(gone), set(opened)
    order = [
        (_turn(s, puts), _but(puts.get(s, ()), late), _but(drops.get(s, ()), early))
        for s in puts.keys() | drops
    ]
    return _ordered([(_FIRST, shut, gone), *order, (_BEHIND_POLICY, opened, ())])


def judges(flow: Flow) -> bool:
    """Whether it is a part of what judges, as all flows of the objects of policy are."""
    return flow.shape.table in JUDGING or flow.shape.name in _HELD


def _ordered(groups: Sequence[tuple[_Turn, Sequence[Flow], Sequence[Flow]]]) -> tuple[Group, ...]:
    turns = sorted(groups, key=itemgetter(0))
    return tuple((tuple(put), tuple(drop)) for _, put, drop in turns if put or drop)


def _but(flows: Sequence[Flow], others: set[Flow]) -> list[Flow]:
    return [flow for flow in flows if flow not in others]


def _turn(subject: Object, puts: Container[Object]) -> _Turn:
    """When a group has its turn. Those that only drop come first: a port number that is given to another port
    must not deliver the frames of the port that had it before. But what judges a port goes last: behind all
    by which the port sends and gets, and behind what judges it from now on; rules behind the ports that they
    judge. There is no moment in which it is open. Who is no peer any more goes with what is put of policy:
    before, he would be missed as one whom a rule denies that others take the place of; behind, a port's new
    epoch would vouch for him."""
    if subject in puts or subject.kind is Kind.MEMBER:
        return 1, 0, subject
    return (2, -subject.kind, subject) if subject.kind in JUDGES else (0, 0, subject)
