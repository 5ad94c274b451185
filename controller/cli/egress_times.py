"""Times of `ringfence egress`: from and to the texts that people write and read.

Place: shared by its actions. Must not ask the API.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import Final

from controller.cli.client import Wrong

RELATIVE: Final = re.compile(r"-?(\d{1,6})([smhdw])")
_SPANS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def zone_of(name: str) -> tzinfo:
    """A time zone by its name in the tz database; Wrong if this machine knows none of it."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong(f"no time zone is called {name!a}: write UTC, Europe/Berlin, America/New_York") from None


def parse_time(text: str, now: datetime, zone: tzinfo = UTC) -> datetime:
    """ISO 8601, `now`, `today`, or `-1h` and the like, as a time in UTC; Wrong for others.

    `zone`: of times that name no offset, and whose day `today` is.
    """
    if text == "now":
        return now
    if text == "today":
        return _there(datetime.combine(now.astimezone(zone).date(), time()), zone, text)
    relative = RELATIVE.fullmatch(text)
    try:
        if relative:
            return now - timedelta(**{_SPANS[relative[2]]: int(relative[1])})
        parsed = datetime.fromisoformat(text)
        whole = _there(parsed, zone, text) if parsed.tzinfo is None else parsed.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Wrong(f"{text!a} is no time: write 2026-11-01, 2026-11-01T12:30:00Z, -1h, -7d or now") from None
    if whole.year < 1970:
        raise Wrong(f"{text!a} is before 1970: nothing was counted then")
    return whole


def _there(local: datetime, zone: tzinfo, text: str) -> datetime:
    """When clocks of the zone show this; midnight: when the day begins, also if no clock ever shows it."""
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first == second or local.time() == time():
        return first
    if first < second:
        offers = " or ".join(local.replace(tzinfo=zone, fold=fold).isoformat() for fold in (0, 1))
        raise Wrong(f"clocks of {zone} show {text!a} twice: write {offers}")
    raise Wrong(f"clocks of {zone} never show {text!a}: they are put forward then")


def milliseconds_of(moment: datetime) -> int:
    """Unix milliseconds, rounded down."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def iso_ms(milliseconds: int) -> str:
    """2026-11-01T12:30:00Z, of Unix milliseconds."""
    return iso(_EPOCH + timedelta(milliseconds=milliseconds))


def iso(moment: datetime) -> str:
    """2026-11-01T12:30:00Z, with milliseconds where there are some."""
    text = moment.isoformat(timespec="milliseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
