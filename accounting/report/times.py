"""Times: hours and days as texts. Pure.

Place: keys of rows, in `accounting.report.sums` and `accounting.report.gaps`. Must not know the clock.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def hour_text(at_ms: int) -> str:
    """2026-11-01T13:00:00Z."""
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%dT%H:%M:%SZ}"


def day_text(at_ms: int) -> str:
    """2026-11-01."""
    return f"{_EPOCH + timedelta(milliseconds=at_ms):%Y-%m-%d}"
