"""Sums: adds up what `accounting.ledger.sources` gives, a row for each combination of groupings.

Place: behind `accounting.report.answer`. Must not round.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import sqlalchemy as sa

from accounting.classes import class_of
from accounting.ledger.sources import Window, usage
from accounting.ledger.spans import Grain
from accounting.ledger.tables import DAY, HOUR
from accounting.report.query import UNATTRIBUTED, Grouping, Query, Row
from accounting.report.times import day_text, hour_text

_NAMED: Final = {
    Grouping.TENANT: ("tenant_uid", "tenant_name"),
    Grouping.NETWORK: ("network_uid", "network_name"),
    Grouping.PORT: ("port_uid", "port_name"),
    Grouping.CLASS: ("class", "class_name"),
    Grouping.HOST: ("host", "host"),
    Grouping.HOUR: ("hour_ms", "hour_ms"),
    Grouping.DAY: ("day_ms", "day_ms"),
}
"""Key and name of each grouping, as columns."""

Place = tuple[str, ...]
"""A row's keys, and the names of classes: another name of a class number is another class."""


def sums(connection: sa.Connection, query: Query, uids: Sequence[str] | None) -> tuple[tuple[Row, ...], int]:
    """Rows in no order, and the straddling bytes."""
    width = 2 * len(query.by)
    merged: dict[Place, list[Any]] = {}
    names: dict[tuple[Grouping, str], tuple[int, str]] = {}
    straddling = 0
    for row in connection.execute(_statement(connection, query, uids)):
        last, packets, size, count, carried = row[width:]
        straddling += int(carried)
        keys, place = list[str](), list[str]()
        for by, raw_key, raw_name in zip(query.by, row[:width:2], row[1:width:2], strict=True):
            key, name = _TEXTS[by](raw_key, raw_name)
            keys.append(key)
            place += (key, name) if by is Grouping.CLASS else (key,)
            # Ports, networks and tenants keep their uid: the last name wins, everywhere in the report.
            names[by, key] = max(names.get((by, key), (last, name)), (last, name))
        entry = merged.setdefault(tuple(place), [keys, [0, 0, 0]])
        for index, number in enumerate((packets, size, count)):
            entry[1][index] += int(number)
    return tuple(_row(query, names, place, *entry) for place, entry in merged.items()), straddling


def order(row: Row) -> tuple[tuple[str, str], ...]:
    """By what people read: names, then keys."""
    return tuple(zip(row.names, row.keys, strict=True))


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


def _statement(connection: sa.Connection, query: Query, uids: Sequence[str] | None) -> sa.Select[Any]:
    largest = Grain.HOUR if Grouping.HOUR in query.by else Grain.DAY
    table = usage(connection, Window(query.from_ms, query.to_ms, uids, largest, query.direction)).c
    # Times as columns of an inner relation: PostgreSQL groups by no expression with parameters.
    source = (
        sa.select(
            *table,
            (table.at_ms - table.at_ms % HOUR).label("hour_ms"),
            (table.at_ms - table.at_ms % DAY).label("day_ms"),
        )
        .subquery("timed")
        .c
    )
    group = [source[name] for by in query.by for name in _NAMED[by]]
    numbers = ("packets", "bytes", "intervals", "carried_bytes")
    return sa.select(
        *(column.label(f"g{place}") for place, column in enumerate(group)),
        sa.func.max(source.last_ms),
        *(sa.func.sum(source[name]) for name in numbers),
    ).group_by(*dict.fromkeys(group))


def _plain(key: Any, name: Any) -> tuple[str, str]:
    return str(key), str(name)


def _tenant(key: Any, name: Any) -> tuple[str, str]:
    return str(key), str(name) if key else UNATTRIBUTED


def _class(key: Any, name: Any) -> tuple[str, str]:
    return str(class_of(int(key))), str(name)


def _hour(key: Any, _: Any) -> tuple[str, str]:
    text = hour_text(int(key))
    return text, text


def _day(key: Any, _: Any) -> tuple[str, str]:
    text = day_text(int(key))
    return text, text


_TEXTS: Final[dict[Grouping, Callable[[Any, Any], tuple[str, str]]]] = {
    Grouping.TENANT: _tenant,
    Grouping.NETWORK: _plain,
    Grouping.PORT: _plain,
    Grouping.CLASS: _class,
    Grouping.HOST: _plain,
    Grouping.HOUR: _hour,
    Grouping.DAY: _day,
}
