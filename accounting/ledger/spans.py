"""Spans: which parts of a time are read from daily sums, which from hourly ones, which from intervals. Pure.

Place: between a report's half-open time and `accounting.ledger.sources`. Must not lose or repeat a
millisecond.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Final

from accounting.ledger.tables import DAY, HOUR, day_of, hour_of

MOST: Final = 100
"""Stale spans of one query."""

Span = tuple[int, int]
"""[begin, end) in Unix milliseconds."""


class Grain(Enum):
    """How long a time one row may sum up at most."""

    HOUR = HOUR
    DAY = DAY


@dataclass(frozen=True, slots=True)
class Spans:
    """Together they are the whole time, without overlap. `edges`: within an hour each, from intervals.

    `stale`: whole hours whose sums lack something: from intervals, and sums of those that are no longer kept.
    """

    edges: tuple[Span, ...] = ()
    stale: tuple[Span, ...] = ()
    hours: tuple[Span, ...] = ()
    days: tuple[Span, ...] = ()


def spans(from_ms: int, to_ms: int, stale: Iterable[int], largest: Grain, cut: Iterable[int] = ()) -> Spans:
    """The parts of [from_ms, to_ms). `stale`: hours of which at least one host's sums lack something.

    `cut`: hours whose parts are asked for one by one; each is an edge of its own.
    """
    first, last = _up(from_ms, HOUR), hour_of(to_ms)
    if first >= last:
        return Spans(edges=_real([(from_ms, min(first, to_ms)), (first, to_ms)]))
    hours = sorted({hour for hour in stale if first <= hour < last})
    parted = tuple((hour, hour + HOUR) for hour in sorted(set(cut)) if first <= hour < last)
    rough = without(_few(joined((hour, hour + HOUR) for hour in hours)), parted)
    days: tuple[Span, ...] = ()
    if largest is Grain.DAY:
        whole = _real([(_up(first, DAY), day_of(last))])
        days = without(whole, joined((day_of(begin), _up(end, DAY)) for begin, end in sorted(rough + parted)))
    taken = sorted((*rough, *parted, *days))
    edges = _real([(from_ms, first), *parted, (last, to_ms)])
    return Spans(edges, rough, without([(first, last)], taken), days)


def _few(parts: tuple[Span, ...]) -> tuple[Span, ...]:
    """At most MOST: those with the smallest holes between them as one. Any hour may be read like a stale one.

    A query has a condition for each; SQLite takes no thousand of them.
    """
    if len(parts) <= MOST:
        return parts
    holes = sorted((later[0] - earlier[1], place) for place, (earlier, later) in enumerate(pairwise(parts)))
    cuts = sorted(place for _, place in holes[len(parts) - MOST :])
    firsts, lasts = [0, *(cut + 1 for cut in cuts)], [*cuts, len(parts) - 1]
    return tuple((parts[a][0], parts[b][1]) for a, b in zip(firsts, lasts, strict=True))


def joined(parts: Iterable[Span]) -> tuple[Span, ...]:
    """Spans that touch or overlap as one; `parts` in order of their begin."""
    found: list[Span] = []
    for begin, end in parts:
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return tuple(found)


def without(whole: Iterable[Span], holes: Iterable[Span]) -> tuple[Span, ...]:
    """`whole` less `holes`; both in order, each without overlaps."""
    left = list(whole)
    for hole_begin, hole_end in holes:
        cut: list[Span] = []
        for begin, end in left:
            if hole_end <= begin or end <= hole_begin:
                cut.append((begin, end))
            else:
                cut += [(begin, min(end, hole_begin)), (max(begin, hole_end), end)]
        left = list(_real(cut))
    return tuple(left)


def _real(parts: Iterable[Span]) -> tuple[Span, ...]:
    return tuple((begin, end) for begin, end in parts if begin < end)


def _up(at_ms: int, size: int) -> int:
    return -(-at_ms // size) * size
