"""Two transactions of a ledger at once, stopped half way, on PostgreSQL, which lets them run side by side."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from accounting.ledger import DAYS, HOURS, INTERVALS, Ledger
from accounting.ledger.database import _post
from accounting.ledger.retention import _release, release
from accounting.ledger.rollup import _roll, roll
from tests.postgresql import Postgresql
from tests.unit.accounting.test_rollup import NOW, at, of, rows

UNIT = ("hv1", at(1, 3, 0))


@pytest.fixture
def ledger(postgresql: Postgresql) -> Iterator[Ledger]:
    made = Ledger(postgresql.schema())
    yield made
    made.close()


class Aside:
    """Something done on a thread of its own; `waits` until the database holds it up."""

    def __init__(self, ledger: Ledger, act: Callable[[], Any]) -> None:
        self._ledger, self.result = ledger, None
        self._thread = threading.Thread(target=lambda: setattr(self, "result", act()))
        self._thread.start()

    def waits(self) -> None:
        deadline = time.monotonic() + 30
        question = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        while True:
            with self._ledger.reading() as connection:
                if connection.exec_driver_sql(question).scalar_one():
                    return
            assert self._thread.is_alive(), "it did not wait"
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def end(self) -> Any:
        self._thread.join(30)
        assert not self._thread.is_alive()
        return self.result


def _sums(ledger: Ledger) -> list[int]:
    return [sum(r["bytes"] for r in rows(ledger, table)) for table in (HOURS, DAYS)]


def test_who_sums_up_waits_for_a_post_under_way(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1)])
    with ledger.writing() as connection:
        _post(connection, INTERVALS, [of(2, at(1, 3), bytes=2)])
        aside = Aside(ledger, lambda: roll(ledger, NOW))
        aside.waits()
    aside.end()
    roll(ledger, NOW)
    assert _sums(ledger) == [3, 3]


def test_a_post_waits_for_who_sums_up_and_makes_it_stale_again(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1)])
    with ledger.writing() as connection:
        _roll(connection, [UNIT])
        aside = Aside(ledger, lambda: ledger.post([of(2, at(1, 3), bytes=2)]))
        aside.waits()
    assert aside.end().accepted == 1
    assert _sums(ledger) == [1, 1]
    assert roll(ledger, NOW).units == 1
    assert _sums(ledger) == [3, 3]


def test_a_repeated_upload_while_its_interval_is_dropped_is_a_repetition(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1)])
    roll(ledger, NOW)
    with ledger.writing() as connection:
        assert _release(connection, UNIT) == 1
        aside = Aside(ledger, lambda: ledger.post([of(1, at(1, 3), bytes=1)]))
        aside.waits()
    receipt = aside.end()
    assert (receipt.accepted, receipt.repeated) == (0, 1)
    assert rows(ledger, INTERVALS) == []
    roll(ledger, NOW)
    assert _sums(ledger) == [1, 1]


def test_what_comes_while_its_hour_is_dropped_stays(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1)])
    roll(ledger, NOW)
    with ledger.writing() as connection:
        _post(connection, INTERVALS, [of(2, at(1, 3), bytes=2)])
        aside = Aside(ledger, lambda: release(ledger, NOW))
        aside.waits()
    assert (aside.end().units, len(rows(ledger, INTERVALS))) == (0, 2)
    roll(ledger, NOW)
    release(ledger, NOW)
    assert (_sums(ledger), rows(ledger, INTERVALS)) == ([3, 3], [])


def test_a_report_sees_one_state_while_others_write(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1)])
    count = sa.select(sa.func.count()).select_from(INTERVALS)
    with ledger.reading() as connection:
        assert connection.execute(count).scalar_one() == 1
        ledger.post([of(2, at(1, 3))])
        assert connection.execute(count).scalar_one() == 1
    assert len(rows(ledger, INTERVALS)) == 2
