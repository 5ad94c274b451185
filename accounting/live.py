"""Live: who sends how much right now, by the newest intervals of each host, and how old that is. Pure.

Place: between `accounting.ledger.newest`, which reads, and the API. Must not call a host that says nothing
zero: what is not known is said to be unknown, with what was known last, and since when.

A rate is bytes divided by the time in which they were sent: of each host, from the earliest begin of the
intervals that ended in its last `over_ms` to the moment up to which all is known of it. Hosts read at times
of their own, and so do not end at the same moment: each line bears its age.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

PATIENCE_MS: Final = 30_000
"""A host of which nothing is known for so long is silent, however often it reads."""
LONGEST_PATIENCE_MS: Final = 180_000
READINGS: Final = 3
"""So many readings may be late before a host that reads seldom is silent."""
AHEAD_MS: Final = 60_000
"""Intervals that end later than this from now are left aside: a clock was wrong."""


class Standing(Enum):
    """What is known of a host."""

    FRESH = "fresh"
    SILENT = "silent"
    """Nothing is known since a while: it may send, or not."""
    UNHEARD = "unheard"
    """It is declared, and nothing of it has come for a day."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the ledger, and the host's own word, say of a host. Unix ms by the host's clock; None = nothing.

    `newest_ms`: the latest end of an interval. `word_ms`: all that it counted up to then is in the ledger.
    `ahead_ms`: the latest end of an interval that lies in the future.
    """

    host: str
    newest_ms: int | None = None
    word_ms: int | None = None
    ahead_ms: int | None = None

    @property
    def known_ms(self) -> int | None:
        """All that it sent up to then is known."""
        known = [at for at in (self.newest_ms, self.word_ms) if at is not None]
        return max(known) if known else None


@dataclass(frozen=True, slots=True)
class Sum:
    """Of one host and line, over the intervals that ended in the host's last `over_ms`.

    `from_ms`: their earliest begin; `last_ms`: their latest end; `longest_ms`: the longest of them.
    """

    host: str
    keys: tuple[str, ...]
    names: tuple[str, ...]
    packets: int
    bytes: int
    from_ms: int
    last_ms: int
    longest_ms: int


@dataclass(frozen=True, slots=True)
class Part:
    """What a line has of one host: so much after `from_ms`, and not after `to_ms`; all of it exact."""

    host: str
    standing: Standing
    packets: int
    bytes: int
    from_ms: int
    to_ms: int


@dataclass(frozen=True, slots=True)
class Rate:
    """A second's worth. For eyes: what is exact are the bytes and times of the parts."""

    bytes: float = 0.0
    packets: float = 0.0

    def __add__(self, other: Rate) -> Rate:
        return Rate(self.bytes + other.bytes, self.packets + other.packets)


@dataclass(frozen=True, slots=True)
class Line:
    """`now`: of its fresh hosts. `last`: of its silent ones, when they were heard last: no part of `now`.

    `age_ms`: of the oldest of its fresh parts; None if it has none: nothing is known of it now.
    """

    keys: tuple[str, ...]
    names: tuple[str, ...]
    now: Rate
    last: Rate
    age_ms: int | None
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class HostLine:
    """`age_ms`: since when nothing is known of it; None if nothing ever was. `rate`: the last that is known.

    `from_ms`, `to_ms`: the time that `rate` is of.
    """

    host: str
    standing: Standing
    age_ms: int | None
    from_ms: int | None
    to_ms: int | None
    rate: Rate
    ahead_ms: int | None


@dataclass(frozen=True, slots=True)
class Live:
    """`lines`: the fastest first; `omitted` more have `omitted_rate`. `total`, `last`: of all lines."""

    at_ms: int
    lines: tuple[Line, ...]
    omitted: int
    omitted_rate: Rate
    total: Rate
    last: Rate
    hosts: tuple[HostLine, ...]


def bounds(heard: Iterable[Heard], over_ms: int) -> dict[str, int]:
    """Of each host that something is known of: intervals that end after this are its newest."""
    known = ((each.host, each.known_ms) for each in heard)
    return {host: at - over_ms for host, at in known if at is not None}


def live(heard: Sequence[Heard], sums: Sequence[Sum], over_ms: int, now_ms: int, most: int) -> Live:
    """Rates as of `now_ms`. `sums`: of intervals that end after `bounds`; `most`: lines to show."""
    spans = _spans(heard, sums, over_ms)
    longest, totals = _of_hosts(sums)
    standings = {each.host: standing(each, longest.get(each.host, 0), now_ms) for each in heard}
    lines = sorted(_lines(sums, spans, standings, now_ms), key=_order)
    shown, rest = lines[:most], lines[most:]
    return Live(
        at_ms=now_ms,
        lines=tuple(shown),
        omitted=len(rest),
        omitted_rate=_total(line.now for line in rest),
        total=_total(line.now for line in lines),
        last=_total(line.last for line in lines),
        hosts=tuple(
            _host(each, standings[each.host], spans.get(each.host), totals.get(each.host, (0, 0)), now_ms)
            for each in heard
        ),
    )


