"""Retention: what goes stands in sums to the byte, what does not stays, and no byte is billed again."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from accounting.ledger import DAYS, HOURS, INTERVALS, Ledger
from accounting.ledger.retention import Reason, islands, release
from accounting.ledger.rollup import rebuild, roll
from accounting.ledger.tables import DAY, DROPPED, UnitState
from accounting.report import Grouping, Query, report
from model.errors import Invalid
from tests.unit.accounting.examples import SECOND_RUN, gap, owner_of
from tests.unit.accounting.test_rollup import NOW, OTHER, at, contents, of, rows, states


def _ask(ledger: Ledger, from_ms=0, to_ms=NOW, by=Grouping.PORT, tenant="blue"):
    return report(ledger, Query(tenant, from_ms, to_ms, (by,)))


def _ranges(ledger: Ledger) -> list[tuple[str, str, int, int]]:
    return sorted(
        (r["host"], r["vswitchd_start"], r["first_sequence"], r["last_sequence"])
        for r in rows(ledger, DROPPED)
    )


BATCH = [
    *(
        of(n, at(1, n % 3, n), bytes=1 << n, series=(n % 2, 1, 1), owner=owner_of(n % 2))
        for n in range(1, 20)
    ),
    gap(20, from_ms=at(1, 2), to_ms=at(1, 2)),
    of(21, at(4, 1), bytes=1 << 21),
]


def test_reports_are_the_same_before_and_after(ledger: Ledger):
    ledger.post(BATCH)
    windows = [(0, NOW), (DAY, 2 * DAY), (at(1, 1, 0), at(1, 2, 0)), (at(1, 1, 0), at(4, 2, 0))]
    plain = [_ask(ledger, *window, by) for window in windows for by in Grouping]
    roll(ledger, NOW)
    assert [_ask(ledger, *window, by) for window in windows for by in Grouping] == plain
    found = release(ledger, 3 * DAY)
    assert (found.units, found.intervals, found.refused) == (3, 19, ())
    assert [r["sequence"] for r in rows(ledger, INTERVALS)] == [21]
    assert [_ask(ledger, *window, by) for window in windows for by in Grouping] == plain
    assert plain[0].gap_count == 1 and plain[0].bytes == sum(1 << n for n in (*range(1, 20), 21))


def test_only_hours_that_ended_before_go(ledger: Ledger):
    ledger.post([of(1, at(1, 3)), of(2, at(1, 4))])
    roll(ledger, NOW)
    assert release(ledger, at(1, 4, 0) - 1).units == 0
    assert release(ledger, at(1, 4, 0)).intervals == 1
    assert [r["sequence"] for r in rows(ledger, INTERVALS)] == [2]
    assert release(ledger, at(1, 4, 0)).units == 0


def test_what_is_not_summed_up_is_refused(ledger: Ledger):
    ledger.post([of(1, at(1, 3)), of(2, at(1, 4))])
    roll(ledger, at(1, 4, 0))
    found = release(ledger, NOW)
    assert found.refused == ((("hv1", at(1, 4, 0)), Reason.NOT_ROLLED),)
    assert [r["sequence"] for r in rows(ledger, INTERVALS)] == [2]


@pytest.mark.parametrize("table", [HOURS, INTERVALS])
def test_sums_that_differ_from_their_intervals_are_refused_and_made_anew(ledger: Ledger, table):
    ledger.post([of(1, at(1, 3), bytes=5)])
    roll(ledger, NOW)
    with ledger.writing() as connection:
        connection.execute(sa.update(table).values(bytes=6))
    assert release(ledger, NOW).refused == ((("hv1", at(1, 3, 0)), Reason.DIFFERS),)
    assert len(rows(ledger, INTERVALS)) == 1
    assert states(ledger) == {("hv1", 27): UnitState.STALE}
    roll(ledger, NOW)
    assert release(ledger, NOW).intervals == 1


def test_a_repeated_upload_of_what_went_bills_nothing_twice(ledger: Ledger):
    ledger.post(BATCH)
    roll(ledger, NOW)
    release(ledger, 3 * DAY)
    before, sums = _ask(ledger), contents(ledger)
    assert _ranges(ledger) == [("hv1", "start-1", 1, 19)]
    receipt = ledger.post(BATCH)
    assert (receipt.accepted, receipt.repeated, receipt.conflicts) == (0, len(BATCH), ())
    roll(ledger, NOW)
    assert (_ask(ledger), contents(ledger)) == (before, sums)


def test_what_was_never_here_is_taken_however_late(ledger: Ledger):
    """Also in between numbers that went, of another life of the switch, and of another host."""
    ledger.post([of(n, at(1, 3), bytes=1 << n) for n in (1, 2, 4)])
    roll(ledger, NOW)
    release(ledger, NOW)
    assert _ranges(ledger) == [("hv1", "start-1", 1, 2), ("hv1", "start-1", 4, 4)]
    late = [
        of(3, at(1, 3), bytes=1 << 3),
        of(1, at(1, 3), bytes=1 << 10, run=SECOND_RUN),
        of(1, at(1, 3), bytes=1 << 11, run=OTHER),
    ]
    assert ledger.post(late).accepted == 3
    expected = sum(1 << n for n in (1, 2, 3, 4, 10, 11))
    assert _ask(ledger, DAY, 2 * DAY).bytes == expected, "from sums that stay and intervals that came"
    roll(ledger, NOW)
    assert _ask(ledger, DAY, 2 * DAY).bytes == expected
    release(ledger, NOW)
    assert rows(ledger, INTERVALS) == []
    assert _ask(ledger, DAY, 2 * DAY).bytes == expected
    assert _ranges(ledger)[0] == ("hv1", "start-1", 1, 4), "runs that touch are one"
    assert ledger.post(late).repeated == 3


def test_a_rebuild_keeps_what_went(ledger: Ledger):
    ledger.post(BATCH)
    roll(ledger, NOW)
    release(ledger, 3 * DAY)
    before, plain = contents(ledger), _ask(ledger)
    rebuild(ledger)
    assert _ask(ledger) == plain
    roll(ledger, NOW)
    assert (contents(ledger), _ask(ledger)) == (before, plain)
    assert states(ledger)["hv1", 24] == UnitState.SEALED
    assert sum(r["bytes"] for r in rows(ledger, DAYS)) == plain.bytes


def test_a_report_that_cuts_an_hour_that_went_is_refused(ledger: Ledger):
    ledger.post([*BATCH, of(30, at(1, 1), owner=owner_of(3, "red"))])
    roll(ledger, NOW)
    assert _ask(ledger, at(1, 1), at(4, 0)).known
    release(ledger, at(1, 2, 0))
    for window, field in (((at(1, 1), NOW), "from"), ((0, at(1, 1)), "to"), ((at(0, 23), at(1, 0)), "to")):
        with pytest.raises(Invalid) as caught:
            _ask(ledger, *window)
        fault = caught.value.faults[0]
        assert (fault.rule, fault.path) == ("intervals-not-kept", field)
        assert "from 1970-01-02T0" in fault.message
    assert _ask(ledger, at(1, 2), NOW).known, "of this hour the intervals are kept"
    assert _ask(ledger, at(1, 0), at(1, 0, 59), tenant="red").bytes == 0, "red sent nothing in that hour"


def test_a_bytes_way_from_post_to_seal_under_repeated_uploads(ledger: Ledger):
    """Threads post all of it again and again while one sums up and drops: never twice, never lost."""
    batch = [of(n, at(1, n % 4, n % 60), bytes=1 << (n % 40), series=(n % 3, 1, 1)) for n in range(60)]
    problems: list[BaseException] = []
    accepted: list[int] = []
    stop = threading.Event()

    def post() -> None:
        try:
            for start in (0, 20, 40, 0, 40, 20):
                accepted.append(ledger.post(batch[start : start + 20]).accepted)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    def keep() -> None:
        try:
            while not stop.is_set():
                roll(ledger, NOW)
                release(ledger, NOW)
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    posters, keepers = [threading.Thread(target=post) for _ in range(3)], [threading.Thread(target=keep)]
    for thread in posters + keepers:
        thread.start()
    for thread in posters:
        thread.join(100)
    stop.set()
    for thread in keepers:
        thread.join(100)
    assert problems == []
    assert sum(accepted) == 60
    roll(ledger, NOW)
    release(ledger, NOW)
    assert rows(ledger, INTERVALS) == []
    expected = (sum(1 << (n % 40) for n in range(60)), 60)
    for table in (HOURS, DAYS):
        found = rows(ledger, table)
        assert (sum(r["bytes"] for r in found), sum(r["intervals"] for r in found)) == expected


def test_islands():
    assert islands([5, 1, 2, 2, 3, 9]) == [(1, 3), (5, 5), (9, 9)]
    assert islands([]) == []


def test_both_may_be_ended_between_two_transactions(ledger: Ledger):
    ledger.post([of(n, at(n, 1)) for n in range(1, 40)])
    assert roll(ledger, 50 * DAY, lambda: False).units == 32
    assert roll(ledger, 50 * DAY).units == 7
    assert release(ledger, 50 * DAY, lambda: False).units == 32
    assert release(ledger, 50 * DAY).units == 7
