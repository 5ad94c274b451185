"""Accounts: the counters among the flows, for those that read them and those that must not lose them.

Place: read by the agent's meter. An unbound port's counters may only be deleted after the last reading, so
its patch is cut in two; what moves the pass of the data path in which a port is counted, or the class as
which, is cut out, so that nothing need wait to be counted meanwhile (docs/decisions/0026, 0043). Must not
read counters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import compress
from typing import Final

from model.change import Patch
from model.flow import Ct, Flow, Group, Recirculate
from model.ids import SAME_NETWORK
from pipelines import cookies
from pipelines.shapes.inward import RECEIVED_COUNTER
from pipelines.shapes.outward import ROUTE_FLOATING
from pipelines.shapes.paths import COUNTER
from pipelines.shapes.peering import ACROSS
from pipelines.shapes.prefixes import DEAD, VIA_GROUP, VIA_LOCAL, VIA_REMOTE4, VIA_REMOTE6
from pipelines.tables import (
    ACCOUNT,
    CLASSES,
    GUARD,
    ORIGIN,
    OUTSIDE,
    RATE,
    RECEIVED,
    SIZE,
    TRANSLATE,
    TRANSLATED,
)

ACCOUNT_TABLE: Final = ACCOUNT.number
"""The table of the counters of what is sent."""
COUNTER_TABLES: Final = (ACCOUNT_TABLE, RECEIVED.number)
"""The tables of all counters."""
CLASS_TABLES: Final = frozenset({CLASSES.number, ORIGIN.number})
"""The tables that say which counter counts."""
_COUNTERS: Final = frozenset({COUNTER.name, RECEIVED_COUNTER.name})
PASS_TABLES: Final = frozenset({SIZE.number, RATE.number})
"""Tables ahead of it with flows that end a pass: one that comes or goes moves the pass that is counted."""

WAY_TABLES: Final = frozenset(table.number for table in (GUARD, TRANSLATE, TRANSLATED, OUTSIDE))
"""Tables in which packets of local ports end, or go on to be counted."""
_WAYS: Final = frozenset(
    shape.name
    for shapes in (ACROSS, ROUTE_FLOATING, DEAD, VIA_GROUP, VIA_LOCAL, VIA_REMOTE4, VIA_REMOTE6)
    for shape in shapes
)


def is_counter(flow: Flow) -> bool:
    """Whether a flow counts for the bill."""
    return flow.shape.name in _COUNTERS


def classifies(flow: Flow) -> bool:
    """Whether a flow says which class a destination or source has, because of a declared class."""
    return in_class(flow.shape.table, flow.cookie)


def of_source(flow: Flow) -> bool:
    """Whether a flow says the class of a source, for what comes from outside."""
    return flow.shape.table == ORIGIN.number


def in_class(table: int, cookie: int) -> bool:
    """The same of a flow by its table and cookie: those of networks and misses never change."""
    said = cookies.parse(cookie) if table in CLASS_TABLES else None
    if said is None:
        return False
    return said.kind is cookies.Kind.VRF or (said.kind is cookies.Kind.HOST and said.cls != SAME_NETWORK)


def split(patch: Patch) -> tuple[Patch, Patch]:
    """(now, after the last reading): the second deletes counters and does nothing else.

    Send the first, which stops the traffic; purge, read and journal; then send the second.
    """
    now, later = [], []
    for put, drop in patch.groups:
        keep = tuple(flow for flow in drop if not is_counter(flow))
        counters = tuple(flow for flow in drop if is_counter(flow))
        if put or keep:
            now.append((put, keep))
        if counters:
            later.append(((), counters))
    return replace(patch, groups=tuple(now)), Patch(tuple(later))


def ends_pass(flow: Flow) -> bool:
    """Whether a flow ends a pass of the data path ahead of the account: the next one is counted."""
    return flow.shape.table in PASS_TABLES and any(isinstance(act, Recirculate) for act in flow.shape.actions)


def leads(flow: Flow) -> bool:
    """Whether a flow may decide that a packet of a local port is counted, or in which pass: a port's own
    addresses, prefixes behind next hops, peerings and ways out. Not who lives where: what is for nobody is
    counted too (docs/decisions/0051)."""
    return flow.shape.table in WAY_TABLES or flow.shape.name in _WAYS


def alike(one: Flow, other: Flow) -> bool:
    """Whether it makes no difference for what is counted which of the two a packet takes."""
    return _onward(one) == _onward(other)


def _onward(flow: Flow) -> tuple[int | None, tuple[type[object], ...]]:
    turns = tuple(type(act) for act in flow.shape.actions if isinstance(act, Ct | Group | Recirculate))
    return flow.shape.goto, turns


def cut(patch: Patch, within: Callable[[Flow], bool]) -> tuple[Patch, Patch, Patch]:
    """(first, groups with such a flow, what may go only then). The first has all meters that are made."""
    chosen = [any(within(flow) for flow in (*put, *drop)) for put, drop in patch.groups]
    if not any(chosen):
        return patch, Patch(()), Patch(())
    split = {moves: tuple(compress(patch.groups, (c is moves for c in chosen))) for moves in (False, True)}
    return Patch(split[False], patch.meters), Patch(split[True]), Patch((), (), patch.stale_meters)
