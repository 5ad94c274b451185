"""The ledger's upkeep: sums follow, intervals go when told to, and no failure ends it."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from accounting.ledger import Ledger, sqlite_url
from accounting.ledger.check import Standing, standing
from accounting.ledger.tables import DAY, HOUR
from accounting.report import Grouping, Query, report
from controller.api.upkeep import GRACE_MS, LOG, Upkeep
from tests.unit.accounting.examples import interval


@pytest.fixture
def ledger(tmp_path: Path):
    made = Ledger(sqlite_url(tmp_path / "ledger.db"))
    yield made
    made.close()


def fill(ledger: Ledger) -> None:
    ledger.post([interval(n, from_ms=n * DAY, to_ms=n * DAY + 5) for n in range(1, 6)])


@pytest.mark.parametrize(("keep", "rolled", "sealed"), [(None, 5, 0), (3, 3, 2)])
def test_sums_are_made_and_intervals_kept_as_long_as_told(ledger: Ledger, keep, rolled, sealed) -> None:
    fill(ledger)
    now = 5 * DAY + HOUR + GRACE_MS
    Upkeep(ledger, lambda: now, keep).once()
    assert standing(ledger) == Standing(0, rolled, sealed, None)
    assert report(ledger, Query("blue", 0, now, (Grouping.PORT,))).bytes == 5_000


def test_an_hour_is_left_till_its_uploads_are_here(ledger: Ledger) -> None:
    fill(ledger)
    Upkeep(ledger, lambda: 5 * DAY + HOUR + GRACE_MS - 1, None).once()
    assert standing(ledger).oldest_stale_ms == 5 * DAY


def test_a_database_that_fails_is_said_once_and_tried_again(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "controller.api.upkeep")  # whatever other tests have set
    fill(ledger)
    upkeep = Upkeep(ledger, lambda: 9 * DAY, None)
    with ledger.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE egress_unit RENAME TO elsewhere")
    upkeep.once()
    upkeep.once()
    with ledger.writing() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO egress_unit")
    upkeep.once()
    upkeep.once()
    said = [record.getMessage() for record in caplog.records if "sums" in record.getMessage()]
    assert len(said) == 2 and "wait" in said[0] and "go on" in said[1]
    assert standing(ledger).stale == 0


def test_the_thread_begins_at_once_and_ends(ledger: Ledger) -> None:
    fill(ledger)
    upkeep = Upkeep(ledger, lambda: 9 * DAY, None)
    upkeep.start()
    upkeep.stop()
    assert standing(ledger).stale == 0


def test_an_hour_that_fits_no_sum_is_said_once(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    fill(ledger)
    ledger.post([interval(n, to_ms=2_000, bytes=2**62) for n in (90, 91)])
    upkeep = Upkeep(ledger, lambda: 9 * DAY, None)
    upkeep.once()
    upkeep.once()
    assert [r.levelname for r in caplog.records if r.name == LOG.name] == ["ERROR"]
    assert standing(ledger) == Standing(1, 5, 0, 0)
