"""Residuals: at each row, what interfaces took in beyond what was counted of them.

Place: behind `accounting.report.answer`. Made of ports' hourly balances (`accounting.records.Balance`), each
of the hour in which it begins, so they are of the hours that begin within a report. They know no class and
nothing of what ports got. Must not take what nobody knows for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import sqlalchemy as sa

from accounting.classes import Direction
from accounting.ledger.tables import BALANCES, DAY, HOUR, TENANTS
from accounting.report.query import Grouping, Query, Row
from accounting.report.sums import NAMED, ahead_of, texts
from accounting.report.times import Days

Keys = tuple[str, ...]
_NUMBERS: Final = ("wire_bytes", "counted_bytes")


def with_residuals(
    connection: sa.Connection, rows: Sequence[Row], query: Query, days: Days, uids: Sequence[str] | None
) -> tuple[tuple[Row, ...], int | None]:
    """The rows with their residuals, and that of all; a row of its own where nothing was counted at all."""
    if query.direction is Direction.IN:
        return tuple(rows), None
    if Grouping.CLASS in query.by:
        whole = _balanced(connection, replace(query, by=(Grouping.TENANT,)), days, uids)
        return tuple(rows), _sum(whole)
    found = _balanced(connection, query, days, uids)
    known = {row.keys for row in rows}
    bare = [row for keys, row in found.items() if keys not in known and row.residual != 0]
    more = [replace(row, residual=found[row.keys].residual) if row.keys in found else row for row in rows]
    return (*more, *bare), _sum(found)


def _sum(found: Mapping[Keys, Row]) -> int | None:
    numbers = [row.residual for row in found.values()]
    known = [number for number in numbers if number is not None]
    return sum(known) if numbers and len(known) == len(numbers) else None


def _balanced(
    connection: sa.Connection, query: Query, days: Days, uids: Sequence[str] | None
) -> dict[Keys, Row]:
    """Rows that hold a residual and nothing else."""
    width = 2 * len(query.by)
    text = texts(days)
    found: dict[Keys, Row] = {}
    for row in connection.execute(_statement(query, days, uids)):
        pairs = [text[by](*row[2 * at : 2 * at + 2]) for at, by in enumerate(query.by)]
        wire, counted, balances, known = row[width:]
        residual = int(wire) - int(counted) if balances == known else None
        keys = tuple(key for key, _ in pairs)
        old = found.get(keys)
        if old is not None and residual is not None:
            residual = None if old.residual is None else old.residual + residual
        found[keys] = Row(keys, tuple(name for _, name in pairs), 0, 0, 0, residual=residual)
    return found


def _statement(query: Query, days: Days, uids: Sequence[str] | None) -> sa.Select[Any]:
    table = BALANCES.c
    ahead = ahead_of(table.from_ms, days)
    source = (
        sa.select(
            *table,
            (table.from_ms - table.from_ms % HOUR).label("hour_ms"),
            (ahead - ahead % DAY - DAY).label("day_ms"),
        )
        .where(
            table.tenant_uid.in_(sa.select(TENANTS.c.tenant_uid) if uids is None else uids),
            table.from_ms >= query.from_ms,
            table.from_ms < query.to_ms,
        )
        .subquery("timed")
        .c
    )
    group = [source[name] for by in query.by for name in NAMED[by]]
    return (
        sa.select(
            *(column.label(f"g{place}") for place, column in enumerate(group)),
            *(sa.func.sum(source[name]) for name in _NUMBERS),
            sa.func.count(),
            sa.func.count(source.wire_bytes),
        )
        .group_by(*dict.fromkeys(group))
        .order_by(sa.func.max(source.from_ms))
    )  # the last name wins
