"""Waiting: poll a condition until it holds or a deadline passes.

Place: used wherever a lab waits for a daemon. Must not be used to wait without a condition.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from topologies.errors import LabError

T = TypeVar("T")

PATIENCE: Final = 60.0
"""Seconds after which something that never comes may be said not to come: on a busy machine a daemon of
another's stands still for many seconds. Nothing is proven by less, for nothing here judges speed."""
_FIRST_PAUSE = 0.01
_LAST_PAUSE = 0.2


def until(what: str, condition: Callable[[], T], timeout: float) -> T:
    """Poll `condition` until it gives something true, and return that.

    Raises LabError naming `what` after `timeout` seconds, or PATIENCE if that is longer.
    """
    patience = max(timeout, PATIENCE)
    found = within(condition, patience)
    if not found:
        raise LabError(f"{what}: not within {patience:g} s")
    return found


def within(condition: Callable[[], T], timeout: float) -> T:
    """Poll `condition` until it gives something true or `timeout` seconds are over; what it gave last. For
    those to whom it is no failure that it does not come. The pause grows from 10 to 200 ms."""
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        found = condition()
        if found or time.monotonic() >= end:
            return found
        time.sleep(pause)
        pause = min(pause * 1.5, _LAST_PAUSE)
