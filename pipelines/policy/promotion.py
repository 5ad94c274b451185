"""Promotion: whether rules that count may be enforced now, by the evidence that was asked for.

Place: asked by whoever promotes; pure. Evidence is what agents saw; how it is kept is not known here. Must
not soften what was asked.

What is promoted together drops exactly what its hits said (decision 0056): for that, rules that count,
overlap a promoted one and stand above it have to be enforced on its ports, too, and those that take what a
promoted pass hands on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from typing import Final

from model.errors import Fault
from model.ids import Uid
from model.policy import Action, Default, Defaults, Direction, Policy, Rule, State
from pipelines.policy.entries import Entry, Place, bottom, lot, place
from pipelines.policy.regions import may_meet

_SHOWN: Final = 5
_HOUR: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Span:
    """Half-open, in Unix ms."""

    since: int
    until: int


@dataclass(frozen=True, slots=True)
class Witness:
    """What is known of a rule (by its identity) at one port: when it was counted there, and how much it would
    have dropped. `watched` may overlap; a time in which nobody counted is in none of them. `samples`: some of
    what hit it, in words."""

    identity: str
    port: Uid
    watched: tuple[Span, ...]
    hits: int = 0
    samples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """What the operator wants before and of a promotion. `most_hits` None: hits are listed, whatever their
    number. `share`: the percentage of the ports that come first."""

    watched: timedelta
    share: int = 100
    most_hits: int | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """What a promotion will drop at a port, as far as it was seen."""

    rule: str
    port: Uid
    hits: int
    samples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Weighed:
    """`granted` if nothing is wrong. `first`: the ports on which it will be enforced that were counted till
    now; `short`: how long each port was watched that was not watched for long enough."""

    faults: tuple[Fault, ...]
    hits: tuple[Hit, ...]
    first: tuple[Uid, ...]
    short: tuple[tuple[str, Uid, timedelta], ...]

    @property
    def granted(self) -> bool:
        return not self.faults


Selected = Mapping[Place, Sequence[Uid]]
"""The ports that each chosen entry judges."""


def weigh(
    entries: Sequence[Entry],
    chosen: frozenset[Place],
    selected: Selected,
    evidence: Iterable[Witness],
    asked: Asked,
    named: Callable[[Uid], str] = str,
) -> Weighed:
    """Whether `chosen` of all entries, in the order in which they judge, may be enforced on the share.
    `named`: what people call a port."""
    known = {(one.identity, one.port): one for one in evidence}
    faults: list[Fault] = []
    hits: list[Hit] = []
    short: list[tuple[str, Uid, timedelta]] = []
    first: set[Uid] = set()
    for entry in (one for one in entries if one.place in chosen):
        waiting = [port for port in sorted(selected.get(entry.place, ())) if entry.at(port) is State.COUNT]
        if not waiting:
            faults.append(_nobody(entry))
            continue
        witnesses = [known.get((entry.identity, port), Witness(entry.identity, port, ())) for port in waiting]
        watched = [(str(entry.place), one.port, covered(one)) for one in witnesses]
        # An allow drops nothing: it has no counter, and nothing has to be known of it.
        drops = entry.action is not Action.ALLOW
        lacking = [one for one in watched if drops and one[2] < asked.watched]
        short.extend(lacking)
        said = [Hit(str(entry.place), one.port, one.hits, one.samples) for one in witnesses if one.hits]
        hits.extend(said)
        first.update(port for port in waiting if lot(port) < asked.share)
        faults.extend(_wrong(entry, asked, lacking, said, len(waiting), named))
    faults.extend(_missing(entry, other) for entry, other in companions(entries, chosen, asked.share))
    if not first and not faults:
        faults.append(_empty_share(asked))
    ordered = tuple(sorted(hits, key=lambda hit: (-hit.hits, hit.rule, hit.port)))
    return Weighed(tuple(faults), ordered, tuple(sorted(first)), tuple(short))


def covered(witness: Witness) -> timedelta:
    """How long the port was watched; what several say of one moment counts once."""
    total, end = 0, None
    for span in sorted(witness.watched, key=lambda one: (one.since, one.until)):
        since = span.since if end is None else max(span.since, end)
        if span.until > since:
            total += span.until - since
            end = span.until
    return timedelta(milliseconds=total)


def companions(
    entries: Sequence[Entry], chosen: frozenset[Place], share: int
) -> Iterator[tuple[Entry, Entry]]:
    """Chosen entries, each with one that has to be enforced on the same ports, and would not be."""
    for index, entry in enumerate(entries):
        if entry.place not in chosen:
            continue
        for at, other in enumerate(entries):
            if other.place in chosen or not _counts_within(other, share):
                continue
            above = at < index
            handed_on = entry.action is Action.PASS and other.place.level > entry.place.level
            if (above or handed_on) and may_meet(entry, other):
                yield entry, other


def promote(policies: Iterable[Policy], chosen: frozenset[Place], share: int) -> tuple[Policy, ...]:
    """The policies with what is chosen enforced on that share of the ports, or on more if it was already."""
    return tuple(_promoted(policy, chosen, share) for policy in policies)


def promote_tenants(
    tenants: Mapping[str, Defaults], chosen: frozenset[Place], share: int
) -> dict[str, Defaults]:
    """The same for the tenants' own defaults."""
    found = {}
    for name in sorted(tenants):
        which = frozenset(one for one in Direction if bottom(name, one) in chosen)
        found[name] = _defaults(tenants[name], which, share)
    return found


