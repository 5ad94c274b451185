"""Residuals in reports: what interfaces took in beyond what was counted of them."""

from __future__ import annotations

import pytest

from accounting.ledger import Ledger
from accounting.ledger.tables import DAY, HOUR
from accounting.records import Run
from accounting.report import Direction, Grouping, Query, report
from model.ids import HostName
from tests.unit.accounting.examples import balance, interval, owner_of

OTHER = Run(HostName("hv2"), "boot-z", "start-9")


def _fill(ledger: Ledger) -> None:
    ledger.post(
        [
            interval(1, from_ms=0, to_ms=HOUR),
            interval(2, from_ms=0, to_ms=DAY, owner=owner_of(8), series=(8, 1, 1)),
            balance(3, from_ms=0, to_ms=HOUR + 5, wire_bytes=1_200, counted_bytes=1_140),
            balance(4, from_ms=DAY, to_ms=DAY + HOUR, wire_bytes=10, counted_bytes=14),
            balance(5, from_ms=HOUR, to_ms=DAY, port=8, owner=owner_of(8), wire_bytes=None, counted_bytes=7),
            balance(6, from_ms=HOUR, to_ms=DAY, port=9, owner=owner_of(9), run=OTHER, wire_bytes=300,
                    counted_bytes=0),
            balance(7, from_ms=HOUR, to_ms=DAY, port=10, owner=owner_of(10), wire_bytes=0, counted_bytes=0),
        ]
    )  # fmt: skip


def _ask(ledger: Ledger, *by: Grouping, **changes):
    return report(ledger, Query("blue", 0, 2 * DAY, by, **changes))


def test_a_residual_is_signed_and_unknown_if_a_part_of_it_is(ledger: Ledger):
    _fill(ledger)
    found = _ask(ledger, Grouping.PORT)
    # vm9 sent what was never counted: it has a row; vm10 sent nothing, and has none.
    assert [(r.name, r.bytes, r.residual) for r in found.rows] == [
        ("vm7", 1_000, 56), ("vm8", 1_000, None), ("vm9", 0, 300)
    ]  # fmt: skip
    assert found.residual is None


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (Grouping.HOST, [("hv1", None), ("hv2", 300)]),
        (Grouping.NETWORK, [("uid-blue-net", None)]),
        (Grouping.TENANT, [("uid-blue", None)]),
        (Grouping.DAY, [("1970-01-01", None), ("1970-01-02", -4)]),
        (Grouping.HOUR, [("1970-01-01T00:00:00Z", 60), ("1970-01-01T01:00:00Z", None),
                         ("1970-01-02T00:00:00Z", -4)]),
    ],
)  # fmt: skip
def test_each_grouping(ledger: Ledger, by: Grouping, rows):
    _fill(ledger)
    assert [(r.key, r.residual) for r in _ask(ledger, by).rows] == rows


def test_no_class_and_nothing_that_was_got_has_one(ledger: Ledger):
    _fill(ledger)
    ledger.post([interval(20, series=(7, 257, 1))])
    assert {r.residual for r in _ask(ledger, Grouping.CLASS, Grouping.PORT).rows} == {None}
    assert {r.residual for r in _ask(ledger, Grouping.PORT, direction=Direction.IN).rows} == {None}


def test_the_sum_of_all_is_told_where_rows_have_none(ledger: Ledger):
    ledger.post([interval(1), balance(2, from_ms=0, to_ms=HOUR)])
    found = _ask(ledger, Grouping.CLASS)
    assert ([r.residual for r in found.rows], found.residual) == ([None], 60)
