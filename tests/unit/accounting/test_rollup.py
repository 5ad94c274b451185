"""Hourly and daily sums: of intervals and nothing else, amended by late uploads, the same after a rebuild."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import sqlalchemy as sa

from accounting.ledger import DAYS, HOURS, INTERVALS, TENANTS, UNITS, Ledger
from accounting.ledger.database import mark
from accounting.ledger.rollup import rebuild, roll
from accounting.ledger.tables import DAY, HOUR, UnitState
from accounting.records import Run
from accounting.report import Grouping, Query, report
from model.ids import HostName
from tests.unit.accounting.examples import gap, interval, owner_of

NOW = 10 * DAY
OTHER = Run(HostName("hv2"), "boot-z", "start-9")


def rows(ledger: Ledger, table: sa.Table) -> list[dict[str, Any]]:
    with ledger.reading() as connection:
        return [dict(row._mapping) for row in connection.execute(sa.select(table))]


def contents(ledger: Ledger) -> list[list[tuple[Any, ...]]]:
    """All sums, without the numbers of their rows."""
    return [
        sorted((tuple(v for k, v in row.items() if k != "place") for row in rows(ledger, table)), key=repr)
        for table in (HOURS, DAYS)
    ]


def at(day: int, hour: int, minute: float = 30) -> int:
    return day * DAY + hour * HOUR + int(minute * 60_000)


def of(sequence: int, to_ms: int, length: int = 60_000, **changes: Any):
    return interval(sequence, from_ms=to_ms - length, to_ms=to_ms, **changes)


def states(ledger: Ledger) -> dict[tuple[str, int], int]:
    return {(row["host"], row["hour_ms"] // HOUR): row["state"] for row in rows(ledger, UNITS)}


def test_sums_stand_for_each_tenant_network_port_class_and_host(ledger: Ledger):
    ledger.post([of(n, at(1, 3, n), bytes=1 << n, packets=n) for n in range(1, 5)])
    ledger.post([of(5, at(1, 3), bytes=7, series=(7, 0, 3), class_name="same-network")])
    ledger.post([of(6, at(1, 3), bytes=9, owner=owner_of(8, "red"))])
    ledger.post([of(1, at(1, 3), bytes=11, run=OTHER)])
    assert roll(ledger, NOW).units == 2
    found = {
        (r["tenant_name"], r["port_name"], r["class"], r["host"]): (r["packets"], r["bytes"], r["intervals"])
        for r in rows(ledger, HOURS)
    }
    assert found == {
        ("blue", "vm7", 1, "hv1"): (10, 30, 4),
        ("blue", "vm7", 0, "hv1"): (10, 7, 1),
        ("red", "vm8", 1, "hv1"): (10, 9, 1),
        ("blue", "vm7", 1, "hv2"): (10, 11, 1),
    }
    assert {r["hour_ms"] for r in rows(ledger, HOURS)} == {at(1, 3, 0)}
    assert sorted(r["bytes"] for r in rows(ledger, DAYS)) == [7, 9, 11, 30]


def test_an_interval_belongs_to_the_hour_and_day_in_which_it_ends(ledger: Ledger):
    ledger.post([of(1, at(1, 0, 0) - 1, bytes=1), of(2, at(1, 0, 0), bytes=2), of(3, at(1, 1, 0), bytes=4)])
    roll(ledger, NOW)
    hours = {r["hour_ms"] // HOUR: (r["bytes"], r["carried_bytes"]) for r in rows(ledger, HOURS)}
    assert hours == {23: (1, 0), 24: (2, 2), 25: (4, 4)}
    days = {r["day_ms"] // DAY: (r["bytes"], r["carried_bytes"]) for r in rows(ledger, DAYS)}
    assert days == {0: (1, 0), 1: (6, 2)}


def test_an_hour_that_is_not_over_is_left_alone(ledger: Ledger):
    ledger.post([of(1, at(1, 3))])
    assert roll(ledger, at(1, 4, 0) - 1).units == 0
    assert rows(ledger, HOURS) == []
    assert roll(ledger, at(1, 4, 0)).units == 1
    assert roll(ledger, NOW).units == 0, "nothing is stale any more"


def test_a_late_upload_amends_its_hour_and_day_only(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1), of(2, at(1, 5), bytes=2), of(3, at(2, 3), bytes=4)])
    roll(ledger, NOW)
    before = contents(ledger)
    ledger.post([of(4, at(1, 3, 59), bytes=16)])
    assert states(ledger) == {
        ("hv1", 27): UnitState.STALE,
        ("hv1", 29): UnitState.ROLLED,
        ("hv1", 51): UnitState.ROLLED,
    }
    assert contents(ledger) == before
    assert roll(ledger, NOW).units == 1
    assert {r["hour_ms"] // HOUR: r["bytes"] for r in rows(ledger, HOURS)} == {27: 17, 29: 2, 51: 4}
    assert {r["day_ms"] // DAY: r["bytes"] for r in rows(ledger, DAYS)} == {1: 19, 2: 4}


def test_a_repeated_upload_changes_no_sum_and_makes_none_stale(ledger: Ledger):
    batch = [of(1, at(1, 3)), gap(2)]
    ledger.post(batch)
    roll(ledger, NOW)
    before = contents(ledger)
    assert ledger.post(batch).repeated == 2
    assert states(ledger) == {("hv1", 27): UnitState.ROLLED}
    assert ledger.post([of(1, at(1, 3), bytes=5)]).conflicts
    assert (states(ledger), contents(ledger)) == ({("hv1", 27): UnitState.ROLLED}, before)


def test_a_rebuild_gives_the_same_numbers(ledger: Ledger):
    ledger.post([of(n, at(n % 3, n % 24, n % 60), bytes=n * n, series=(n % 4, n % 2, 1)) for n in range(200)])
    roll(ledger, NOW)
    before = contents(ledger)
    with ledger.writing() as connection:
        connection.execute(sa.update(HOURS).values(bytes=1))
        connection.execute(sa.delete(UNITS).where(UNITS.c.hour_ms % 2 == 0))
        connection.execute(sa.delete(TENANTS))
        connection.execute(sa.update(DAYS).values(bytes=2, host="nobody"))
    assert contents(ledger) != before
    assert rebuild(ledger) == len({(n % 3, n % 24) for n in range(200)})
    roll(ledger, NOW)
    assert contents(ledger) == before
    assert report(ledger, Query("blue", 0, NOW, (Grouping.HOST,))).bytes == sum(n * n for n in range(200))


def test_while_sums_are_stale_reports_read_intervals(ledger: Ledger):
    ledger.post([of(1, at(1, 3), bytes=1), of(2, at(1, 4), bytes=2)])
    roll(ledger, NOW)
    ledger.post([of(3, at(1, 4), bytes=4)])
    assert report(ledger, Query("blue", DAY, 2 * DAY, (Grouping.HOST,))).bytes == 7
    rebuild(ledger)
    assert report(ledger, Query("blue", DAY, 2 * DAY, (Grouping.HOST,))).bytes == 7


def test_months_of_which_every_other_hour_is_stale(ledger: Ledger):
    """Late uploads of another host; a database that takes few conditions must do."""
    ledger.post([of(n, at(0, n * 37), bytes=1 << n) for n in range(40)])
    roll(ledger, 400 * DAY)
    with ledger.writing() as connection:
        mark(connection, {("hv9", n * 2 * HOUR) for n in range(1_300)})
    assert report(ledger, Query("blue", 5, 400 * DAY - 5, (Grouping.HOST,))).bytes == (1 << 40) - 1


def test_reports_really_read_sums_where_these_are_current(ledger: Ledger):
    """A positive control for all the tests that compare the two: with other sums, another report."""
    ledger.post([of(1, at(1, 3), bytes=1)])
    roll(ledger, NOW)
    for table in (HOURS, DAYS):
        with ledger.writing() as connection:
            connection.execute(sa.update(table).values(bytes=1_000))
        to_ms = 2 * DAY if table is DAYS else at(1, 4, 0)
        assert report(ledger, Query("blue", DAY, to_ms, (Grouping.HOST,))).bytes == 1_000


def test_a_host_whose_numbers_fit_no_sum_stops_no_other(ledger: Ledger):
    ledger.post([of(n, at(1, 3), bytes=2**62) for n in (1, 2)])
    ledger.post([of(1, at(1, 3), bytes=5, run=OTHER), of(3, at(1, 5), bytes=9)])
    found = roll(ledger, NOW)
    assert (found.units, [unit for unit, _ in found.failed]) == (2, [("hv1", at(1, 3, 0))])
    for table in (HOURS, DAYS):
        assert sorted(r["bytes"] for r in rows(ledger, table)) == [5, 9]
    assert states(ledger)["hv1", 27] == UnitState.STALE


@pytest.mark.parametrize("by", list(Grouping))
def test_names_in_a_report_are_the_last_ones(ledger: Ledger, by: Grouping):
    old = owner_of(7)
    new = type(old)(old.port_uid, "web", old.tenant_uid, "azure", old.network_uid, "lan")
    ledger.post([of(1, at(1, 3)), of(2, at(1, 3, 40), owner=new), of(3, at(2, 1), owner=new)])
    plain = report(ledger, Query("uid-blue", 0, NOW, (by,)))
    roll(ledger, NOW)
    assert report(ledger, Query("uid-blue", 0, NOW, (by,))) == plain
    places = {Grouping.HOUR: 2, Grouping.DAY: 2}
    assert len(plain.rows) == places.get(by, 1)


def test_posts_and_rolls_at_once_lose_and_double_nothing(ledger: Ledger):
    """Uploads of one hour, by several threads, while two others sum it up again and again."""
    total, threads, problems = 160, [], []

    def guarded(act):
        try:
            act()
        except Exception as error:  # noqa: BLE001
            problems.append(error)

    def post(first: int) -> None:
        for n in range(first, total, 4):
            ledger.post([of(n, at(1, 3, n % 60), bytes=1 << (n % 40), series=(n % 3, 1, 1))])

    stop = threading.Event()

    def keep_rolling() -> None:
        # SQLite's writers wait for no turn: two that never pause could starve a post for as long as it waits
        while not stop.wait(0.01):
            roll(ledger, NOW)

    posters = [threading.Thread(target=guarded, args=(lambda n=n: post(n),)) for n in range(4)]
    rollers = [threading.Thread(target=guarded, args=(keep_rolling,)) for _ in range(2)]
    threads = posters + rollers
    for thread in threads:
        thread.start()
    for thread in posters:
        thread.join(100)
    stop.set()
    for thread in rollers:
        thread.join(100)
    assert problems == []
    roll(ledger, NOW)
    with ledger.reading() as connection:
        raw = connection.execute(sa.select(sa.func.sum(INTERVALS.c.bytes), sa.func.count())).one()
    expected = (sum(1 << (n % 40) for n in range(total)), total)
    assert tuple(map(int, raw)) == expected
    for table in (HOURS, DAYS):
        found = rows(ledger, table)
        assert (sum(r["bytes"] for r in found), sum(r["intervals"] for r in found)) == expected
