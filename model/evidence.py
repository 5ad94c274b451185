"""Evidence: what a host saw of rules, on which ports they were counted, and what they would have dropped.

Place: made by agents, read by whoever promotes rules and by metrics. Must not judge it. Text is parsed here
too, because a host may be compromised: what does not fit is a ValueError. What is too long is cut so that
evidence is missing, never invented; hits that do not fit stand in `rest`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import Any, Final, TypeVar

from model.foreign import mapping, number
from model.ids import Uid

MOST_RULES: Final = 2_000
MOST_PORTS: Final = 2_000
MOST_SPANS: Final = 2_000
MOST_MEMBERS: Final = 50_000
"""Rules and ports of all spans together."""
MOST_HITS: Final = 500
MOST_SAMPLES: Final = 3
"""Of one rule at one port."""
MOST_TEXT: Final = 160
"""Characters of a sample."""
LONGEST: Final = 2_000_000
"""Characters of a word."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class RuleName:
    """Of a rule or a default: its number (model.policy.Seat) and its identity (model.entries). Both, because
    a number is given again when its rule is long gone."""

    number: int
    identity: str


@dataclass(frozen=True, slots=True)
class Amount:
    """`octets` of layer 2, as flows count them."""

    packets: int = 0
    octets: int = 0

    def plus(self, other: Amount) -> Amount:
        return Amount(self.packets + other.packets, self.octets + other.octets)


@dataclass(frozen=True, slots=True)
class RuleSeen:
    """`enforced`: what it decided; `counted`: what it would have dropped, on ports where it only counts."""

    rule: RuleName
    enforced: Amount = Amount()
    counted: Amount = Amount()


@dataclass(frozen=True, slots=True)
class Watch:
    """Each of `rules` was counted on each of `ports` from `since` to `until` (Unix ms) without a break."""

    since: int
    until: int
    rules: tuple[RuleName, ...]
    ports: tuple[Uid, ...]


@dataclass(frozen=True, slots=True)
class Struck:
    """What a rule that counts would have dropped at a port. `last`: about when the last of it came, Unix ms.
    `samples`: some of the connections, in words."""

    rule: RuleName
    port: Uid
    amount: Amount
    last: int
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rest:
    """The same of further ports, that would make the word too long."""

    rule: RuleName
    ports: int
    amount: Amount
    last: int


@dataclass(frozen=True, slots=True)
class HostEvidence:
    """Everything that a host says."""

    rules: tuple[RuleSeen, ...] = ()
    watches: tuple[Watch, ...] = ()
    hits: tuple[Struck, ...] = ()
    rest: tuple[Rest, ...] = ()


def bound(
    rules: Iterable[RuleSeen], spans: Iterable[tuple[RuleName, Uid, int, int]], hits: Iterable[Struck]
) -> HostEvidence:
    """A word of everything, cut to what fits. `spans`: rule, port, since, until. The rules with most hits
    come first, then those that count, then the others, by name."""
    listed, struck = tuple(spans), sorted(hits, key=lambda hit: (-hit.amount.packets, hit.rule, hit.port))
    watched, hit = {span[0] for span in listed}, {one.rule for one in struck}
    ranked = sorted(rules, key=lambda one: (one.rule not in hit, one.rule not in watched, one.rule))
    kept = ranked[:MOST_RULES]
    names = {one.rule for one in kept}
    ports = {*islice(dict.fromkeys(span[1] for span in _by_port(listed)), MOST_PORTS)}
    shown = [one for one in struck if one.rule in names and one.port in ports][:MOST_HITS]
    there = {(one.rule, one.port) for one in shown}
    left = [one for one in struck if (one.rule, one.port) not in there and one.rule in names]
    return HostEvidence(
        tuple(sorted(kept, key=lambda one: one.rule)),
        _watches(span for span in listed if span[0] in names and span[1] in ports),
        tuple(sorted(shown, key=lambda one: (one.rule, one.port))),
        tuple(_rest(left)),
    )


def render(word: HostEvidence) -> str:
    """As JSON: rules and ports are named by their places in two lists."""
    rules = [one.rule for one in word.rules]
    ports = sorted({p for watch in word.watches for p in watch.ports} | {hit.port for hit in word.hits})
    rule_at = {rule: at for at, rule in enumerate(rules)}
    port_at = {port: at for at, port in enumerate(ports)}
    return json.dumps(
        {
            "rules": [
                [one.rule.number, one.rule.identity, *_flat(one.enforced), *_flat(one.counted)]
                for one in word.rules
            ],
            "ports": ports,
            "watched": [
                [w.since, w.until, [rule_at[r] for r in w.rules], [port_at[p] for p in w.ports]]
                for w in word.watches
            ],
            "hits": [
                [rule_at[h.rule], port_at[h.port], *_flat(h.amount), h.last, list(h.samples)]
                for h in word.hits
            ],
            "rest": [[rule_at[r.rule], r.ports, *_flat(r.amount), r.last] for r in word.rest],
        },
        separators=(",", ":"),
    )


