"""Pace: how often the loop does what it does again and again, and when each is next due.

Place: settings and clockwork of `controller.agent.loop`. Must not read a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from model.change import Change


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. `tick`: holds, claims, sweeps; `save`: least time between snapshots on disk; `report`:
    between reports in the long run (up to BURST come at once); `details`: between their long parts;
    `heartbeat`: most time; `sight`: between looks at interfaces' own counters, which bounds what a port
    loses that is pulled out; `read`: between readings of counters; `audit`: of the switch.
    """

    tick: float = 1.0
    save: float = 1.0
    report: float = 0.2
    details: float = 2.0
    heartbeat: float = 5.0
    sight: float = 0.5
    read: float = 10.0
    audit: float = 60.0
    again: float = 2.0
    """From an audit that found something to the one that shows that it was mended; then as usual."""


BURST: Final = 8
"""Reports that may come one right after the other: an agent that says "not yet" soon has better news."""


@dataclass(slots=True)
class Due:
    """When each periodic work is next due, on the monotonic clock."""

    tick: float = 0.0
    save: float = 0.0
    report: float = 0.0
    spent: float = 0.0
    """When all reports of a burst will have been paid for (the theoretical arrival time of GCRA)."""
    details: float = 0.0
    heartbeat: float = 0.0
    sight: float = 0.0
    read: float = 0.0
    audit: float = 0.0

    def spend(self, now: float, pace: Pace) -> None:
        """A report was made: when may the next one, when must it come."""
        self.spent = max(self.spent, now) + pace.report
        self.report = self.spent - (BURST - 1) * pace.report
        self.heartbeat = now + pace.heartbeat


class Tally:
    """Changes that somebody has not taken note of yet; at first everything is one."""

    __slots__ = ("_changes", "_everything")

    def __init__(self) -> None:
        self._changes: set[Change] = set()
        self._everything = True

    def add(self, changes: Iterable[Change]) -> None:
        """More of them."""
        if not self._everything:
            self._changes.update(changes)

    def take(self) -> frozenset[Change] | None:
        """All since the last time; None = look at everything."""
        taken = None if self._everything else frozenset(self._changes)
        self._changes, self._everything = set(), False
        return taken
