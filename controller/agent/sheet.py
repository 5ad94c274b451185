"""Sheet: all counters as they were counted last, and which of them another reading shows to have moved.

Place: between the arrays that the switch's answers become and `accounting.count`; held by the meter. A
counter that stands still costs a comparison of arrays and nothing else. Must not count, nor forget a counter
that went.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

from accounting.classes import inbound
from accounting.records import Counter, Run, Series
from accounting.state import Baseline, State
from accounting.turns import ROWS, Turns
from pipelines import cookies

_COUNTING: Final = (cookies.Kind.ACCOUNT, cookies.Kind.ACCOUNT_IN)
_Column = npt.NDArray[np.uint64]


class Counters(Protocol):
    """What the accounting tables' dumps give: columns of equal length (see southbound.openflow.dump)."""

    @property
    def cookie(self) -> _Column: ...
    @property
    def packets(self) -> _Column: ...
    @property
    def octets(self) -> _Column: ...


@dataclass(frozen=True, slots=True)
class Page:
    """One reading: a row for each cookie, in their order. `listed`: cookies as the switch listed them, and
    `order` that which sorts them."""

    listed: _Column
    order: npt.NDArray[np.intp]
    cookie: _Column
    packets: _Column
    octets: _Column


class Sheet:
    """Of one meter, in one thread."""

    def __init__(self) -> None:
        self._names: dict[int, Series | None] = {}
        self._named: _Column | None = None
        self._clear = False
        self._page: Page | None = None
        self._state: State | None = None

    def compare(
        self, parts: Collection[Counters], state: State, run: Run
    ) -> Turns[tuple[Page, Mapping[Series, Counter], Collection[Series] | None]]:
        """The page of a reading in `run`, its counters, and those that may differ from the state's (None:
        any).
        """
        last = self._page
        page = _page(parts, last)
        yield
        self._name(page.cookie)
        yield
        known = self._clear and self._state is state and state.run is not None and state.run.goes_on(run)
        if last is None or not known:
            counters: dict[Series, Counter] = {}
            for _, series, packets, octets in self._rows(page, slice(None)):
                old = counters.get(series, (0, 0))
                counters[series] = old[0] + packets, old[1] + octets
            return page, counters, None
        changed, gone = _differences(last, page)
        moved: dict[Series, Counter] = {}
        for start in range(0, len(changed), ROWS):
            some = self._rows(page, changed[start : start + ROWS])
            moved.update((series, (packets, octets)) for _, series, packets, octets in some)
            yield
        left = frozenset(name for c in gone.tolist() if (name := self._names.get(c)) is not None)
        return page, Overlay(state.baselines, moved, left), [*moved, *left] if left else moved.keys()

    def keep(self, page: Page, state: State) -> None:
        """What this page shows is counted, and `state` is what came of it."""
        self._page, self._state = page, state

    def follow(self, before: State, state: State) -> None:
        """`state` came of `before` without a reading: its counters are the same."""
        if self._state is before:
            self._state = state

    def _rows(self, page: Page, some: Any) -> Iterator[tuple[int, Series, int, int]]:
        columns = (page.cookie[some].tolist(), page.packets[some].tolist(), page.octets[some].tolist())
        for cookie, packets, octets in zip(*columns, strict=True):
            series = self._names[cookie]
            if series is not None:
                yield cookie, series, packets, octets

    def _name(self, found: _Column) -> None:
        """Parse each cookie once and not at every reading (40,000 of them: 130 ms)."""
        if self._named is not None and np.array_equal(self._named, found):
            return
        known, last = self._names, self._page
        here = found.tolist()
        if len(known) > 2 * len(here):
            kept = {*here, *(() if last is None else last.cookie.tolist())}
            known = {cookie: name for cookie, name in known.items() if cookie in kept}
        for cookie in here:
            if cookie not in known:
                known[cookie] = series_named(cookie)
        self._names, self._named = known, found
        names = [name for name in known.values() if name is not None]
        self._clear = len(set(names)) == len(names)


class Overlay(Mapping[Series, Counter]):
    """The counters of a reading, as those of a state and what differs from them."""

    __slots__ = ("_before", "_gone", "_moved")

    def __init__(
        self,
        before: Mapping[Series, Baseline],
        moved: Mapping[Series, Counter],
        gone: frozenset[Series],
    ) -> None:
        self._before, self._moved, self._gone = before, moved, gone

    def __getitem__(self, series: Series) -> Counter:
        found = self._moved.get(series)
        if found is not None:
            return found
        if series in self._gone:
            raise KeyError(series)
        return self._before[series].counter

    def __contains__(self, series: object) -> bool:
        return series in self._moved or (series in self._before and series not in self._gone)

    def __iter__(self) -> Iterator[Series]:
        yield from (series for series in self._before if series not in self._gone)
        yield from (series for series in self._moved if series not in self._before)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def series_named(cookie: int) -> Series | None:
    """What an account's cookie stands for; None for other cookies."""
    parsed = cookies.parse(cookie)
    if parsed is None or parsed.kind not in _COUNTING:
        return None
    received = parsed.kind is cookies.Kind.ACCOUNT_IN
    return (parsed.port, inbound(parsed.cls) if received else parsed.cls, parsed.epoch)


def _page(parts: Collection[Counters], last: Page | None) -> Page:
    """Sorted by cookie; flows of one cookie are summed."""
    listed = np.concatenate([part.cookie for part in parts])
    same = last is not None and np.array_equal(last.listed, listed)
    order = last.order if same and last is not None else np.argsort(listed, kind="stable")
    cookie = listed[order]
    packets = np.concatenate([part.packets for part in parts])[order]
    octets = np.concatenate([part.octets for part in parts])[order]
    first = np.ones(len(cookie), bool)
    first[1:] = cookie[1:] != cookie[:-1]
    if not first.all():
        starts = np.flatnonzero(first)
        cookie = cookie[starts]
        packets, octets = np.add.reduceat(packets, starts), np.add.reduceat(octets, starts)
    return Page(listed, order, cookie, packets, octets)


def _differences(last: Page, now: Page) -> tuple[npt.NDArray[np.intp], _Column]:
    """Rows of `now` that are new or differ, and the cookies that are no more."""
    if np.array_equal(last.cookie, now.cookie):
        return np.flatnonzero((last.packets != now.packets) | (last.octets != now.octets)), last.cookie[:0]
    if not len(last.cookie):
        return np.arange(len(now.cookie)), last.cookie
    at = np.minimum(np.searchsorted(last.cookie, now.cookie), len(last.cookie) - 1)
    stays = last.cookie[at] == now.cookie
    equal = stays & (last.packets[at] == now.packets) & (last.octets[at] == now.octets)
    return np.flatnonzero(~equal), np.setdiff1d(last.cookie, now.cookie, assume_unique=True)
