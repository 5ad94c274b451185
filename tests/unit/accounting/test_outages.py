"""A PostgreSQL that dies and comes back: what was acknowledged is there, what was not is posted again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from accounting.ledger import INTERVALS, Ledger
from accounting.ledger.database import _row
from accounting.ledger.rollup import roll
from model.errors import Unavailable
from tests.postgresql import Postgresql
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
