"""Space: which numbers of an extent are held, by which generation, and which cool down.

Place: one for each rail's addresses, each fabric's partition keys and tenant blocks, each PF's VFs. A number
is held under a generation, and only that generation can give it back: who comes late, after a new owner,
frees nothing. Must not read a clock.
"""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass
from typing import Final

from ipam.bitmap import WORD, Bitmap
from ipam.spaces.extent import Extent, Standing

_NOBODY: Final = 0
"""No generation."""
_EMPTY: Final = array("Q", bytes(8 * WORD))


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A number that `generation` gave back: not handed out by itself, nor given to who asks for it, before
    `until` (Unix ms)."""

    value: int
    generation: int
    until: int


class Space:
    """Mutable. Generations are above 0 and below 2^64; `copy` is cheap, and each copy goes its own way."""

    __slots__ = ("_closed", "_cooling", "_owned", "_pages", "_stones", "cooling", "extent", "held")

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self._closed = Bitmap()
        self._pages: dict[int, array[int]] = {}
        self._owned: set[int] = set()
        self._stones: deque[Tombstone] = deque()
        self._cooling: dict[int, Tombstone] = {}
        self.held = 0
        self.cooling = 0

    def copy(self) -> Space:
        """An independent copy: pages of generations are shared until either side writes to them."""
        other = Space(self.extent)
        other._closed = self._closed.copy()
        other._pages = dict(self._pages)
        other._stones = self._stones.copy()
        other._cooling = dict(self._cooling)
        other.held, other.cooling = self.held, self.cooling
        self._owned = set()
        return other

    def __eq__(self, other: object) -> bool:
        """The same extent, holders and tombstones."""
        if not isinstance(other, Space):
            return NotImplemented
        return (
            self.extent == other.extent
            and self._cooling == other._cooling
            and self.holders() == other.holders()
        )

    __hash__ = None  # type: ignore[assignment]

    def holder(self, value: int) -> int:
        """The generation that holds a number; 0 if none does."""
        page = self._pages.get(self._offset(value) // WORD)
        return _NOBODY if page is None else page[self._offset(value) % WORD]

    def holders(self) -> dict[int, int]:
        """number -> generation, of all that are held."""
        start = self.extent.span.start
        return {
            start + index * WORD + place: generation
            for index in sorted(self._pages)
            for place, generation in enumerate(self._pages[index])
            if generation != _NOBODY
        }

    def stones(self) -> tuple[Tombstone, ...]:
        """What cools down, by number."""
        return tuple(self._cooling[value] for value in sorted(self._cooling))

    def next_free(self, start: int | None = None) -> int | None:
        """The lowest open number, not below `start`, that nobody holds and that does not cool down; None if
        there is none. Costs looks at two words, and at two for each closed stretch that it runs into.
        """
        first = self.extent.span.start
        value = first if start is None else max(start, first)
        while True:
            offset = self._closed.next_free(value - first, self.extent.stop - first)
            if offset is None:
                return None
            behind = self.extent.skip(first + offset)
            if behind is None:
                return first + offset
            value = behind

    def next_closed(self, start: int) -> int:
        """The lowest number above `start`, which is free, that is not: held, cooling, closed, or the end."""
        first = self.extent.span.start
        stop = self._closed.next_taken(start - first, self.extent.stop - first) + first
        closed = self.extent.next_closed(start)
        return stop if closed is None else min(stop, closed)

    def can_take(self, value: int) -> bool:
        """Whether `take` would: who asks for a number by value may have a reserved one."""
        barred = self.extent.standing(value) is Standing.BARRED
        return not barred and self._offset(value) not in self._closed

    def take(self, value: int, generation: int) -> bool:
        """Hold a number that is open or reserved; False if it is barred, held or cools down.

        ValueError if the generation is none.
        """
        if generation <= _NOBODY:
            raise ValueError(f"{generation} is no generation")
        if self.extent.standing(value) is Standing.BARRED or not self._closed.take(self._offset(value)):
            return False
        self._write(value, generation)
        self.held += 1
        return True

    def release(self, value: int, generation: int, until: int) -> bool:
        """Give a number back, to cool down until `until` (Unix ms); False if that generation does not hold
        it, and then nothing changes."""
        if generation == _NOBODY or value not in self.extent.span or self.holder(value) != generation:
            return False
        self._write(value, _NOBODY)
        self.held -= 1
        self.bury(Tombstone(value, generation, until))
        return True

    def undo(self, value: int, generation: int) -> bool:
        """Give a number back that nobody outside has heard of: it need not cool down."""
        if generation == _NOBODY or value not in self.extent.span or self.holder(value) != generation:
            return False
        self._write(value, _NOBODY)
        self.held -= 1
        self._closed.release(self._offset(value))
        return True

    def bury(self, stone: Tombstone) -> None:
        """Let a number that nobody holds cool down, as the store says that it does. One that is no number of
        the space any more is nobody's concern."""
        if stone.value not in self.extent.span or self.holder(stone.value) != _NOBODY:
            return
        self._closed.take(self._offset(stone.value))
        self.cooling += stone.value not in self._cooling
        self._cooling[stone.value] = stone
        self._stones.append(stone)

    def thaw(self, now: int) -> int:
        """End the cool-downs that are over at `now` (Unix ms); how many did.

        They stand in the order in which they were made: one that ends before an older one waits for it.
        """
        ended = 0
        while self._stones and self._stones[0].until <= now:
            stone = self._stones.popleft()
            if self._cooling.get(stone.value) is stone:
                self._unbury(stone.value)
                ended += 1
        return ended

    def forget(self, value: int, generation: int) -> bool:
        """End a number's cool-down, if that generation left it behind."""
        stone = self._cooling.get(value)
        if stone is None or stone.generation != generation:
            return False
        self._unbury(value)
        return True

    def _unbury(self, value: int) -> None:
        del self._cooling[value]
        self.cooling -= 1
        self._closed.release(self._offset(value))

    def _offset(self, value: int) -> int:
        return value - self.extent.span.start

    def _write(self, value: int, generation: int) -> None:
        index, place = divmod(self._offset(value), WORD)
        if index not in self._owned:
            self._pages[index] = self._pages.get(index, _EMPTY)[:]
            self._owned.add(index)
        self._pages[index][place] = generation
