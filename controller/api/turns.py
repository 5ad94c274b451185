"""Turns: a short queue in front of something that one caller at a time can use, first come, first served.

Place: in front of the writing of gangs: who asks first is placed first, whatever the threads do. Bounded, so
that a storm of requests is refused at once and not after minutes. Must not know what is queued for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from model.errors import Fault, Unavailable


@dataclass(frozen=True, slots=True)
class Tally:
    """Since the process began. `taken`: turns that came, after `seconds` of waiting altogether; `full`:
    refused at once; `late`: that did not come in time. `there`: who waits or works now.
    """

    taken: int = 0
    full: int = 0
    late: int = 0
    seconds: float = 0.0
    there: int = 0


class Turns:
    """`most`: how many may wait or work at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._tally = Tally()
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, what: str, patience: float) -> Iterator[None]:
        """Wait for one's turn, up to `patience` seconds. Raises Unavailable if the queue is full, or the time
        is over."""
        mine = threading.Event()
        with self._lock:
            if len(self._waiting) >= self._most:
                self._tally = replace(self._tally, full=self._tally.full + 1)
                message = f"{self._most} requests wait already"
                raise Unavailable(Fault(what, "queue-full", message, "Try again in a few seconds."))
            self._waiting.append(mine)
            if len(self._waiting) == 1:
                mine.set()
        began = time.monotonic()
        end = began + patience
        try:
            if not mine.wait(max(end - time.monotonic(), 0)):
                with self._lock:
                    self._tally = replace(self._tally, late=self._tally.late + 1)
                message = f"its turn did not come within {patience:.0f} s; nothing was changed"
                raise Unavailable(Fault(what, "deadline", message, "Try again, or allow more time."))
            with self._lock:
                waited = self._tally.seconds + time.monotonic() - began
                self._tally = replace(self._tally, taken=self._tally.taken + 1, seconds=waited)
            yield
        finally:
            with self._lock:
                first = self._waiting[0] is mine
                self._waiting.remove(mine)
                if first and self._waiting:
                    self._waiting[0].set()

    def tally(self) -> Tally:
        """How it goes."""
        with self._lock:
            return replace(self._tally, there=len(self._waiting))
