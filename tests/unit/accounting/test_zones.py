"""Days of a time zone: as long as the zone has them, summed up from hours, or from intervals."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from accounting.ledger import Ledger
from accounting.ledger.retention import release
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from accounting.report import Grouping, Query, report
from accounting.report.times import MOST_CUTS, day_text, days_of, hour_name
from model.errors import Invalid
from tests.unit.accounting.examples import gap, interval

BY_DAY = (Grouping.DAY,)
HALVES = 30 * 60_000


def ms(text: str) -> int:
    """Of a time in UTC."""
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int((moment - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))


ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe",
    "America/Havana", "Africa/Cairo", "Pacific/Kiritimati", "America/St_Johns", "Etc/GMT+12",
)  # fmt: skip


@pytest.mark.parametrize("zone", ZONES)
def test_every_moment_is_in_the_day_that_clocks_there_show(zone: str):
    begin, end = ms("2026-01-01"), ms("2027-01-01")
    days = days_of(zone, begin, end)
    for at in range(begin, end, 17 * 60_000):
        there = datetime.fromtimestamp(at / 1000, UTC).astimezone(ZoneInfo(zone))
        assert day_text(days.day(at)) == f"{there:%Y-%m-%d}", there
        assert hour_name(at, days).replace("Z", "+00:00") == there.isoformat()
    begins = days.begins()
    assert all(days.day(at) != days.day(at - 1) for at in begins)
    assert len(begins) in (364, 365)
    assert set(days.cuts()) == {at - at % HOUR for at in begins if at % HOUR}


def test_a_time_before_utc_began_is_a_day_of_1969():
    days = days_of("America/New_York", 0, DAY)
    assert day_text(days.day(0)) == "1969-12-31"


def _hourly(ledger: Ledger, begin: str, hours: int, step: int = HOUR) -> None:
    first = ms(begin)
    ledger.post(
        [
            interval(n, from_ms=first + n * step, to_ms=first + n * step + 1, bytes=1, packets=1)
            for n in range(hours * HOUR // step)
        ]
    )


@pytest.mark.parametrize(
    ("begin", "end", "lengths"),
    [
        ("2026-03-27T23:00", "2026-03-30T22:00", [24, 23, 24]),  # Berlin puts clocks forward on 29 March
        ("2026-10-23T22:00", "2026-10-26T23:00", [24, 25, 24]),  # and back on 25 October
    ],
)
def test_days_on_which_clocks_change(ledger: Ledger, begin: str, end: str, lengths: list[int]):
    hours = (ms(end) - ms(begin)) // HOUR
    _hourly(ledger, begin, hours)
    question = Query("blue", ms(begin), ms(end), BY_DAY, zone="Europe/Berlin")
    plain = report(ledger, question)
    assert [r.bytes for r in plain.rows] == lengths
    roll(ledger, ms(end) + DAY)
    assert report(ledger, question) == plain
    release(ledger, ms(end) + DAY)
    assert report(ledger, question) == plain


def test_days_of_half_hours_are_read_from_intervals(ledger: Ledger):
    """In India a day begins at 18:30 UTC: of that hour no sum says what belongs to which day."""
    begin, end = ms("2026-11-02T18:30"), ms("2026-11-05T18:30")
    _hourly(ledger, "2026-11-02T12:00", 96, HALVES)
    question = Query("blue", begin, end, BY_DAY, zone="Asia/Kolkata")
    plain = report(ledger, question)
    assert [(r.key, r.bytes) for r in plain.rows] == [
        ("2026-11-03", 48), ("2026-11-04", 48), ("2026-11-05", 48)
    ]  # fmt: skip
    roll(ledger, end + DAY)
    assert report(ledger, question) == plain
    release(ledger, end + DAY)
    with pytest.raises(Invalid) as caught:
        report(ledger, question)
    assert caught.value.faults[0].rule == "intervals-not-kept"
    assert [r.bytes for r in report(ledger, Query("blue", begin - HALVES, end - HALVES, BY_DAY)).rows] == [
        12, 48, 48, 36
    ]  # fmt: skip


def test_hours_are_those_of_utc_with_the_clock_of_the_zone_beside(ledger: Ledger):
    _hourly(ledger, "2026-10-25T00:00", 3)
    question = Query("blue", 0, ms("2026-11-01"), (Grouping.HOUR,), zone="Europe/Berlin")
    assert [(r.key, r.name) for r in report(ledger, question).rows] == [
        ("2026-10-25T00:00:00Z", "2026-10-25T02:00:00+02:00"),
        ("2026-10-25T01:00:00Z", "2026-10-25T02:00:00+01:00"),
        ("2026-10-25T02:00:00Z", "2026-10-25T03:00:00+01:00"),
    ]


def test_a_gap_stands_at_the_days_of_the_zone(ledger: Ledger):
    ledger.post([gap(1, from_ms=ms("2026-11-02T22:30"), to_ms=ms("2026-11-02T23:10"))])
    question = Query("blue", ms("2026-11-01"), ms("2026-11-09"), BY_DAY, zone="Europe/Berlin")
    assert [(r.key, r.gaps) for r in report(ledger, question).rows] == [("2026-11-02", 1), ("2026-11-03", 1)]


@pytest.mark.parametrize(
    "zone", ["Europe/Bärlin", "../etc/passwd", "/etc/passwd", "Europe", "", "Mars/Base\0"]
)
def test_zones_that_nobody_knows(ledger: Ledger, zone: str):
    with pytest.raises(Invalid) as caught:
        report(ledger, Query("blue", 0, 9, BY_DAY, zone=zone))
    assert caught.value.faults[0].rule == "unknown-zone"


def test_times_that_are_too_long_for_a_zone(ledger: Ledger):
    for zone, length in (("Europe/Berlin", 250 * 366 * DAY), ("Asia/Kolkata", (MOST_CUTS + 2) * DAY)):
        with pytest.raises(Invalid) as caught:
            report(ledger, Query("blue", 0, length, BY_DAY, zone=zone))
        assert caught.value.faults[0].rule == "zone-span"
    assert report(ledger, Query("blue", 0, MOST_CUTS * DAY, BY_DAY, zone="Asia/Kolkata")).bytes == 0
