"""Retention: lets go of single intervals that are old and stand in sums, and remembers which they were.

Place: asked by the API now and then, if the operator set for how long intervals are kept. Before a unit's
intervals go, its sums are made once more and compared. Must not touch what is not summed up, or differs;
gaps and conflicts are kept for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from accounting.ledger.database import Ledger, unwritable
from accounting.ledger.engine import lock
from accounting.ledger.rollup import AT_ONCE, ROLLING, Unit, expected, written
from accounting.ledger.tables import DROPPED, HOUR, HOURS, INTERVALS, UNITS, UnitState

Life = tuple[str, str, str]
"""(host, boot id, vswitchd start)."""


class Reason(Enum):
    """Why intervals stay."""

    NOT_ROLLED = "not-rolled"
    """Not all of them are in the sums."""
    DIFFERS = "sums-differ"
    """The sums are not those of the intervals: somebody changed one of them. They will be made anew."""


@dataclass(frozen=True, slots=True)
class Released:
    """What is no longer kept, and whose intervals stay though they are old enough."""

    units: int
    intervals: int
    refused: tuple[tuple[Unit, Reason], ...]


def release(ledger: Ledger, before_ms: int, go_on: Callable[[], bool] = lambda: True) -> Released:
    """Drop the intervals of units whose hour ended at or before `before_ms`; a few in each transaction.

    `go_on`: as of `rollup.roll`.
    """
    units, intervals = 0, 0
    refused: list[tuple[Unit, Reason]] = []
    after: Unit | None = None
    try:
        while True:
            with ledger.writing() as connection:
                lock(connection, ROLLING)
                found = _old(connection, before_ms, after)
                if not found:
                    return Released(units, intervals, tuple(refused))
                for unit in found:
                    result = _release(connection, unit)
                    if isinstance(result, Reason):
                        refused.append((unit, result))
                    else:
                        units, intervals = units + 1, intervals + result
            after = found[-1]
            if not go_on():
                return Released(units, intervals, tuple(refused))
    except SQLAlchemyError as error:
        raise unwritable(
            "old intervals could not be dropped", "they are kept and tried again", error
        ) from error


def islands(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Runs of whole numbers without a hole, both ends in."""
    found: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


def _old(connection: sa.Connection, before_ms: int, after: Unit | None) -> list[Unit]:
    statement = (
        sa.select(UNITS.c.host, UNITS.c.hour_ms)
        .where(UNITS.c.state.in_((UnitState.STALE, UnitState.ROLLED)), UNITS.c.hour_ms <= before_ms - HOUR)
        .order_by(UNITS.c.host, UNITS.c.hour_ms)
        .limit(AT_ONCE)
    )
    if after is not None:
        statement = statement.where(sa.tuple_(UNITS.c.host, UNITS.c.hour_ms) > sa.tuple_(*after))
    return [(host, hour) for host, hour in connection.execute(statement)]


def _release(connection: sa.Connection, unit: Unit) -> int | Reason:
    """How many intervals went."""
    host, hour = unit
    here = (UNITS.c.host == host, UNITS.c.hour_ms == hour)
    # Holds the unit: a post that adds to it waits, then finds it sealed and calls it stale again.
    held = sa.update(UNITS).where(*here, UNITS.c.state == UnitState.ROLLED).values(state=UnitState.SEALED)
    if connection.execute(held).rowcount == 0:
        return Reason.NOT_ROLLED
    if expected(connection, unit) != written(connection, unit):
        connection.execute(sa.update(UNITS).where(*here).values(state=UnitState.STALE))
        return Reason.DIFFERS
    ended = (INTERVALS.c.host == host, INTERVALS.c.to_ms >= hour, INTERVALS.c.to_ms < hour + HOUR)
    _remember(connection, host, ended)
    sums = (HOURS.c.host == host, HOURS.c.hour_ms == hour)
    connection.execute(sa.update(HOURS).where(*sums).values(sealed=1))
    return connection.execute(sa.delete(INTERVALS).where(*ended)).rowcount


def _remember(connection: sa.Connection, host: str, ended: tuple[sa.ColumnElement[bool], ...]) -> None:
    """Note the numbers of these intervals: a host's follow each other, and a run of them is a row."""
    columns = (INTERVALS.c.boot_id, INTERVALS.c.vswitchd_start, INTERVALS.c.sequence)
    lives: dict[Life, list[int]] = {}
    for boot_id, start, sequence in connection.execute(sa.select(*columns).where(*ended)):
        lives.setdefault((host, boot_id, start), []).append(sequence)
    for life in sorted(lives):
        for first, last in islands(lives[life]):
            _note(connection, life, first, last)


def _note(connection: sa.Connection, life: Life, first: int, last: int) -> None:
    """Note one run, together with those that it continues or leads up to."""
    same = (
        DROPPED.c.host == life[0],
        DROPPED.c.boot_id == life[1],
        DROPPED.c.vswitchd_start == life[2],
        DROPPED.c.first_sequence <= last + 1,
        DROPPED.c.last_sequence >= first - 1,
    )
    ends = (DROPPED.c.first_sequence, DROPPED.c.last_sequence)
    touching = connection.execute(sa.select(*ends).where(*same)).all()
    connection.execute(sa.delete(DROPPED).where(*same))
    row = {
        "host": life[0],
        "boot_id": life[1],
        "vswitchd_start": life[2],
        "first_sequence": min([first, *(begin for begin, _ in touching)]),
        "last_sequence": max([last, *(end for _, end in touching)]),
    }
    connection.execute(sa.insert(DROPPED).values(row))
