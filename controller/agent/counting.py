"""Counting: when the loop looks at counters, and for how long at a time: what waits in its queue goes first.

Place: under `controller.agent.loop`, in its thread. A reading of 40,000 counters is hundreds of turns,
between which flows are programmed. Must not count, nor let a reading begin before the last one is through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from controller.agent.effects import Meter
from controller.agent.pace import Due, Pace
from model.snapshot import Snapshot

SPELL: Final = 0.003
"""Seconds of counting between two looks into the queue; a slice of the switch's answer takes three times as
long."""
_WRITING: Final = 0.005
"""Seconds between two looks whether the disk has answered."""


class Counting:
    """`quiet`: whether no event waits."""

    def __init__(
        self, meter: Meter, due: Due, pace: Pace, clock: Callable[[], float], quiet: Callable[[], bool]
    ) -> None:
        self._meter, self._due, self._pace = meter, due, pace
        self._clock, self._quiet = clock, quiet

    def next(self) -> float:
        """When there is something to do."""
        if self._meter.busy:
            return -math.inf
        if self._meter.writing:
            return min(self._due.sight, self._clock() + _WRITING)
        return min(self._due.sight, self._due.read)

    def periodic(self, snapshot: Snapshot, now: float, *, session: bool) -> None:
        """Sight, begin to read, go on."""
        free = not (self._meter.busy or self._meter.writing)
        reading = free and now >= self._due.read
        if reading or now >= self._due.sight:
            self._due.sight = now + self._pace.sight
            if self._quiet():
                self._meter.sight(snapshot)
        if reading:
            self._due.read = now + self._pace.read
            if session:
                self._meter.begin(snapshot)
        if self._meter.busy or self._meter.writing:
            self._meter.go_on(snapshot, SPELL)
