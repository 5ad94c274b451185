"""Directions: a class's number says which way its bytes went, and no report mixes the two."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from accounting.classes import CLASSES, INBOUND, UNCLASSIFIED, Direction, class_of, direction_of, inbound
from accounting.ledger import Ledger
from accounting.ledger.rollup import roll
from accounting.ledger.sources import Window, usage
from accounting.ledger.tables import HOUR
from accounting.records import Cause
from accounting.report import Grouping, Query, report
from model.ids import ClassId
from tests.unit.accounting.examples import gap, interval


@pytest.mark.parametrize("number", [0, 1, 2, 255, UNCLASSIFIED])
def test_each_class_has_one_number_for_each_way(number: int):
    got = inbound(ClassId(number))
    assert {number, got} <= set(CLASSES)
    assert (direction_of(number), direction_of(got)) == (Direction.OUT, Direction.IN)
    assert class_of(number) == class_of(got) == number


def test_the_numbers_leave_no_room_for_a_class_twice():
    assert len({(direction_of(n), class_of(n)) for n in CLASSES}) == len(CLASSES)


def _post(ledger: Ledger) -> None:
    numbers = [1, 1 | INBOUND, UNCLASSIFIED, UNCLASSIFIED | INBOUND]
    ledger.post(
        [
            interval(n, series=(7, number, 3), from_ms=0, to_ms=n * HOUR // 2, bytes=10**n, packets=n)
            for n, number in enumerate(numbers, 1)
        ]
    )


def _bytes(ledger: Ledger, *direction: Direction) -> int:
    with ledger.reading() as connection:
        table = usage(connection, Window(0, 10 * HOUR, None, *_rest(direction)))
        return int(connection.execute(select(func.coalesce(func.sum(table.c.bytes), 0))).scalar_one())


def _rest(direction: tuple[Direction, ...]):
    return (Window(0, 1, None).largest, *direction)


def test_a_report_is_of_what_was_sent(ledger: Ledger):
    _post(ledger)
    found = report(ledger, Query("blue", 0, 10 * HOUR, (Grouping.PORT,)))
    assert (found.bytes, found.packets) == (1_010, 4)


def test_a_gap_bounds_what_was_sent_and_only_says_that_something_may_have_come(ledger: Ledger):
    ledger.post([gap(1, bound=500), gap(2, cause=Cause.PORT_REMOVED, bound=7)])
    ways = (Direction.OUT, Direction.IN)
    sent, got = (report(ledger, Query("blue", 0, 10 * HOUR, (Grouping.PORT,), way)) for way in ways)
    assert (sent.gap_count, sent.gap_bound, [row.gap_bound for row in sent.rows]) == (2, 507, [507])
    assert (got.gap_count, got.gap_bound, [row.gap_bound for row in got.rows]) == (1, None, [None])


def test_each_way_is_summed_for_itself_from_intervals_and_from_sums(ledger: Ledger):
    _post(ledger)
    before = (_bytes(ledger), _bytes(ledger, Direction.OUT), _bytes(ledger, Direction.IN))
    roll(ledger, 20 * HOUR)
    after = (_bytes(ledger), _bytes(ledger, Direction.OUT), _bytes(ledger, Direction.IN))
    assert before == after == (1_010, 1_010, 10_100)
