"""Hearing: when each host was last heard of, by this API's own clock and by nobody else's.

Place: between the store and the service: a report's stamp, which its host's clock made, becomes the moment at
which this process saw it change. A thread looks often enough for that. Must not compare a host's clock with
ours once it has seen that host say two things: a clock that is wrong is no death.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final

from controller.api.rounds import Rounds
from controller.store.records import HostReport
from model.errors import RingfenceError
from model.ids import HostName

LOG: Final = logging.getLogger(__name__)
PERIOD: Final = 5.0
"""Seconds between looks; a third of what makes a host dead."""

Stamps = Callable[[], Iterable[tuple[HostName, int]]]
"""(host, its stamp in Unix ms) of all hosts that ever reported."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """`at`: of the monotonic clock, milliseconds."""

    stamp: int
    at: int


class Hearing:
    """Any thread may call it. `stamps` raises model.errors while the store is away."""

    def __init__(
        self,
        stamps: Stamps,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`now_ms`: Unix. `clock`: seconds, never set."""
        self._stamps, self._now_ms, self._clock = stamps, now_ms, clock
        self._lock = threading.Lock()
        self._heard: dict[HostName, _Heard] = {}
        self._failing = False
        self._rounds = Rounds("hearing", self.once, PERIOD)

    def start(self) -> None:
        """Begin; the first look is made at once, by the thread."""
        self._rounds.start()

    def stop(self) -> None:
        """End the thread after what it is at."""
        self._rounds.stop()

    def once(self) -> None:
        """One look; never raises."""
        try:
            found = dict(self._stamps())
        except RingfenceError as error:
            if not self._failing:
                LOG.warning("hosts are not heard: %s", "; ".join(fault.message for fault in error.faults))
            self._failing = True
            return
        if self._failing:
            LOG.info("hosts are heard again")
        self._failing = False
        with self._lock:
            self._heard = {host: self._note(host, stamp) for host, stamp in found.items()}

    def told(self, rows: Iterable[HostReport]) -> tuple[HostReport, ...]:
        """The same reports, each with the Unix ms at which it was heard as its stamp."""
        with self._lock:
            return tuple(self._placed(row) for row in rows)

    def _placed(self, row: HostReport) -> HostReport:
        found = self._heard[row.host] = self._note(row.host, row.stamp)
        return replace(row, stamp=self._now_ms() - (self._now() - found.at))

    def _note(self, host: HostName, stamp: int) -> _Heard:
        before, now = self._heard.get(host), self._now()
        if before is None:
            # Nothing to compare with: its own word is believed, unless it is of the future, until the next.
            return _Heard(stamp, now - max(self._now_ms() - stamp, 0))
        return before if before.stamp == stamp else _Heard(stamp, now)

    def _now(self) -> int:
        return int(self._clock() * 1_000)
