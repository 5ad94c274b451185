"""Seats: how many of a few things each may hold at once, where there are not enough for all to hold as many.

Place: connections and questions outside (`controller.services`) are held in seats of ports. Who holds few
gets one from whoever holds most, so that nobody is kept out by others who hold many. Must not know what is
held.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Seated(Generic[Key]):
    """It has a seat. `instead`: who has given up one for it, and has to let go of what he held there."""

    instead: Key | None = None


class Seats(Generic[Key]):
    """`each`: of one at most, `whole`: of all together. Whatever is done costs the same for however many."""

    def __init__(self, each: int, whole: int) -> None:
        self._whole = whole
        self._held: dict[Key, int] = {}
        self._taken = 0
        self._having: list[dict[Key, None]] = [{} for _ in range(each + 1)]
        """Who holds so many, in the order in which they came to it."""
        self._most = 0

    def __len__(self) -> int:
        return self._taken

    def held(self, key: Key) -> int:
        """How many this one holds."""
        return self._held.get(key, 0)

    def take(self, key: Key) -> Seated[Key] | None:
        """None: it holds all that it may, or all are taken and nobody holds two more than it."""
        own = self.held(key)
        if own + 1 >= len(self._having):
            return None
        instead: Key | None = None
        if self._taken >= self._whole:
            if self._most < own + 2:
                return None
            instead = next(iter(self._having[self._most]))
            self.leave(instead)
        self._taken += 1
        self._set(key, own + 1)
        return Seated(instead)

    def leave(self, key: Key) -> None:
        """Give one back."""
        own = self.held(key)
        if own:
            self._taken -= 1
            self._set(key, own - 1)

    def _set(self, key: Key, count: int) -> None:
        self._having[self.held(key)].pop(key, None)
        if count:
            self._held[key] = count
            self._having[count][key] = None
        else:
            self._held.pop(key, None)
        self._most = max(self._most, count)
        while self._most and not self._having[self._most]:
            self._most -= 1
