"""History: how full spaces were at some moments, few enough to be kept for ever.

Place: filled by the API as gangs come and go, read for forecasts. Bounded: when it is full, every other
moment is forgotten and the next ones are taken half as often. Must not read a clock.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

from ipam.spaces.outlook import Sample

K = TypeVar("K", bound=Hashable)
_MOMENTS: Final = 64
_FIRST: Final = 10_000
"""ms between the first moments."""


class History(Generic[K]):
    """Mutable. `gap`: ms that are between two moments at least."""

    __slots__ = ("_moments", "gap")

    def __init__(self) -> None:
        self._moments: list[tuple[int, Mapping[K, int]]] = []
        self.gap = _FIRST

    def due(self, now: int) -> bool:
        """Whether a moment would be kept."""
        return not self._moments or now - self._moments[-1][0] >= self.gap

    def note(self, now: int, used: Mapping[K, int]) -> None:
        """What is held or cools down of each space at `now` (Unix ms); nothing is kept if none is due."""
        if not self.due(now):
            return
        self._moments.append((now, used))
        if len(self._moments) == _MOMENTS:
            self._moments = self._moments[::2]
            self.gap *= 2

    def samples(self, key: K) -> tuple[Sample, ...]:
        """The moments at which a space was there, in order."""
        return tuple(Sample(at, used[key]) for at, used in self._moments if key in used)
