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

from model.errors import Fault, Unavailable


class Turns:
    """`most`: how many may wait or work at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._waiting: deque[threading.Event] = deque()

    @contextmanager
    def turn(self, what: str, patience: float) -> Iterator[None]:
        """Wait for one's turn, up to `patience` seconds. Raises Unavailable if the queue is full, or the time
        is over."""
        mine = threading.Event()
        with self._lock:
            if len(self._waiting) >= self._most:
                message = f"{self._most} requests wait already"
                raise Unavailable(Fault(what, "queue-full", message, "Try again in a few seconds."))
            self._waiting.append(mine)
            if len(self._waiting) == 1:
                mine.set()
        end = time.monotonic() + patience
        try:
            if not mine.wait(max(end - time.monotonic(), 0)):
                message = f"its turn did not come within {patience:.0f} s; nothing was changed"
                raise Unavailable(Fault(what, "deadline", message, "Try again, or allow more time."))
            yield
        finally:
            with self._lock:
                first = self._waiting[0] is mine
                self._waiting.remove(mine)
                if first and self._waiting:
                    self._waiting[0].set()
