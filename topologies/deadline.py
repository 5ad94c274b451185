"""Waiting: poll a condition until it holds or a deadline passes.

Place: used wherever a lab waits for a daemon. Must not be used to wait without a condition.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from topologies.errors import LabError

T = TypeVar("T")

_FIRST_PAUSE = 0.01
_LAST_PAUSE = 0.2


def until(what: str, condition: Callable[[], T], timeout: float) -> T:
    """Poll `condition` until it gives something true, and return that.

    Raises LabError naming `what` after `timeout` seconds. The pause grows from 10 to 200 ms.
    """
    end = time.monotonic() + timeout
    pause = _FIRST_PAUSE
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() >= end:
            raise LabError(f"{what}: not within {timeout:g} s")
        time.sleep(pause)
        pause = min(pause * 1.5, _LAST_PAUSE)
