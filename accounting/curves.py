"""Curves: what a picture of a report shows: bytes of each class (or port ...) in equal steps of time. Pure.

Place: between a report and whoever draws it. Must not round, smooth or interpolate: a step holds what ended
in it, and the curves add up to the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from accounting.records import DAY, HOUR
from accounting.sizes import UNITS

HOURS_AT_MOST: Final = 96
"""A longer time is drawn by days."""
OTHERS: Final = "others"


@dataclass(frozen=True, slots=True)
class Point:
    """Bytes of one curve in one step, which begins at `at_ms`."""

    key: str
    name: str
    at_ms: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    values: tuple[int, ...]

    @property
    def total(self) -> int:
        """Bytes of all steps."""
        return sum(self.values)


@dataclass(frozen=True, slots=True)
class Chart:
    """`edges`: of the steps, Unix milliseconds, one more than values. The largest curve comes first."""

    edges: tuple[int, ...]
    curves: tuple[Curve, ...]

    @property
    def total(self) -> int:
        """Bytes of all curves."""
        return sum(curve.total for curve in self.curves)


def step_of(from_ms: int, to_ms: int) -> int:
    """The length of the steps of a time."""
    return HOUR if to_ms - from_ms <= HOURS_AT_MOST * HOUR else DAY


def chart(points: Iterable[Point], from_ms: int, to_ms: int, most: int) -> Chart:
    """At most `most` curves: what is not among the largest is put together as one of them."""
    step = step_of(from_ms, to_ms)
    first = from_ms - from_ms % step
    count = -(-(to_ms - first) // step)
    sums: dict[tuple[str, str], list[int]] = {}
    for point in points:
        values = sums.setdefault((point.key, point.name), [0] * count)
        values[(point.at_ms - first) // step] += point.bytes
    ordered = sorted(sums.items(), key=lambda item: (-sum(item[1]), item[0][1], item[0][0]))
    shown, rest = (ordered, []) if len(ordered) <= most else (ordered[: most - 1], ordered[most - 1 :])
    names = [name for (_, name), _ in shown]
    curves = [
        # Two of one name: their keys tell them apart.
        Curve((name or key) if names.count(name) < 2 else f"{name} ({key})", tuple(values))
        for (key, name), values in shown
    ]
    if rest:
        together = tuple(sum(column) for column in zip(*(values for _, values in rest), strict=True))
        curves.append(Curve(f"{len(rest)} {OTHERS}", together))
    edges = (from_ms, *(first + place * step for place in range(1, count)), to_ms)
    return Chart(edges, tuple(curves))


def merged(spans: Iterable[tuple[int, int]], least: int) -> tuple[tuple[int, int], ...]:
    """Spans of time, in order and without overlap, each at least `least` long, so that it can be seen."""
    found: list[tuple[int, int]] = []
    for begin, end in sorted(spans):
        missing = max(0, least - (end - begin))
        begin, end = begin - missing // 2, end + missing - missing // 2
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((begin, end))
    return tuple(found)


def unit_of(values: Sequence[int]) -> tuple[int, str]:
    """(bytes, name) of the decimal unit in which the largest of the values reads well."""
    units = [(1_000**power, name) for power, name in enumerate(UNITS)]
    largest = max(values, default=0)
    fitting = [unit for unit in units if largest >= unit[0]]
    return fitting[-1] if fitting else units[0]
