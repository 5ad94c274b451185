"""Evidence: what the switch's counters say of rules, reading by reading, kept over restarts.

Place: pure; `controller.agent.watching` reads, keeps and tells (decision 0059). Must not claim a moment in
which nobody counted: a counter that went, that is younger than the last reading, or of another life of
ovs-vswitchd begins anew. Must not forget a hit of a rule that still means the same.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from model.evidence import (
    MOST_SAMPLES,
    Amount,
    HostEvidence,
    RuleName,
    RuleSeen,
    Struck,
    bound,
)
from model.ids import Uid

KEPT_MS: Final = 14 * 24 * 3600 * 1000
"""For so long it is told that a port was counted here which is here no more: it lives elsewhere, and was
watched all the same."""
FORMAT: Final = 1
_NONE: Final = Amount()
Spot = tuple[RuleName, Uid]


@dataclass(frozen=True, slots=True)
class Counted:
    """A counter of one rule at one port, as the switch has it. `age`: of the flow, ms."""

    amount: Amount
    age: int


@dataclass(frozen=True, slots=True)
class Reading:
    """`life`: of ovs-vswitchd. `began`, `ended`: of the reading, ms since boot; `wall`: when it began, Unix
    ms. `decided`, `noted`: by rule, what it decided where it is enforced, and the packets that an allow which
    counts would have judged, since that life began. `names`: the rules that there are: of others nothing is
    kept, with the percentage of ports on which each denies. `exposed`: those of which nothing that was
    watched counts any more (rulebook.exposed).
    """

    life: str
    began: int
    ended: int
    wall: int
    decided: Mapping[RuleName, Amount]
    noted: Mapping[RuleName, Amount]
    spots: Mapping[Spot, Counted]
    names: Mapping[RuleName, int]
    exposed: frozenset[RuleName] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """Of a rule at a port. `since_up`: from when on it was watched, ms since boot; `since`, `until`: the same
    and the last reading, Unix ms. `live`: it was there at the last one. `raw`: what its counter said then.
    `last`: the reading that found the last hit, 0 = none."""

    since_up: int
    since: int
    until: int
    live: bool
    raw: Amount
    total: Amount
    last: int = 0
    samples: tuple[str, ...] = ()


_NEW: Final = Known(0, 0, 0, False, _NONE, _NONE)


@dataclass(frozen=True, slots=True)
class Both:
    """Of a rule, enforced and counted."""

    enforced: Amount = _NONE
    counted: Amount = _NONE


@dataclass(frozen=True, slots=True)
class State:
    """All that is kept. `up`: when the last reading ended, ms since boot. `raw`: what the counters of rules
    said then. `names`: as the last reading had them."""

    life: str = ""
    up: int = 0
    totals: Mapping[RuleName, Both] = field(default_factory=dict)
    raw: Mapping[RuleName, Both] = field(default_factory=dict)
    spots: Mapping[Spot, Known] = field(default_factory=dict)
    names: Mapping[RuleName, int] = field(default_factory=dict)


def advance(state: State, reading: Reading) -> State:
    """What is known after a reading."""
    same = reading.life == state.life
    raw = {
        name: Both(reading.decided.get(name, _NONE), reading.noted.get(name, _NONE))
        for name in sorted(reading.decided.keys() | reading.noted.keys())
        if name in reading.names
    }
    totals = {name: both for name, both in state.totals.items() if name in reading.names}
    for name, now in raw.items():
        before = state.raw.get(name, Both()) if same else Both()
        had = totals.get(name, Both())
        totals[name] = Both(
            had.enforced.plus(_more(before.enforced, now.enforced)),
            had.counted.plus(_more(before.counted, now.counted)),
        )
    spots = dict(_spots(state, reading))
    for (name, port), known in spots.items():
        hits = _more(state.spots.get((name, port), _NEW).total, known.total)
        had = totals.get(name, Both())
        totals[name] = replace(had, counted=had.counted.plus(hits))
    return State(reading.life, reading.ended, totals, raw, spots, dict(reading.names))


def add_samples(state: State, port: Uid, found: Iterable[tuple[RuleName, str]]) -> State:
    """With some of the connections that hit rules at a port; the newest stay."""
    spots = dict(state.spots)
    for rule, text in found:
        known = spots.get((rule, port))
        if known is not None and text not in known.samples:
            spots[rule, port] = replace(known, samples=(text, *known.samples)[:MOST_SAMPLES])
    return replace(state, spots=spots)


def tell(state: State) -> HostEvidence:
    """In the form for the reports."""
    seen = {name: Both() for name, _ in state.spots} | dict(state.totals)
    return bound(
        (RuleSeen(name, both.enforced, both.counted) for name, both in sorted(seen.items())),
        ((*spot, known.since, known.until) for spot, known in sorted(state.spots.items())),
        (
            Struck(*spot, known.total, known.last, known.samples)
            for spot, known in sorted(state.spots.items())
            if known.total.packets
        ),
    )


def dump(state: State) -> bytes:
    """As a file: a line with format and check sum, then JSON."""
    body = json.dumps(
        {
            "life": state.life,
            "up": state.up,
            "totals": [[*_name(n), *_both(b)] for n, b in sorted(state.totals.items())],
            "raw": [[*_name(n), *_both(b)] for n, b in sorted(state.raw.items())],
            "names": [[*_name(n), share] for n, share in sorted(state.names.items())],
            "spots": [[*_name(n), port, *_known(k)] for (n, port), k in sorted(state.spots.items())],
        },
        separators=(",", ":"),
    ).encode()
    return json.dumps({"format": FORMAT, "crc": zlib.crc32(body)}).encode() + b"\n" + body


def load(data: bytes) -> State | None:
    """Inverse of `dump`; None if it can't be trusted: then everything begins anew."""
    head, _, body = data.partition(b"\n")
    try:
        if json.loads(head) != {"format": FORMAT, "crc": zlib.crc32(body)}:
            return None
        found = json.loads(body)
        return State(
            found["life"],
            found["up"],
            {RuleName(*row[:2]): _parse_both(row[2:]) for row in found["totals"]},
            {RuleName(*row[:2]): _parse_both(row[2:]) for row in found["raw"]},
            {(RuleName(*row[:2]), Uid(row[2])): _parse_known(row[3:]) for row in found["spots"]},
            {RuleName(*row[:2]): row[2] for row in found["names"]},
        )
    except (ValueError, KeyError, TypeError):
        return None