def _promoted(policy: Policy, chosen: frozenset[Place], share: int) -> Policy:
    rules = tuple(
        _rule(rule, share) if place(policy, number, rule.direction, rule.name) in chosen else rule
        for number, rule in enumerate(policy.rules, 1)
    )
    which = frozenset(one for one in Direction if place(policy, 0, one) in chosen)
    return replace(policy, rules=rules, defaults=_defaults(policy.defaults, which, share))


def _defaults(both: Defaults, which: frozenset[Direction], share: int) -> Defaults:
    outward, inward = both.outward, both.inward
    return Defaults(
        _default(outward, share) if outward and Direction.OUT in which else outward,
        _default(inward, share) if inward and Direction.IN in which else inward,
    )


def _rule(rule: Rule, share: int) -> Rule:
    return replace(rule, state=State.ENFORCE, share=_wider(rule.state, rule.share, share))


def _default(default: Default, share: int) -> Default:
    return replace(default, state=State.ENFORCE, share=_wider(default.state, default.share, share))


def _wider(state: State, had: int, share: int) -> int:
    return max(had, share) if state is State.ENFORCE else share


def _counts_within(entry: Entry, share: int) -> bool:
    """Whether it counts on some port of the share."""
    return entry.state is State.COUNT or entry.share < share


def _wrong(
    entry: Entry,
    asked: Asked,
    lacking: Sequence[tuple[str, Uid, timedelta]],
    hits: Sequence[Hit],
    ports: int,
    named: Callable[[Uid], str],
) -> Iterator[Fault]:
    if lacking:
        least = sorted(lacking, key=lambda one: (one[2], named(one[1])))
        shown = (f"{named(port)} for {_hours(seen)}" for _, port, seen in least)
        yield Fault(
            str(entry.place),
            "promotion-evidence-short",
            f"{len(lacking)} of {ports} ports were watched for less than {_hours(asked.watched)}:"
            f" {_first(shown, len(lacking))}",
            "Wait till they were, or ask for less.",
        )
    total = sum(hit.hits for hit in hits)
    if asked.most_hits is not None and total > asked.most_hits:
        most = sorted(hits, key=lambda hit: (-hit.hits, named(hit.port)))
        shown = (f"{named(hit.port)} {hit.hits}{_sample(hit)}" for hit in most)
        yield Fault(
            str(entry.place),
            "promotion-hits",
            f"it would have dropped {total} packets at {len(hits)} ports, {asked.most_hits} are accepted:"
            f" {_first(shown, len(hits))}",
            "Allow above it what should go on, or accept what is listed.",
        )


def _first(words: Iterable[str], count: int) -> str:
    more = f" and {count - _SHOWN} more" if count > _SHOWN else ""
    return ", ".join(islice(words, _SHOWN)) + more


def _sample(hit: Hit) -> str:
    return f" ({hit.samples[0]})" if hit.samples else ""


def _nobody(entry: Entry) -> Fault:
    return Fault(
        str(entry.place),
        "promotion-of-nothing",
        "it counts at no port",
        "Choose a rule that counts; if it should, look at what its policy selects.",
    )


def _missing(entry: Entry, other: Entry) -> Fault:
    return Fault(
        str(entry.place),
        "promotion-companion",
        f"{other.place} counts on ports where this would be enforced, and has to do with what it drops",
        f"Promote {other.place} before it, or together with it.",
    )


def _empty_share(asked: Asked) -> Fault:
    return Fault(
        "the share",
        "promotion-share-empty",
        f"no port is among the first {asked.share} percent",
        "Ask for a larger share.",
    )


def _hours(span: timedelta) -> str:
    return f"{span / _HOUR:.1f} h"
