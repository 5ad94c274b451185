"""Rounds: something that the API does again and again, on a thread of its own, until it is told to stop.

Place: held by `hearing`, `books` and `upkeep`. Must not let what goes wrong in one round be the last.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

LOG = logging.getLogger(__name__)


class Rounds:
    """`name`: the thread's; `work`: one round; `period`: seconds from the end of one to the next."""

    def __init__(self, name: str, work: Callable[[], object], period: float) -> None:
        self._work, self._period = work, period
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first round is made at once, by the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread after what it is at."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def go_on(self, pause: float) -> bool:
        """After that many seconds, in the middle of a round: whether it may; at once if it is to stop."""
        return not self._stopping.wait(pause)

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except Exception:
                # A bug here must cost a line in the log, never the thread.
                LOG.exception("a round of %s failed", self._thread.name)
            if self._stopping.wait(self._period):
                return
