"""The check of sums: silent where they agree, and it sees each way in which they may not."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from accounting.ledger import DAYS, HOURS, INTERVALS, Ledger
from accounting.ledger.check import Checked, Standing, check, standing
from accounting.ledger.retention import release
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY
from tests.unit.accounting.test_rollup import NOW, OTHER, at, of


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    ledger.post([of(n, at(1 + n % 2, n % 5), bytes=n, series=(n % 3, 1, 1)) for n in range(30)])
    ledger.post([of(1, at(1, 3), bytes=11, run=OTHER)])
    roll(ledger, NOW)
    return ledger


def test_what_agrees_agrees(filled: Ledger):
    assert standing(filled) == Standing(0, 11, 0, None)
    assert check(filled, 0, NOW) == Checked(11, (), ())
    release(filled, at(1, 3, 0))
    assert standing(filled) == Standing(0, 8, 3, None)
    assert (check(filled, 0, NOW).hours, check(filled, 0, NOW).days) == ((), ())
    filled.post([of(99, at(1, 4))])
    assert standing(filled) == Standing(1, 7, 3, at(1, 4, 0))
    assert (check(filled, 0, NOW).units, check(filled, 0, NOW).days) == (10, ())
    assert check(filled, at(1, 2, 0), at(1, 4, 0)).units == 3


def test_an_hour_that_is_not_its_intervals(filled: Ledger):
    with filled.writing() as connection:
        here = (HOURS.c.host == "hv1", HOURS.c.hour_ms == at(1, 3, 0))
        connection.execute(sa.update(HOURS).where(*here).values(bytes=HOURS.c.bytes + 1))
    found = check(filled, 0, NOW)
    assert (found.hours, found.days) == ((("hv1", at(1, 3, 0)),), (("hv1", DAY),))


def test_a_day_that_is_not_its_hours(filled: Ledger):
    with filled.writing() as connection:
        connection.execute(sa.delete(DAYS).where(DAYS.c.host == "hv2"))
    found = check(filled, 0, NOW)
    assert (found.hours, found.days) == ((), (("hv2", DAY),))


def test_an_interval_that_somebody_took_away(filled: Ledger):
    with filled.writing() as connection:
        connection.execute(sa.delete(INTERVALS).where(INTERVALS.c.sequence == 7))
    assert check(filled, 0, NOW).hours == (("hv1", at(2, 2, 0)),)
