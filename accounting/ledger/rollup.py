"""Rollup: hourly sums of intervals and daily sums of hours, for each tenant, network, port, class and host.

Place: asked by the API now and then; reports read what it made (`accounting.ledger.sources`). Sums are made
from intervals and from nothing else, a host's hour at a time, whole or not at all: so a late upload, a crash
and a rebuild all end in the same numbers. An interval belongs to the hour and day in which it ends, as it
does in a report. Must not add to a sum: it makes it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, SQLAlchemyError

from accounting.ledger.database import Ledger, unwritable, upsert
from accounting.ledger.engine import lock
from accounting.ledger.tables import (
    BALANCES,
    DAY,
    DAYS,
    GAPS,
    HOUR,
    HOURS,
    INTERVALS,
    TENANTS,
    UNITS,
    UnitState,
    day_of,
)

AT_ONCE: Final = 32
"""Units in one transaction: uploads of these hours wait for it, and SQLite's other writers."""
ROLLING: Final = 0x52_46_4C_02
"""The lock that keeps processes from summing up the same day."""
GROUP: Final = (
    "tenant_uid", "tenant_name", "network_uid", "network_name", "port_uid", "port_name",
    "class", "class_name", "datapath",
)  # fmt: skip
"""What a row of sums is of. With names: who renames something in an hour gets two rows of that hour."""
SUMS: Final = ("first_ms", "last_ms", "packets", "bytes", "carried_bytes", "intervals")

_OVERFLOW: Final = "integer overflow"
"""What SQLite says of a sum above 63 bits, as an error of operation."""
MEANWHILE: Final = "nothing is lost: reports read single intervals meanwhile"

Unit = tuple[str, int]
"""(host, hour): all intervals of this host that ended in this hour."""


@dataclass(frozen=True, slots=True)
class Rolled:
    """`failed`: units whose sums the database could not make, and why; reports read their intervals."""

    units: int
    failed: tuple[tuple[Unit, str], ...] = ()


def roll(ledger: Ledger, before_ms: int, go_on: Callable[[], bool] = lambda: True) -> Rolled:
    """Sum up every stale unit whose hour ended at or before `before_ms`; a few in each transaction.

    `go_on` is asked after each transaction; it may wait, to let others write, or end it.
    Unavailable: the database failed; what was summed up before stays.
    """
    done = 0
    failed: list[tuple[Unit, str]] = []
    after: Unit | None = None
    try:
        while True:
            with ledger.writing() as connection:
                lock(connection, ROLLING)
                units = _stale(connection, before_ms, after)
                if not units:
                    return Rolled(done, tuple(failed))
                refused = _roll(connection, units)
            done += len(units) - len(refused)
            failed += refused
            after = units[-1]
            if not go_on():
                return Rolled(done, tuple(failed))
    except SQLAlchemyError as error:
        raise unwritable("hours could not be summed up", MEANWHILE, error) from error


def rebuild(ledger: Ledger) -> int:
    """Call every sum stale, so that `roll` makes all of them anew; how many units.

    Reports stay right meanwhile. Sums of intervals that are no longer kept are not touched: nothing could
    give them back.
    """
    try:
        with ledger.writing() as connection:
            lock(connection, ROLLING)
            return _rebuild(connection)
    except SQLAlchemyError as error:
        raise unwritable("sums could not be called stale", MEANWHILE, error) from error


def _rebuild(connection: sa.Connection) -> int:
    hour = INTERVALS.c.to_ms - INTERVALS.c.to_ms % HOUR
    for units in (
        sa.select(INTERVALS.c.host, hour.label("hour_ms")).distinct(),
        sa.select(HOURS.c.host, HOURS.c.hour_ms).distinct(),
    ):
        found = units.subquery()
        rows = sa.select(
            found.c.host, found.c.hour_ms, sa.literal(int(UnitState.STALE)), sa.literal(0)
        ).where(sa.true())  # SQLite can't tell ON CONFLICT from a join's ON without a WHERE
        insert = upsert(connection, UNITS).from_select(["host", "hour_ms", "state", "changes"], rows)
        connection.execute(insert.on_conflict_do_nothing())
    named = sa.union(
        *(sa.select(t.c.tenant_uid, t.c.tenant_name) for t in (INTERVALS, HOURS, GAPS, BALANCES))
    ).subquery()
    names = sa.select(named.c.tenant_uid, named.c.tenant_name).where(sa.true())
    known = upsert(connection, TENANTS).from_select(["tenant_uid", "tenant_name"], names)
    connection.execute(known.on_conflict_do_nothing())
    connection.execute(sa.delete(DAYS))
    return connection.execute(sa.update(UNITS).values(state=UnitState.STALE)).rowcount


def expected(connection: sa.Connection, unit: Unit) -> list[tuple[Any, ...]]:
    """The sums of a unit's intervals as they are now, in order."""
    return _plain(connection, _hour_sums(unit))


def written(connection: sa.Connection, unit: Unit) -> list[tuple[Any, ...]]:
    """The sums that stand for a unit's intervals, in order."""
    columns = [HOURS.c[name] for name in (*GROUP, *SUMS)]
    return _plain(connection, sa.select(*columns).where(*_of(HOURS, unit), HOURS.c.sealed == 0))


def _plain(connection: sa.Connection, statement: sa.Select[Any]) -> list[tuple[Any, ...]]:
    """Rows with whole numbers, in an order that no database's collation changes."""
    size = len(GROUP)
    rows = (tuple(row) for row in connection.execute(statement))
    return sorted((*row[:size], *(int(number) for number in row[size:])) for row in rows)


