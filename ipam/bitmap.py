"""Bitmap: which offsets of a range are used, in two levels, so that the next free one is found at once.

Place: under every pool. The lower level are words of 1,024 bits, kept only where something is used; the upper
level is one integer with a bit for each full word. Must not know what an offset stands for.
"""

from __future__ import annotations

from typing import Final

WORD: Final = 1024
"""Bits of a word: long enough that a million offsets need an upper level of 1,000 bits."""
_FULL: Final = (1 << WORD) - 1


class Bitmap:
    """A mutable set of offsets >= 0 with a fast search for the lowest that is missing."""

    __slots__ = ("_full", "_words", "used")

    def __init__(self) -> None:
        self._words: dict[int, int] = {}
        self._full = 0
        self.used = 0

    def __contains__(self, offset: int) -> bool:
        word, bit = divmod(offset, WORD)
        return bool(self._words.get(word, 0) >> bit & 1)

    def copy(self) -> Bitmap:
        """An independent copy; costs one entry for each 1,024 offsets in use."""
        other = Bitmap()
        other._words, other._full, other.used = dict(self._words), self._full, self.used
        return other

    def take(self, offset: int) -> bool:
        """Mark as used; False if it already was."""
        index, bit = divmod(offset, WORD)
        word = self._words.get(index, 0)
        changed = word | 1 << bit
        if changed == word:
            return False
        self._words[index] = changed
        if changed == _FULL:
            self._full |= 1 << index
        self.used += 1
        return True

    def release(self, offset: int) -> bool:
        """Mark as free; False if it already was."""
        index, bit = divmod(offset, WORD)
        word = self._words.get(index, 0)
        if not word >> bit & 1:
            return False
        changed = word ^ 1 << bit
        if changed:
            self._words[index] = changed
        else:
            del self._words[index]
        self._full &= ~(1 << index)
        self.used -= 1
        return True

    def next_free(self, start: int, stop: int) -> int | None:
        """The lowest free offset in start <= offset < stop; None if there is none."""
        index, bit = divmod(start, WORD)
        word = self._words.get(index, 0) | (1 << bit) - 1
        if word == _FULL:
            index += 1 + _lowest_zero(self._full >> index + 1)
            word = self._words.get(index, 0)
        offset = index * WORD + _lowest_zero(word)
        return offset if offset < stop else None

    def next_taken(self, start: int, stop: int) -> int:
        """The lowest used offset in start <= offset < stop; `stop` if there is none. Looks at each word."""
        index, bit = divmod(start, WORD)
        word = self._words.get(index, 0) >> bit << bit
        last = (stop - 1) // WORD
        while not word:
            index += 1
            if index > last:
                return stop
            word = self._words.get(index, 0)
        return min(index * WORD + (word & -word).bit_length() - 1, stop)


def _lowest_zero(bits: int) -> int:
    return (~bits & (bits + 1)).bit_length() - 1
