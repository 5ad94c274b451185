"""Room: how much a file system still takes, and when it will be full at the rate at which it fills.

Place: asked by agents about the journal's disk and by the API about the ledger's, so that a full disk is an
alarm before it is one. Must not free anything; what a full disk does is said in `accounting.journal`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from accounting.sizes import human

LOW_SHARE: Final = 10
"""Less than a tenth of the disk free is little,"""
LOW_BYTES: Final = 1 << 30
"""unless that is still more than this."""
LOW_NODES: Final = 100
"""Files that can still be made."""
SOON_S: Final = 24 * 3_600
"""Full within this time is soon, if half of it is used: what fills an empty disk is mostly a burst."""
WINDOW_S: Final = 1_800.0
"""How far back the rate looks."""
LEAST_S: Final = 300.0
"""Less than this is no rate."""
_STEP_S: Final = 30.0


class Level(Enum):
    """How grave it is."""

    FINE = "fine"
    SOON = "soon"
    LOW = "low"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Space:
    """Of a file system: bytes that are free for us, bytes in all, files that can still be made (None = any
    number).
    """

    free: int
    size: int
    nodes: int | None = None


@dataclass(frozen=True, slots=True)
class Trend:
    """What was free, by seconds on a clock that only rises; oldest first."""

    seen: tuple[tuple[float, int], ...] = ()

    def after(self, now_s: float, free: int) -> Trend:
        """With one more look. Close ones replace each other; the newest older than the window is kept."""
        kept = self.seen
        while len(kept) > 1 and now_s - kept[1][0] >= WINDOW_S:
            kept = kept[1:]
        if len(kept) > 1 and now_s - kept[-2][0] < _STEP_S:
            kept = kept[:-1]
        return Trend((*kept, (now_s, free)))

    @property
    def full_in_s(self) -> int | None:
        """Seconds until nothing is free at this rate; None: it does not fill, or not known yet."""
        if not self.seen:
            return None
        (begin, before), (end, free) = self.seen[0], self.seen[-1]
        if free <= 0:
            return 0
        if end - begin < LEAST_S or free >= before:
            return None
        return int(free * (end - begin) / (before - free))


def level(space: Space, full_in_s: int | None) -> Level:
    """What to make of it."""
    if space.free <= 0 or space.nodes == 0:
        return Level.FULL
    if space.free < min(space.size // LOW_SHARE, LOW_BYTES):
        return Level.LOW
    if space.nodes is not None and space.nodes < LOW_NODES:
        return Level.LOW
    if full_in_s is not None and full_in_s < SOON_S and space.free < space.size // 2:
        return Level.SOON
    return Level.FINE


def look(path: Path) -> Space | None:
    """The file system that holds `path`, as one who is not root sees it; None if it can't be asked."""
    try:
        found = os.statvfs(path)
    except OSError:
        return None
    nodes = found.f_favail if found.f_files else None
    return Space(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, nodes)


class Room:
    """One file system, looked at now and then; one thread calls it."""

    def __init__(self, clock: Callable[[], float], look: Callable[[], Space | None]) -> None:
        """`clock`: seconds that only rise."""
        self._clock, self._look = clock, look
        self._trend = Trend()
        self.space: Space | None = None

    def see(self) -> Level:
        """Look once; what can't be asked is no alarm."""
        self.space = self._look()
        if self.space is None:
            self._trend = Trend()
            return Level.FINE
        self._trend = self._trend.after(self._clock(), self.space.free)
        return level(self.space, self.full_in_s)

    @property
    def full_in_s(self) -> int | None:
        """See Trend."""
        return self._trend.full_in_s

    def words(self, what: str, found: Level) -> str:
        """An alarm about `what`, its level being `found`; empty if there is none."""
        if found is Level.FINE or self.space is None:
            return ""
        left = f"{human(self.space.free)} of {human(self.space.size)} are free"
        if self.space.nodes is not None and self.space.nodes < LOW_NODES:
            left += f", and {self.space.nodes} files can be made"
        when = "" if not self.full_in_s else f"; full in {_time(self.full_in_s)} at this rate"
        return f"{what}: {left}{when}"


def _time(seconds: int) -> str:
    if seconds < 7_200:
        return f"{max(1, seconds // 60)} minutes"
    return f"{seconds // 3_600} hours"