def _stale(connection: sa.Connection, before_ms: int, after: Unit | None) -> list[Unit]:
    place = sa.tuple_(UNITS.c.host, UNITS.c.hour_ms)
    statement = (
        sa.select(UNITS.c.host, UNITS.c.hour_ms)
        .where(UNITS.c.state == UnitState.STALE, UNITS.c.hour_ms <= before_ms - HOUR)
        .order_by(UNITS.c.host, UNITS.c.hour_ms)
        .limit(AT_ONCE)
    )
    if after is not None:
        statement = statement.where(place > sa.tuple_(*after))
    return [(host, hour) for host, hour in connection.execute(statement)]


def _roll(connection: sa.Connection, units: Sequence[Unit]) -> list[tuple[Unit, str]]:
    """Sum up these units and their days; those that could not be."""
    failed: list[tuple[Unit, str]] = []
    days: dict[Unit, list[Unit]] = {}
    for unit in units:
        days.setdefault((unit[0], day_of(unit[1])), []).append(unit)
    for day, hours in days.items():
        reason = _tried(connection, day, hours)
        if reason is not None and len(hours) > 1:
            # The numbers of one may not fit, whatever a host has said; the others must not wait for it.
            each = ((unit, _tried(connection, day, [unit])) for unit in hours)
            failed += [(unit, reason) for unit, reason in each if reason is not None]
        elif reason is not None:
            failed.append((hours[0], reason))
    return failed


def _tried(connection: sa.Connection, day: Unit, hours: Sequence[Unit]) -> str | None:
    """Sum up hours of one day, and the day; what the database had against it. Then nothing of it was done."""
    try:
        with connection.begin_nested():
            for unit in hours:
                _roll_unit(connection, unit)
            _roll_day(connection, *day)
    except DBAPIError as error:
        # Anything else, a full disk or a lost server, is no fault of these hours: it ends the transaction.
        if isinstance(error, DataError) or _OVERFLOW in str(error.orig):
            return str(error)
        raise
    return None


def _roll_unit(connection: sa.Connection, unit: Unit) -> None:
    # The unit's row first: it waits for posts that add to this hour, and they wait for us.
    connection.execute(sa.update(UNITS).where(*_of(UNITS, unit)).values(state=UnitState.ROLLED))
    connection.execute(sa.delete(HOURS).where(*_of(HOURS, unit), HOURS.c.sealed == 0))
    places = sa.select(sa.func.coalesce(sa.func.max(HOURS.c.place), 0)).where(*_of(HOURS, unit))
    above = int(connection.execute(places).scalar_one())
    sums = _hour_sums(unit).subquery()
    statement = _insertion(HOURS, unit, {"sealed": 0}, sums, above)
    made = connection.execute(statement.execution_options(preserve_rowcount=True))
    if made.rowcount == 0:
        connection.execute(sa.update(UNITS).where(*_of(UNITS, unit)).values(state=UnitState.SEALED))


def _roll_day(connection: sa.Connection, host: str, day: int) -> None:
    here = (HOURS.c.host == host, HOURS.c.hour_ms >= day, HOURS.c.hour_ms < day + DAY)
    connection.execute(sa.delete(DAYS).where(DAYS.c.host == host, DAYS.c.day_ms == day))
    group = [HOURS.c[name] for name in GROUP]
    carried = sa.case((HOURS.c.first_ms < day, HOURS.c.carried_bytes), else_=0)
    sums = sa.select(*group, *_totals(HOURS.c, carried, sa.func.sum(HOURS.c.intervals)))
    connection.execute(_insertion(DAYS, (host, day), {}, sums.where(*here).group_by(*group).subquery(), 0))


def _hour_sums(unit: Unit) -> sa.Select[Any]:
    """Of a unit's intervals."""
    host, hour = unit
    group = [INTERVALS.c[name] for name in GROUP]
    carried = sa.case((INTERVALS.c.from_ms < hour, INTERVALS.c.bytes), else_=0)
    first, last = INTERVALS.c.from_ms.label("first_ms"), INTERVALS.c.to_ms.label("last_ms")
    source = {"first_ms": first, "last_ms": last, "packets": INTERVALS.c.packets, "bytes": INTERVALS.c.bytes}
    sums = sa.select(*group, *_totals(source, carried, sa.func.count()))
    here = (INTERVALS.c.host == host, INTERVALS.c.to_ms >= hour, INTERVALS.c.to_ms < hour + HOUR)
    return sums.where(*here).group_by(*group)


def _totals(source: Any, carried: Any, intervals: Any) -> list[sa.ColumnElement[Any]]:
    """SUMS, in their order."""
    made = (
        sa.func.min(source["first_ms"]), sa.func.max(source["last_ms"]), sa.func.sum(source["packets"]),
        sa.func.sum(source["bytes"]), sa.func.sum(carried), intervals,
    )  # fmt: skip
    return [column.label(name) for name, column in zip(SUMS, made, strict=True)]


def _insertion(
    table: sa.Table, place: tuple[str, int], marks: dict[str, int], sums: sa.Subquery, above: int
) -> sa.Insert:
    """Rows of sums, numbered from `above` + 1 on."""
    number = sa.func.row_number().over(order_by=[sums.c[name] for name in GROUP]) + above
    keys = [column.name for column in table.primary_key.columns]
    names = [*keys, *marks, *GROUP, *SUMS]
    values: list[sa.ColumnElement[Any]] = [
        sa.literal(place[0]),
        sa.literal(place[1], sa.BigInteger()),
        number,
    ]
    values += [sa.literal(mark) for mark in marks.values()]
    values += [sums.c[name] for name in (*GROUP, *SUMS)]
    return sa.insert(table).from_select(names, sa.select(*values))


def _of(table: sa.Table, unit: Unit) -> tuple[sa.ColumnElement[bool], ...]:
    return (table.c.host == unit[0], table.c.hour_ms == unit[1])
