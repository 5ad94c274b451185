"""Outlook: how full a space is, how torn what is left, and when it will be used up.

Place: read by status and metrics. Pure. Must not change a space.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ipam.spaces.space import Space

_ENOUGH: Final = 2
"""Samples that a trend needs."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Numbers that are handed out by themselves (`capacity`), and what became of all of the space.

    `longest`: the longest stretch of free numbers; `stretches`: how many there are.
    """

    capacity: int
    held: int
    cooling: int
    free: int
    stretches: int
    longest: int

    @property
    def utilisation(self) -> float:
        """Share that is not free, 0..1; 1 of a space without numbers."""
        return 1 - self.free / self.capacity if self.capacity else 1.0

    @property
    def fragmentation(self) -> float:
        """Share of the free numbers outside of the longest stretch, 0..1: 0 if they are in one piece."""
        return 1 - self.longest / self.free if self.free else 0.0


@dataclass(frozen=True, slots=True)
class Sample:
    """`used`: held and cooling at `at` (Unix ms)."""

    at: int
    used: int


def survey(space: Space) -> Usage:
    """How full a space is. Costs a step for each stretch, free or not."""
    lengths = [len(stretch) for stretch in _stretches(space)]
    return Usage(
        space.extent.capacity, space.held, space.cooling, sum(lengths), len(lengths), max(lengths, default=0)
    )


def _stretches(space: Space) -> Iterator[range]:
    """Free numbers that stand side by side."""
    value = space.next_free()
    while value is not None:
        stop = space.next_closed(value)
        yield range(value, stop)
        value = space.next_free(stop)


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