def _spots(state: State, reading: Reading) -> Iterator[tuple[Spot, Known]]:
    for spot, now in reading.spots.items():
        if spot[0] in reading.names:
            yield spot, _seen(state, spot, now, reading)
    for spot, known in state.spots.items():
        keeps = spot[0] in reading.names and spot[0] not in reading.exposed
        if spot not in reading.spots and keeps and reading.wall - known.until < KEPT_MS:
            yield spot, replace(known, live=False)


def _seen(state: State, spot: Spot, now: Counted, reading: Reading) -> Known:
    before = state.spots.get(spot, _NEW)
    # A flow as old as the last reading was there at it, and counted ever since.
    stood = before.live and reading.life == state.life and now.age >= reading.began - state.up
    # Of one that is younger all hits are new, even if it inherited some: said twice is better than never.
    more = _more(before.raw, now.amount) if stood else now.amount
    since_up = before.since_up if stood and spot[0] not in reading.exposed else reading.ended
    return replace(
        before,
        since_up=since_up,
        since=reading.wall - max(reading.began - since_up, 0),
        until=reading.wall,
        live=True,
        raw=now.amount,
        total=before.total.plus(more),
        last=reading.wall if more.packets else before.last,
    )


def _more(before: Amount, now: Amount) -> Amount:
    """What came since; nothing is known of it if one of several flows of a rule went meanwhile."""
    return Amount(max(now.packets - before.packets, 0), max(now.octets - before.octets, 0))


def _name(name: RuleName) -> tuple[int, str]:
    return name.number, name.identity


def _both(both: Both) -> tuple[int, int, int, int]:
    enforced, counted = both.enforced, both.counted
    return enforced.packets, enforced.octets, counted.packets, counted.octets


def _parse_both(row: list[Any]) -> Both:
    packets, octets, would, have = row
    return Both(Amount(packets, octets), Amount(would, have))


def _known(known: Known) -> tuple[Any, ...]:
    return (
        *(known.since_up, known.since, known.until, known.live, known.raw.packets, known.raw.octets),
        *(known.total.packets, known.total.octets, known.last, list(known.samples)),
    )


def _parse_known(row: list[Any]) -> Known:
    since_up, since, until, live, packets, octets, total, length, last, samples = row
    raw = Amount(packets, octets)
    return Known(since_up, since, until, live, raw, Amount(total, length), last, tuple(samples))