def parse(text: str) -> HostEvidence:
    """Inverse of `render`; ValueError for what does not fit. Unknown keys are ignored."""
    if len(text) > LONGEST:
        raise ValueError("a word of evidence is too long")
    try:
        found = mapping(json.loads(text))
    except RecursionError as error:
        raise ValueError("a word of evidence is nested too deeply") from error
    seen = [_rule(row) for row in _rows(found.get("rules", []), 6, MOST_RULES)]
    names = [one.rule for one in seen]
    ports = [Uid(_short(uid, 64)) for uid in _list(found.get("ports", []), MOST_PORTS + MOST_HITS)]
    return HostEvidence(
        tuple(seen),
        tuple(
            Watch(_number(s), _number(u), _named(names, rules), _named(ports, places))
            for s, u, rules, places in _rows(found.get("watched", []), 4, MOST_SPANS)
        ),
        tuple(
            Struck(
                _one(names, rule),
                _one(ports, port),
                Amount(_number(packets), _number(octets)),
                _number(last),
                tuple(_short(sample, MOST_TEXT) for sample in _list(samples, MOST_SAMPLES)),
            )
            for rule, port, packets, octets, last, samples in _rows(found.get("hits", []), 6, MOST_HITS)
        ),
        tuple(
            Rest(_one(names, rule), _number(count), Amount(_number(packets), _number(octets)), _number(last))
            for rule, count, packets, octets, last in _rows(found.get("rest", []), 5, MOST_RULES)
        ),
    )


def _by_port(spans: Iterable[tuple[RuleName, Uid, int, int]]) -> list[tuple[RuleName, Uid, int, int]]:
    """The ports that were counted last come first: those that left long ago are the ones to be cut."""
    return sorted(spans, key=lambda span: (-span[3], span[1], span[0]))


def _watches(spans: Iterable[tuple[RuleName, Uid, int, int]]) -> tuple[Watch, ...]:
    """Rules with the same time on the same ports together."""
    apart: list[tuple[int, int, tuple[Uid, ...], RuleName]] = []
    for key, some in groupby(sorted(spans, key=_time_and_rule), key=_time_and_rule):
        apart.append((key[0], key[1], tuple(sorted(span[1] for span in some)), key[2]))
    found, members = list[Watch](), 0
    for (since, until, ports), same in groupby(sorted(apart), key=lambda one: one[:3]):
        rules = tuple(one[3] for one in same)
        members += len(rules) + len(ports)
        if members > MOST_MEMBERS or len(found) == MOST_SPANS:
            break
        found.append(Watch(since, until, rules, ports))
    return tuple(found)


def _time_and_rule(span: tuple[RuleName, Uid, int, int]) -> tuple[int, int, RuleName]:
    return span[2], span[3], span[0]


def _rest(left: Sequence[Struck]) -> Iterable[Rest]:
    for rule, some in groupby(sorted(left, key=lambda one: one.rule), key=lambda one: one.rule):
        hits = list(some)
        amount = Amount(sum(h.amount.packets for h in hits), sum(h.amount.octets for h in hits))
        yield Rest(rule, len(hits), amount, max(h.last for h in hits))


def _flat(amount: Amount) -> tuple[int, int]:
    return amount.packets, amount.octets


def _rule(row: Sequence[Any]) -> RuleSeen:
    name = RuleName(_number(row[0]), _short(row[1], 32))
    packets, octets, would, have = map(_number, row[2:])
    return RuleSeen(name, Amount(packets, octets), Amount(would, have))


def _named(known: Sequence[T], places: object) -> tuple[T, ...]:
    return tuple(_one(known, place) for place in _list(places, MOST_MEMBERS))


def _one(known: Sequence[T], place: object) -> T:
    at = _number(place)
    if at >= len(known):
        raise ValueError("a word of evidence names what it does not list")
    return known[at]


def _rows(value: object, width: int, most: int) -> Iterable[list[Any]]:
    for row in _list(value, most):
        if not isinstance(row, list) or len(row) != width:
            raise ValueError(f"a row of evidence has not {width} fields")
        yield row


def _list(value: object, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("a list of evidence is none, or too long")
    return value


def _short(value: object, most: int) -> str:
    if not isinstance(value, str):
        raise ValueError("a text of evidence is none")
    return value[:most]


def _number(value: object) -> int:
    return number(value, "a field of evidence", 63)
