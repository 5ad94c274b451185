"""Check: whether sums are those of the intervals, and days those of their hours. Only reads.

Place: asked by an operator, or by a test; the same comparison stands before intervals are let go. Must not
mend: `rollup.rebuild` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from accounting.ledger.database import Ledger
from accounting.ledger.rollup import Unit, expected, written
from accounting.ledger.tables import DAY, DAYS, HOUR, HOURS, UNITS, UnitState, day_of

AT_ONCE: Final = 64
"""Units that are read in one transaction."""
_COMPARED: Final = ("packets", "bytes", "intervals")


@dataclass(frozen=True, slots=True)
class Standing:
    """Hours of hosts: not summed up (or not all of them), summed up, and kept as sums only.

    `oldest_stale_ms`: the earliest hour that is stale, None if there is none.
    """

    stale: int
    rolled: int
    sealed: int
    oldest_stale_ms: int | None


@dataclass(frozen=True, slots=True)
class Checked:
    """`units`: how many were compared. `hours`, `days`: (host, its begin) of those whose sums differ."""

    units: int
    hours: tuple[Unit, ...]
    days: tuple[Unit, ...]


def standing(ledger: Ledger) -> Standing:
    """How far sums have come."""
    with ledger.reading() as connection:
        states = sa.select(UNITS.c.state, sa.func.count()).group_by(UNITS.c.state)
        counts = {int(state): int(count) for state, count in connection.execute(states)}
        stale = sa.select(sa.func.min(UNITS.c.hour_ms)).where(UNITS.c.state == UnitState.STALE)
        oldest = connection.execute(stale).scalar()
    of = {state: counts.get(int(state), 0) for state in UnitState}
    return Standing(of[UnitState.STALE], of[UnitState.ROLLED], of[UnitState.SEALED], oldest)


def check(ledger: Ledger, from_ms: int, to_ms: int) -> Checked:
    """Compare the units whose hours begin in [from_ms, to_ms); those that are stale are left out."""
    units, hours = 0, list[Unit]()
    days: dict[Unit, None] = {}
    after: Unit | None = None
    while True:
        with ledger.reading() as connection:
            found = _units(connection, from_ms, to_ms, after)
            if not found:
                return Checked(units, tuple(hours), tuple(sorted(days)))
            hours += [unit for unit in found if expected(connection, unit) != written(connection, unit)]
            whole = sorted({(host, day_of(hour)) for host, hour in found})
            days |= dict.fromkeys(day for day in whole if not _day_agrees(connection, day))
        units += len(found)
        after = found[-1]


def _units(connection: sa.Connection, from_ms: int, to_ms: int, after: Unit | None) -> list[Unit]:
    statement = (
        sa.select(UNITS.c.host, UNITS.c.hour_ms)
        .where(
            UNITS.c.state.in_((UnitState.ROLLED, UnitState.SEALED)),
            UNITS.c.hour_ms >= from_ms,
            UNITS.c.hour_ms < to_ms,
        )
        .order_by(UNITS.c.host, UNITS.c.hour_ms)
        .limit(AT_ONCE)
    )
    if after is not None:
        statement = statement.where(sa.tuple_(UNITS.c.host, UNITS.c.hour_ms) > sa.tuple_(*after))
    return [(host, hour) for host, hour in connection.execute(statement)]


def _day_agrees(connection: sa.Connection, day: Unit) -> bool:
    """Of a day with a stale hour nobody reads the sums: it agrees."""
    host, begin = day
    stale = sa.select(UNITS.c.hour_ms).where(
        UNITS.c.host == host,
        UNITS.c.hour_ms > begin - HOUR,
        UNITS.c.hour_ms < begin + DAY,
        UNITS.c.state == UnitState.STALE,
    )
    if connection.execute(stale.limit(1)).first() is not None:
        return True
    of_hours = (HOURS.c.host == host, HOURS.c.hour_ms >= begin, HOURS.c.hour_ms < begin + DAY)
    of_day = (DAYS.c.host == host, DAYS.c.day_ms == begin)
    return _totals(connection, HOURS, of_hours) == _totals(connection, DAYS, of_day)


def _totals(
    connection: sa.Connection, table: sa.Table, where: tuple[sa.ColumnElement[bool], ...]
) -> list[tuple[Any, ...]]:
    """Sums by port and class."""
    group = (table.c.tenant_uid, table.c.network_uid, table.c.port_uid, table.c["class"], table.c.class_name)
    sums = (sa.func.sum(table.c[name]) for name in _COMPARED)
    found = connection.execute(sa.select(*group, *sums).where(*where).group_by(*group))
    return sorted((*row[:5], *map(int, row[5:])) for row in found)
