"""Sums: adds up what `accounting.ledger.sources` gives, a row for each combination of groupings.

Place: behind `accounting.report.answer`. Must not round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa

from accounting.classes import class_of
from accounting.ledger.sources import Window, usage
from accounting.ledger.spans import Grain
from accounting.ledger.tables import DAY, HOUR
from accounting.report.query import UNATTRIBUTED, Grouping, Query, Row
from accounting.report.times import Days, day_text, hour_name, hour_text
from model.errors import Fault, Invalid

NAMED: Final = {
    Grouping.TENANT: ("tenant_uid", "tenant_name"),
    Grouping.NETWORK: ("network_uid", "network_name"),
    Grouping.PORT: ("port_uid", "port_name"),
    Grouping.CLASS: ("class", "class_name"),
    Grouping.HOST: ("host", "host"),
    Grouping.HOUR: ("hour_ms", "hour_ms"),
    Grouping.DAY: ("day_ms", "day_ms"),
}
"""Key and name of each grouping, as columns."""

MOST_ROWS: Final = 200_000
"""Of one report: they are held in memory, and answered at once."""
MOST_READ: Final = 2 * MOST_ROWS
"""Rows may become one, where something was renamed."""

Place = tuple[str, ...]
"""A row's keys, and the names of classes: another name of a class number is another class."""


def sums(
    connection: sa.Connection, query: Query, days: Days, uids: Sequence[str] | None
) -> tuple[tuple[Row, ...], int]:
    """Rows in no order, and the straddling bytes. Invalid: they would be too many."""
    width = 2 * len(query.by)
    merged: dict[Place, list[Any]] = {}
    names: dict[tuple[Grouping, str], tuple[int, str]] = {}
    straddling = 0
    text = texts(days)
    for count, row in enumerate(connection.execute(statement(connection, query, days, uids)), 1):
        if count > MOST_READ or len(merged) > MOST_ROWS:
            raise too_large()
        last, packets, size, intervals, carried = row[width:]
        straddling += int(carried)
        keys, place = list[str](), list[str]()
        for by, raw_key, raw_name in zip(query.by, row[:width:2], row[1:width:2], strict=True):
            key, name = text[by](raw_key, raw_name)
            keys.append(key)
            place += (key, name) if by is Grouping.CLASS else (key,)
            # Ports, networks and tenants keep their uid: the last name wins, everywhere in the report.
            names[by, key] = max(names.get((by, key), (last, name)), (last, name))
        entry = merged.setdefault(tuple(place), [keys, [0, 0, 0]])
        for index, number in enumerate((packets, size, intervals)):
            entry[1][index] += int(number)
    return tuple(_row(query, names, place, *entry) for place, entry in merged.items()), straddling


def too_large() -> Invalid:
    """A report with more rows than fit."""
    return Invalid(
        Fault(
            "report",
            "report-too-large",
            f"there would be more than {MOST_ROWS:,} rows",
            "Ask for a shorter time, for one tenant, or by less at once.",
            "by",
        )
    )


def order(row: Row, query: Query) -> tuple[tuple[str, str], ...]:
    """By what people read: names, then keys; but times as they follow each other."""
    pairs = zip(query.by, row.names, row.keys, strict=True)
    return tuple((key if by is Grouping.HOUR else name, key) for by, name, key in pairs)


def _row(
    query: Query,
    names: dict[tuple[Grouping, str], tuple[int, str]],
    place: Place,
    keys: Sequence[str],
    numbers: Sequence[int],
) -> Row:
    words = [names[by, key][1] for by, key in zip(query.by, keys, strict=True)]
    if Grouping.CLASS in query.by:
        at = query.by.index(Grouping.CLASS)
        words[at] = place[at + 1]
    return Row(tuple(keys), tuple(words), *numbers)


def statement(
    connection: sa.Connection, query: Query, days: Days, uids: Sequence[str] | None
) -> sa.Select[Any]:
    daily = Grouping.DAY in query.by
    coarse = Grouping.HOUR not in query.by and (days.utc or not daily)
    window = Window(
        query.from_ms,
        query.to_ms,
        uids,
        Grain.DAY if coarse else Grain.HOUR,
        query.direction,
        days.cuts() if daily else (),
    )
    table = usage(connection, window).c
    ahead = ahead_of(table.at_ms, days)
    # Times as columns of an inner relation: PostgreSQL groups by no expression with parameters.
    source = (
        sa.select(
            *table,
            (table.at_ms - table.at_ms % HOUR).label("hour_ms"),
            (ahead - ahead % DAY - DAY).label("day_ms"),
        )
        .subquery("timed")
        .c
    )
    group = [source[name] for by in query.by for name in NAMED[by]]
    numbers = ("packets", "bytes", "intervals", "carried_bytes")
    return (
        sa.select(
            *(column.label(f"g{place}") for place, column in enumerate(group)),
            sa.func.max(source.last_ms),
            *(sa.func.sum(source[name]) for name in numbers),
        )
        .group_by(*dict.fromkeys(group))
        .limit(MOST_READ + 1)
    )


def ahead_of(at_ms: sa.ColumnElement[int], days: Days) -> sa.ColumnElement[int]:
    """What clocks of the zone show, and a day more: remainders of negative numbers differ."""
    later = [(at_ms < since, ahead) for (_, ahead), (since, _) in pairwise(days.steps)]
    last = days.steps[-1][1]
    offset = sa.case(*later, else_=last) if later else sa.literal(last, sa.BigInteger())
    return at_ms + offset + DAY


def _plain(key: Any, name: Any) -> tuple[str, str]:
    return str(key), str(name)


def _tenant(key: Any, name: Any) -> tuple[str, str]:
    return str(key), str(name) if key else UNATTRIBUTED


def _class(key: Any, name: Any) -> tuple[str, str]:
    return str(class_of(int(key))), str(name)


def texts(days: Days) -> dict[Grouping, Callable[[Any, Any], tuple[str, str]]]:
    """What makes texts of a key and a name of the database."""

    def hour(key: Any, _: Any) -> tuple[str, str]:
        return hour_text(int(key)), hour_name(int(key), days)

    def day(key: Any, _: Any) -> tuple[str, str]:
        return (day_text(int(key)),) * 2

    return {
        Grouping.TENANT: _tenant,
        Grouping.NETWORK: _plain,
        Grouping.PORT: _plain,
        Grouping.CLASS: _class,
        Grouping.HOST: _plain,
        Grouping.HOUR: hour,
        Grouping.DAY: day,
    }
