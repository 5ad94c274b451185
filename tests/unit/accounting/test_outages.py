"""A PostgreSQL that dies and comes back: what was acknowledged is there, what was not is posted again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from accounting.ledger import INTERVALS, Ledger, sqlite_url
from accounting.ledger.check import check, standing
from accounting.ledger.database import _row
from accounting.ledger.rollup import roll
from accounting.report import Grouping, Query, report
from model.errors import Unavailable
from tests.postgresql import Postgresql
from tests.unit.accounting.examples import owner_of
from tests.unit.accounting.test_rollup import NOW, at, of


@pytest.fixture
def server() -> Iterator[Postgresql]:
    """One of its own, since it is killed."""
    made = Postgresql()
    try:
        made.start()
        yield made
    finally:
        made.stop()


def test_a_server_that_is_killed_keeps_what_it_acknowledged(server: Postgresql):
    url = server.database()
    ledger = Ledger(url)
    batches = [[of(n * 50 + m, at(1, 3, n)) for m in range(50)] for n in range(6)]
    for batch in batches[:3]:
        assert ledger.post(batch).accepted == 50
    server.kill()
    for act in (lambda: ledger.post(batches[3]), lambda: roll(ledger, NOW)):
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.faults[0].rule == "ledger-unwritable"
    with pytest.raises(Unavailable) as caught:
        Ledger(url)
    assert caught.value.faults[0].rule == "ledger-unusable"
    server.start()
    with ledger.reading() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(INTERVALS)).scalar_one() == 150
    receipts = [ledger.post(batch) for batch in batches]
    assert [(r.accepted, r.repeated) for r in receipts] == [(0, 50)] * 3 + [(50, 0)] * 3
    assert roll(ledger, NOW).units == 1
    ledger.close()


def test_a_transaction_that_the_server_takes_down_leaves_nothing(server: Postgresql):
    ledger = Ledger(server.database())
    with pytest.raises(sa.exc.OperationalError):
        with ledger.writing() as connection:
            connection.execute(sa.insert(INTERVALS), [_row(of(1, at(1, 3)))])
            server.kill()
            connection.exec_driver_sql("SELECT 1")
    server.start()
    assert ledger.post([of(1, at(1, 3))]).accepted == 1
    ledger.close()


def test_a_full_disk_leaves_sums_as_they_were(tmp_path: Path):
    """SQLite ends the whole transaction when it has no room: no hour may be half summed up then."""
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"))
    first = [
        of(n, at(1 + n % 5, n % 24), bytes=1 << (n % 50), series=(n, 1, 1), owner=owner_of(n))
        for n in range(400)
    ]
    ledger.post(first)
    roll(ledger, NOW)
    ledger.post(
        [of(1_000 + n, at(1 + n % 5, n % 24), series=(n, 1, 1), owner=owner_of(n + 400)) for n in range(400)]
    )
    question = Query("blue", 0, NOW, (Grouping.PORT,))
    before, failures = report(ledger, question), 0
    for room in range(0, 60, 3):
        with ledger.writing() as connection:
            pages = int(connection.exec_driver_sql("PRAGMA page_count").scalar_one())
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + room}")
        try:
            roll(ledger, NOW)
        except Unavailable as error:
            assert "full" in error.faults[0].message
            failures += 1
        assert report(ledger, question) == before
        found = check(ledger, 0, NOW)
        assert found.hours == found.days == ()
    assert failures
    with ledger.writing() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=1000000")
    roll(ledger, NOW)
    assert report(ledger, question) == before
    assert standing(ledger).stale == 0
    ledger.close()