def standing(heard: Heard, longest_ms: int, now_ms: int) -> Standing:
    """`longest_ms`: the longest of its newest intervals: who reads once a minute is not silent after half."""
    known = heard.known_ms
    if known is None:
        return Standing.UNHEARD
    patience = min(max(PATIENCE_MS, READINGS * longest_ms), LONGEST_PATIENCE_MS)
    return Standing.SILENT if now_ms - known > patience else Standing.FRESH


def rate(size: int, packets: int, duration_ms: int) -> Rate:
    """Bytes and packets a second."""
    return Rate(1_000 * size / duration_ms, 1_000 * packets / duration_ms)


def _spans(heard: Iterable[Heard], sums: Iterable[Sum], over_ms: int) -> dict[str, tuple[int, int]]:
    """The time that each host's rates are of. An interval is never split, so it may begin earlier."""
    spans: dict[str, tuple[int, int]] = {}
    for each in heard:
        known = each.known_ms
        if known is not None:
            spans[each.host] = (known - over_ms, known)
    for some in sums:
        begin, end = spans[some.host]
        spans[some.host] = (min(begin, some.from_ms), max(end, some.last_ms))
    return spans


def _of_hosts(sums: Iterable[Sum]) -> tuple[dict[str, int], dict[str, tuple[int, int]]]:
    """Of each host the longest interval, and (bytes, packets)."""
    longest: dict[str, int] = {}
    totals: dict[str, tuple[int, int]] = {}
    for some in sums:
        longest[some.host] = max(longest.get(some.host, 0), some.longest_ms)
        size, packets = totals.get(some.host, (0, 0))
        totals[some.host] = (size + some.bytes, packets + some.packets)
    return longest, totals


def _lines(
    sums: Iterable[Sum],
    spans: Mapping[str, tuple[int, int]],
    standings: Mapping[str, Standing],
    now_ms: int,
) -> Iterable[Line]:
    """One for each key, under the name that it bore last."""
    merged: dict[tuple[str, ...], dict[str, Sum]] = {}
    names: dict[tuple[str, ...], tuple[int, tuple[str, ...]]] = {}
    for some in sums:
        hosts = merged.setdefault(some.keys, {})
        hosts[some.host] = _joined(hosts[some.host], some) if some.host in hosts else some
        names[some.keys] = max(names.get(some.keys, (0, ())), (some.last_ms, some.names))
    for keys, hosts in merged.items():
        parts = tuple(
            Part(host, standings[host], some.packets, some.bytes, *spans[host])
            for host, some in sorted(hosts.items())
        )
        fresh = [part for part in parts if part.standing is Standing.FRESH]
        age = max((max(0, now_ms - part.to_ms) for part in fresh), default=None)
        last = _total(_of(part) for part in parts if part.standing is not Standing.FRESH)
        yield Line(keys, names[keys][1], _total(map(_of, fresh)), last, age, parts)


def _joined(one: Sum, other: Sum) -> Sum:
    """Two names of one key on one host."""
    return Sum(
        one.host,
        one.keys,
        max((one.last_ms, one.names), (other.last_ms, other.names))[1],
        one.packets + other.packets,
        one.bytes + other.bytes,
        min(one.from_ms, other.from_ms),
        max(one.last_ms, other.last_ms),
        max(one.longest_ms, other.longest_ms),
    )


def _host(
    heard: Heard, standing: Standing, span: tuple[int, int] | None, total: tuple[int, int], now_ms: int
) -> HostLine:
    if span is None:
        return HostLine(heard.host, standing, None, None, None, Rate(), heard.ahead_ms)
    begin, end = span
    known = rate(*total, end - begin)
    return HostLine(heard.host, standing, max(0, now_ms - end), begin, end, known, heard.ahead_ms)


def _of(part: Part) -> Rate:
    return rate(part.bytes, part.packets, part.to_ms - part.from_ms)


def _total(rates: Iterable[Rate]) -> Rate:
    return sum(rates, start=Rate())


def _order(line: Line) -> tuple[float, float, tuple[str, ...], tuple[str, ...]]:
    """The fastest first; what is not known now by what it was."""
    return (-line.now.bytes, -line.last.bytes, line.names, line.keys)
