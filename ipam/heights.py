"""Heights: places in a list that others are put between, as numbers that fall from its first to its last.

Place: used by `ipam.policies`; hosts turn heights to priorities, and each that moves is a rule whose flows
they write anew. So few move: what stands right stays, what is new goes into the gaps, and where a gap is used
up its neighbours make room, no more of them than must. Must not know what has the heights.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Final

from model.policy import HEIGHTS

FREE: Final = HEIGHTS[:-1]
"""Those that are given: the greatest is for what can't be read (model.policy.UNREAD)."""
_ROOM: Final = 16
"""On how many numbers each has one, at least, where neighbours made room and there is more to take."""


def place(held: Sequence[int]) -> tuple[int, ...] | None:
    """Heights of a list, first to last, falling; `held`: those that its members had, 0 = it is new.

    None if there are more members than heights.
    """
    if len(held) > len(FREE):
        return None
    stays = _falling(held)
    found = [height if stay else 0 for height, stay in zip(held, stays, strict=True)]
    at = 0
    while at < len(found):
        if found[at]:
            at += 1
            continue
        at = _fill(found, at)
    return tuple(found)


def _fill(found: list[int], at: int) -> int:
    """Give heights to those without around `at`; the place behind the last of them."""
    first, end = at, at
    while end < len(found) and not found[end]:
        end += 1
    more = 1
    while _span(found, first, end) <= end - first:
        # The neighbours give theirs up too, always more of them, until there is room again.
        while True:
            first, end, more = max(first - more, 0), min(end + more, len(found)), more * 2
            while end < len(found) and not found[end]:
                end += 1
            whole = first == 0 and end == len(found)
            if whole or _span(found, first, end) >= (end - first + 1) * _ROOM:
                break
    span, count = _span(found, first, end), end - first
    top = found[first - 1] if first else FREE.stop
    for number in range(count):
        found[first + number] = top - (number + 1) * span // (count + 1)
    return end


def _span(found: Sequence[int], first: int, end: int) -> int:
    """From the height before `first` to that at `end`."""
    above = found[first - 1] if first else FREE.stop
    below = found[end] if end < len(found) else FREE.start - 1
    return above - below


def _falling(held: Sequence[int]) -> list[bool]:
    """Which of them may stay: a longest run that falls, of those that are heights at all."""
    ends: list[int] = []
    """Of the best run of each length: the negated height at its end, the least there is."""
    holders: list[int] = []
    before: list[int] = [-1] * len(held)
    for at, height in enumerate(held):
        if height not in FREE:
            continue
        length = bisect_left(ends, -height)
        before[at] = holders[length - 1] if length else -1
        if length == len(ends):
            ends.append(-height)
            holders.append(at)
        else:
            ends[length], holders[length] = -height, at
    stays = [False] * len(held)
    last = holders[-1] if holders else -1
    while last >= 0:
        stays[last] = True
        last = before[last]
    return stays
