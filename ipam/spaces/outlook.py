"""Outlook: how full a space is, how torn what is left, and when it will be used up.

Place: read by status and metrics. Pure. Must not change a space.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from ipam.bitmap import Bitmap
from ipam.spaces.space import Space

MOST: Final = 4096
"""Free stretches of one space that are looked at: some ms."""
_ENOUGH: Final = 2
"""Samples that a trend needs."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers that are handed out by themselves (`capacity`), and what became of all of the space.

    `longest`: the longest stretch of free numbers, None = there are too many to look at; `stretches`: how
    many were looked at.
    """

    capacity: int
    held: int
    cooling: int
    free: int
    stretches: int
    longest: int | None

    @property
    def utilisation(self) -> float:
        """Share that is not free, 0..1; 1 of a space without numbers."""
        return 1 - self.free / self.capacity if self.capacity else 1.0

    @property
    def fragmentation(self) -> float | None:
        """Share of the free numbers outside of the longest stretch, 0..1: 0 if they are in one piece."""
        if self.longest is None:
            return None
        return 1 - self.longest / self.free if self.free else 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """`used`: held and cooling at `at` (Unix ms)."""

    at: int
    used: int


def survey(space: Space, most: int = MOST) -> Usage:
    """How full a space is, and how torn. Looks at no more than `most` stretches that are free."""
    lengths = _lengths(space.next_free, space.next_closed, most)
    capacity = space.extent.capacity
    if lengths is None:
        free = max(capacity - space.held - space.cooling, 0)
        return Usage(capacity, space.held, space.cooling, free, most, None)
    return Usage(capacity, space.held, space.cooling, sum(lengths), len(lengths), max(lengths, default=0))


def survey_bitmap(taken: Bitmap, size: int, most: int = MOST) -> Usage:
    """The same of a plain range of `size` offsets; what cools down is told as held."""

    def free_from(start: int | None) -> int | None:
        return taken.next_free(start or 0, size)

    lengths = _lengths(free_from, lambda start: taken.next_taken(start, size), most)
    longest = None if lengths is None else max(lengths, default=0)
    stretches = most if lengths is None else len(lengths)
    return Usage(size, taken.used, 0, max(size - taken.used, 0), stretches, longest)


def _lengths(
    free_from: Callable[[int | None], int | None], taken_from: Callable[[int], int], most: int
) -> list[int] | None:
    """Of stretches of free numbers that stand side by side; None if there are more than `most`."""
    found: list[int] = []
    value = free_from(None)
    while value is not None:
        if len(found) == most:
            return None
        stop = taken_from(value)
        found.append(stop - value)
        value = free_from(stop)
    return found


def forecast(samples: Sequence[Sample], capacity: int) -> int | None:
    """When the space is used up (Unix ms) if it goes on so, by least squares; None if it does not fill.

    A space that is full now is used up at the last sample. Fewer than two moments say nothing.
    """
    if not samples:
        return None
    last = max(samples, key=lambda s: s.at)
    if last.used >= capacity:
        return last.at
    if len({s.at for s in samples}) < _ENOUGH:
        return None
    # In whole numbers, around the mean: Unix ms squared would cost a float its digits.
    count, moment, level = len(samples), sum(s.at for s in samples), sum(s.used for s in samples)
    spread = sum((count * s.at - moment) ** 2 for s in samples)
    rise = sum((count * s.at - moment) * (count * s.used - level) for s in samples)
    if rise <= 0:
        return None
    left = capacity - last.used
    return last.at - (-left * spread // rise)
