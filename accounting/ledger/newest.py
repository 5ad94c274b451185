"""Newest: which hosts the ledger heard of lately, and what their last intervals hold.

Place: reads for `accounting.live`. Costs a look into an index for each host, and the newest intervals; never
the time before them. Must not judge who is silent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import sqlalchemy as sa

from accounting.classes import UNCLASSIFIED
from accounting.ledger.tables import DAY, HOUR, HOURS, INTERVALS, UNITS, UnitState, hour_of
from accounting.live import AHEAD_MS, Heard, Sum

_AT_ONCE: Final = 100
"""Hosts in one query: each is a condition, and SQLite nests them."""
LOOKBACK_MS: Final = DAY
"""Hosts of which the ledger got nothing for longer are not looked for."""
_REACH: Final = 2 * HOUR
"""Whose bytes a silent host carries is looked up in so much of its last time."""

BY_SWITCH: Final = INTERVALS.c["class"].bitwise_and(UNCLASSIFIED) == 0
"""Counted by the switch. Devices past it are read at times of their own, a minute apart, into a journal of
their own: they say nothing of how far the switch's counters have come."""

Columns = Sequence[tuple[str, str]]
"""(column of the key, column of the name), for each thing that a line is of."""


def heard(connection: sa.Connection, now_ms: int, words: Mapping[str, int | None]) -> tuple[Heard, ...]:
    """Hosts with intervals in the last day, and all that `words` names, by name.

    `words`: of hosts that are declared, up to when all that they counted is here; None = they don't say.
    """
    # With all states named, the index of states and hours finds the last day's.
    states = UNITS.c.state.in_([int(state) for state in UnitState])
    recent = sa.select(UNITS.c.host).where(states, UNITS.c.hour_ms >= hour_of(now_ms - LOOKBACK_MS))
    hosts = recent.distinct().subquery()
    since = INTERVALS.c.to_ms > now_ms - 2 * LOOKBACK_MS
    newest = sa.select(sa.func.max(INTERVALS.c.to_ms)).where(
        INTERVALS.c.host == hosts.c.host, BY_SWITCH, since
    )
    statement = sa.select(
        hosts.c.host,
        newest.where(INTERVALS.c.to_ms <= now_ms + AHEAD_MS).scalar_subquery(),
        newest.scalar_subquery(),
    )
    found: dict[str, Heard] = {}
    for host, last, latest in connection.execute(statement):
        ahead = latest if latest is not None and latest > now_ms + AHEAD_MS else None
        found[host] = Heard(host, last, _credible(words.get(host), now_ms), ahead)
    for host in words.keys() - found.keys():
        last = sa.select(sa.func.max(INTERVALS.c.to_ms)).where(
            INTERVALS.c.host == host, INTERVALS.c.to_ms <= now_ms, BY_SWITCH
        )
        found[host] = Heard(host, connection.execute(last).scalar(), _credible(words[host], now_ms))
    return tuple(found[host] for host in sorted(found))


def sums(
    connection: sa.Connection,
    spans: Mapping[str, tuple[int, int]],
    columns: Columns,
    chosen: sa.ColumnElement[bool],
) -> list[Sum]:
    """Of the `chosen` of each host's intervals that ended in its span, the begin out, the end in."""
    keys = [INTERVALS.c[key] for key, _ in columns]
    names = [INTERVALS.c[name] for _, name in columns]
    numbers = (
        sa.func.sum(INTERVALS.c.packets),
        sa.func.sum(INTERVALS.c.bytes),
        sa.func.min(INTERVALS.c.from_ms),
        sa.func.max(INTERVALS.c.to_ms),
        sa.func.max(INTERVALS.c.to_ms - INTERVALS.c.from_ms),
    )
    found: list[Sum] = []
    for some in _portions(sorted(spans)):
        ended = sa.or_(
            *(
                sa.and_(INTERVALS.c.host == host, INTERVALS.c.to_ms > begin, INTERVALS.c.to_ms <= end)
                for host, (begin, end) in ((host, spans[host]) for host in some)
            )
        )
        statement = (
            sa.select(INTERVALS.c.host, *keys, *names, *numbers)
            .where(ended, BY_SWITCH, chosen)
            .group_by(INTERVALS.c.host, *keys, *names)
        )
        found += (_sum(tuple(row), len(columns)) for row in connection.execute(statement))
    return sorted(found, key=lambda each: (each.host, each.keys, each.names))


def carries(connection: sa.Connection, host: str, upto_ms: int, tenants: Sequence[str]) -> bool:
    """Whether a host sent for one of these tenants in its last hours up to `upto_ms`, or a day of sums."""
    recently = sa.select(INTERVALS.c.sequence).where(
        INTERVALS.c.host == host,
        INTERVALS.c.to_ms > upto_ms - _REACH,
        INTERVALS.c.to_ms <= upto_ms,
        INTERVALS.c.tenant_uid.in_(tenants),
    )
    summed = sa.select(HOURS.c.place).where(
        HOURS.c.host == host,
        HOURS.c.hour_ms > upto_ms - LOOKBACK_MS,
        HOURS.c.tenant_uid.in_(tenants),
    )
    return any(connection.execute(statement.limit(1)).first() is not None for statement in (summed, recently))


def _credible(word_ms: int | None, now_ms: int) -> int | None:
    """As of intervals: what lies in the future is left aside."""
    return word_ms if word_ms is not None and word_ms <= now_ms + AHEAD_MS else None


def _sum(row: tuple[Any, ...], size: int) -> Sum:
    host, keys, names = row[0], row[1 : 1 + size], row[1 + size : 1 + 2 * size]
    return Sum(host, tuple(map(str, keys)), tuple(map(str, names)), *map(int, row[1 + 2 * size :]))


def _portions(hosts: Sequence[str]) -> Iterable[Sequence[str]]:
    return (hosts[start : start + _AT_ONCE] for start in range(0, len(hosts), _AT_ONCE))
