"""Sources: where a report reads: sums of days and hours where these are current, intervals elsewhere.

Place: gives `accounting.report` one relation with the same columns whatever it is made of. Adjacent times
never share an interval or lack one. Must not round: what can't be told exactly is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa

from accounting.classes import INBOUND, Direction
from accounting.ledger.spans import Grain, Span, Spans, spans
from accounting.ledger.tables import DAYS, HOUR, HOURS, INTERVALS, TENANTS, UNITS, UnitState, hour_of
from model.errors import Fault, Invalid

OWNERS: Final = ("tenant_uid", "tenant_name", "network_uid", "network_name", "port_uid", "port_name")
NAMES: Final = ("host", *OWNERS, "class", "class_name", "datapath")
"""Columns of the relation, besides:

`at_ms`: the hour or day that it sums up, or an interval's end; `last_ms`: the latest end in it;
`packets`, `bytes`, `intervals`; `carried_bytes`: at most so many of `bytes` passed before the asked time.
"""


@dataclass(frozen=True, slots=True)
class Window:
    """[from_ms, to_ms), for these tenants (None: all), of one direction.

    `largest`: what one row may sum up at most. `cut`: hours of which no row may sum up any part.
    """

    from_ms: int
    to_ms: int
    tenants: Sequence[str] | None
    largest: Grain = Grain.DAY
    direction: Direction = Direction.OUT
    cut: Sequence[int] = ()


def usage(connection: sa.Connection, window: Window) -> sa.Subquery:
    """The relation. Invalid: it begins or ends within an hour whose intervals are no longer kept."""
    found = observe(connection, window)
    _refuse_sealed(connection, window, found.edges)
    single = (*found.edges, *found.stale)
    whole = found.hours or found.days
    kept = [
        _intervals(window, single) if single or not whole else None,
        _sums(window, HOURS, "hour_ms", found.stale, HOURS.c.sealed == 1),
        _sums(window, HOURS, "hour_ms", found.hours),
        _sums(window, DAYS, "day_ms", found.days),
    ]
    return sa.union_all(*(part for part in kept if part is not None)).subquery("usage")


def observe(connection: sa.Connection, window: Window) -> Spans:
    """What of the window can be read from what, as the ledger is now."""
    statement = (
        sa.select(UNITS.c.hour_ms)
        .where(
            UNITS.c.state == UnitState.STALE,
            UNITS.c.hour_ms > window.from_ms - HOUR,
            UNITS.c.hour_ms < window.to_ms,
        )
        .distinct()
    )
    stale = connection.execute(statement).scalars()
    return spans(window.from_ms, window.to_ms, stale, window.largest, window.cut)


def _intervals(window: Window, parts: Sequence[Span]) -> sa.Select[Any]:
    table = INTERVALS.c
    carried = sa.case((table.from_ms < window.from_ms, table.bytes), else_=0)
    return sa.select(
        *(table[name] for name in NAMES),
        table.to_ms.label("at_ms"),
        table.to_ms.label("last_ms"),
        table.packets,
        table.bytes,
        sa.literal(1, sa.BigInteger()).label("intervals"),
        carried.label("carried_bytes"),
    ).where(*_of(window, INTERVALS), _within(table.to_ms, parts))


def _sums(
    window: Window, table: sa.Table, time: str, parts: Sequence[Span], *more: sa.ColumnElement[bool]
) -> sa.Select[Any] | None:
    if not parts:
        return None
    columns = table.c
    carried = sa.case((columns.first_ms < window.from_ms, columns.carried_bytes), else_=0)
    return sa.select(
        *(columns[name] for name in NAMES),
        columns[time].label("at_ms"),
        columns.last_ms,
        columns.packets,
        columns.bytes,
        columns.intervals,
        carried.label("carried_bytes"),
    ).where(*_of(window, table), _within(columns[time], parts), *more)


def _of(window: Window, table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    way = INBOUND if window.direction is Direction.IN else 0
    return (*_whose(window, table), table.c["class"].bitwise_and(INBOUND) == way)


def _whose(window: Window, table: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    # All of them by name, too: indexes begin with the tenant, and there are few beside the rows of a table.
    tenants = sa.select(TENANTS.c.tenant_uid) if window.tenants is None else window.tenants
    return (table.c.tenant_uid.in_(tenants),)


def _within(column: sa.ColumnElement[int], parts: Sequence[Span]) -> sa.ColumnElement[bool]:
    return sa.or_(sa.false(), *(sa.and_(column >= begin, column < end) for begin, end in parts))


def _refuse_sealed(connection: sa.Connection, window: Window, edges: Sequence[Span]) -> None:
    for begin, _ in edges:
        hour = hour_of(begin)
        sealed = sa.select(HOURS.c.hour_ms).where(
            *_whose(window, HOURS), HOURS.c.hour_ms == hour, HOURS.c.sealed == 1
        )
        if connection.execute(sealed.limit(1)).first() is not None:
            at = datetime.fromtimestamp(hour / 1000, UTC)
            raise Invalid(
                Fault(
                    "report",
                    "intervals-not-kept",
                    f"of the hour from {at:%Y-%m-%dT%H:%MZ} on, which the report cuts, only sums are kept",
                    "let the report begin and end on a whole hour, UTC",
                    "from" if begin == window.from_ms else "to",
                )
            )
