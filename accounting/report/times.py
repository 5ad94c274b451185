"""Times: hours and days as texts, and where days begin in a time zone.

Place: keys of rows, in `accounting.report.sums` and `accounting.report.gaps`. Knows zones from the tz
database. Hours are always those of UTC: no zone makes one longer or shorter. Days are as long as the
zone has them: 23 to 25 hours where clocks are put forward or back. Must not know the clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from accounting.ledger.tables import DAY, HOUR, hour_of
from model.errors import Fault, Invalid

LONGEST_MS: Final = 200 * 366 * DAY
"""Of a report in another zone than UTC."""
MOST_CUTS: Final = 400
"""Days of one report that begin within an hour of UTC."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Days:
    """The days of a zone within [from_ms, to_ms). `steps`: (since when, milliseconds ahead of UTC), in order.

    The first step holds from the beginning on. A day is named by its date's begin as if it were UTC.
    """

    from_ms: int
    to_ms: int
    steps: tuple[tuple[int, int], ...] = ((0, 0),)

    @property
    def utc(self) -> bool:
        """Whether they are those of UTC."""
        return all(ahead == 0 for _, ahead in self.steps)

    def ahead(self, at_ms: int) -> int:
        """Milliseconds that the zone is ahead of UTC then."""
        return next((ahead for since, ahead in reversed(self.steps) if since <= at_ms), self.steps[0][1])

    def day(self, at_ms: int) -> int:
        """The day that this moment is in."""
        local = at_ms + self.ahead(at_ms)
        return local - local % DAY

    def begins(self) -> tuple[int, ...]:
        """Moments in (from_ms, to_ms) at which another day begins, in order."""
        return tuple(self._begins())

    def cuts(self) -> tuple[int, ...]:
        """Hours of UTC within which another day begins: their sums are of no use here. Invalid: too many."""
        if all(since % HOUR == ahead % HOUR == 0 for since, ahead in self.steps):
            return ()
        found: dict[int, None] = {}
        for begin in self._begins():
            if begin % HOUR:
                found[hour_of(begin)] = None
            if len(found) > MOST_CUTS:
                raise _too_long(f"{MOST_CUTS} days that begin within an hour, UTC")
        return tuple(found)

    def _begins(self) -> Iterator[int]:
        ends = [since for since, _ in self.steps[1:]] + [self.to_ms]
        for (since, ahead), end in zip(self.steps, ends, strict=True):
            start = max(since, self.from_ms)
            if start > self.from_ms and self.day(start) != self.day(start - 1):
                yield start
            first = start + ahead
            midnight = first - first % DAY + DAY - ahead
            yield from range(midnight, min(end, self.to_ms), DAY)


def days_of(zone: str, from_ms: int, to_ms: int) -> Days:
    """The days of this zone; Invalid if nobody knows it, or the time is too long for it."""
    if zone == "UTC":
        return Days(from_ms, to_ms)
    try:
        known = ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        remedy = "Write a name of the tz database, such as Europe/Berlin."
        raise Invalid(
            Fault("report", "unknown-zone", f"no time zone is called {zone!a}", remedy, "zone")
        ) from None
    if to_ms - from_ms > LONGEST_MS:
        raise _too_long("200 years")
    # A day apart: no zone ever changed twice within one.
    looks = [*range(from_ms, to_ms, DAY), to_ms]
    steps = [(0, _ahead(known, from_ms))]
    for before, after in pairwise(looks):
        if _ahead(known, after) != steps[-1][1]:
            since = _change(known, before, after)
            steps.append((since, _ahead(known, since)))
    return Days(from_ms, to_ms, tuple(steps))


def hour_text(at_ms: int) -> str:
    """2026-11-01T13:00:00Z."""
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%dT%H:%M:%SZ}"


def hour_name(at_ms: int, days: Days) -> str:
    """The same moment as clocks of the zone show it: 2026-11-01T14:00:00+01:00."""
    ahead = days.ahead(at_ms)
    if days.utc:
        return hour_text(at_ms)
    sign, minutes = "-" if ahead < 0 else "+", abs(ahead) // 60_000
    local = _EPOCH + timedelta(milliseconds=at_ms + ahead)
    return f"{local:%Y-%m-%dT%H:%M:%S}{sign}{minutes // 60:02}:{minutes % 60:02}"


def day_text(day: int) -> str:
    """2026-11-01."""
    return f"{_EPOCH + timedelta(milliseconds=day):%Y-%m-%d}"


def _ahead(zone: ZoneInfo, at_ms: int) -> int:
    offset = zone.utcoffset((_EPOCH + timedelta(milliseconds=at_ms)).astimezone(zone))
    return (offset or timedelta()) // timedelta(milliseconds=1)


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The first moment after `before` at which the zone is ahead by another time."""
    old = _ahead(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (middle, after) if _ahead(zone, middle) == old else (before, middle)
    return after


def _too_long(what: str) -> Invalid:
    remedy = "Ask for a shorter time, or for days in UTC."
    return Invalid(Fault("report", "zone-span", f"the report is longer than {what}", remedy, "to"))
