"""Figures: what a benchmark found, as tables for people and as plain data, with the statistics that it uses.

Place: returned by each benchmark, printed by `python -m tests.bench`. Must not measure anything.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeVar

T = TypeVar("T")

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, and its numbers, one for each column of the table."""

    what: str
    numbers: tuple[float | str | None, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """`columns` name the numbers with their unit; `notes` say what a reader must know to judge them."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.columns)) < len(self.columns):
            raise ValueError(f"{self.title}: two columns of one name are one in JSON")

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        rows = [{"what": r.what} | dict(zip(self.columns, r.numbers, strict=True)) for r in self.rows]
        return {"title": self.title, "rows": rows, "notes": list(self.notes)}

    def text(self) -> str:
        """For people: aligned columns, a dash where there is no number."""
        cells = [("", *self.columns), *((r.what, *map(_number, r.numbers)) for r in self.rows)]
        widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
        lines = [self.title]
        for first, *rest in cells:
            numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
            lines.append(f"  {first.ljust(widths[0])}  {'  '.join(numbers)}")
        return "\n".join([*lines, *(f"  * {note}" for note in self.notes)])


def _number(value: float | str | None) -> str:
    """Three significant digits; whole numbers from 100 on, in groups. Words as they are."""
    if isinstance(value, str):
        return value
    if value is None:
        return "-"
    if isinstance(value, int) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) < 0.1 else f"{value:.2f}"


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: a value that was measured, not one between two."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * len(ordered) * 1000) // 1000) - 1))]


def spread(seconds: Sequence[float]) -> tuple[float, float, float]:
    """(p50, p99, most) in ms."""
    return median(seconds) * 1e3, quantile(seconds, 0.99) * 1e3, max(seconds) * 1e3


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds: by the clock on the wall, and of this process's and its ended children's processor time."""

    wall: float
    processor: float


def timed(act: Callable[[], object]) -> Cost:
    """What `act` costs, from a heap that was just cleaned, so that no run pays for the one before."""
    gc.collect()
    began, used = time.perf_counter(), _processor()
    act()
    return Cost(time.perf_counter() - began, _processor() - used)


def typical(costs: Sequence[Cost]) -> Cost:
    """The median of each figure on its own."""
    return Cost(median(c.wall for c in costs), median(c.processor for c in costs))


def _processor() -> float:
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


@contextmanager
def frozen_heap() -> Iterator[None]:
    """Keep what stands in memory now out of the collector's walks; a small process would not hold it."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def family(pid: int) -> tuple[int, ...]:
    """A process and all its descendants."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            todo.extend(int(word) for word in task.read_text().split())
    return tuple(found)


def resident(pids: Sequence[int]) -> float:
    """Resident memory in MB (10^6 bytes); pages that processes share count in each of them."""
    return sum(int(Path(f"/proc/{p}/statm").read_text().split()[1]) for p in pids) * _PAGE / 1e6


def used(pids: Sequence[int]) -> float:
    """Processor seconds so far, user and system."""
    total = 0
    for pid in pids:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(words[11]) + int(words[12])
    return total / _TICKS
