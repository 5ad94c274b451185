"""Matching: which rules judge a port, and which take it as a peer, asked once for each class of labels.

Place: used by `pipelines.policed`. A memo of a pure function: it must not decide anything by what it was
asked before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from model.entries import Entry
from model.labels import NAME, Labels
from model.policy import Endpoint, Selection
from pipelines.policy.entries import concerns, takes
from pipelines.policy.seated import Ruling, RulingKey

Class = tuple[str, Labels, str, Labels, Labels]
"""All that selectors see of a port but its name: of its tenant, its network, and itself."""


class Reach(Enum):
    """As whose peer a rule takes a port. OWN: of subjects of the port's tenant. SHOWN: of any, also where
    peerings show it."""

    OWN = "own"
    SHOWN = "shown"


@dataclass(frozen=True, slots=True)
class Matched:
    """The rules that would judge such a port, if it lived here; those that take it as a peer."""

    judge: frozenset[RulingKey]
    peers: dict[RulingKey, Reach]


@dataclass(frozen=True, slots=True)
class _Asked:
    """Some rules by what they ask of a port: a thousand rules of one policy ask once whom they judge.
    `subjects` and `peers`: an entry that asks it, and all rules that do."""

    subjects: tuple[tuple[Entry, tuple[RulingKey, ...]], ...]
    peers: tuple[tuple[Entry, tuple[RulingKey, ...]], ...]
    said: dict[tuple[tuple[int, ...], tuple[Reach | None, ...]], Matched] = field(default_factory=dict)
    """A memo: what came of such answers, one for all ports that give them."""

    def of(self, one: Endpoint) -> Matched:
        judging = tuple(at for at, (entry, _) in enumerate(self.subjects) if concerns(entry, one))
        reaches = tuple(_reach(entry, one) for entry, _ in self.peers)
        if (judging, reaches) not in self.said:
            peers = {
                key: reach
                for reach, (_, keys) in zip(reaches, self.peers, strict=True)
                for key in (keys if reach is not None else ())
            }
            judge = frozenset(key for at in judging for key in self.subjects[at][1])
            self.said[judging, reaches] = Matched(judge, {k: r for k, r in peers.items() if r is not None})
        return self.said[judging, reaches]


class Matcher:
    """Of these rules. `naming`: those that ask for ports' names, and so are asked for each port."""

    def __init__(self, rules: Iterable[Ruling]) -> None:
        self._rules = {ruling.key: ruling.entry for ruling in rules}
        self.naming = frozenset(key for key, entry in self._rules.items() if _names(entry))
        self._plain = self._asked(self._rules.keys() - self.naming)
        self._named = self._asked(self.naming)
        self._memo: dict[Class, tuple[Endpoint, Matched]] = {}
        self._pairs: dict[tuple[int, int], Matched] = {}

    def matched(self, one: Endpoint) -> Matched:
        """What the rules have to do with a port."""
        place = class_of(one)
        if place not in self._memo:
            self._memo[place] = (one, self._plain.of(one))
        found = self._memo[place][1]
        if not self.naming:
            return found
        named = self._named.of(one)
        pair = id(found), id(named)  # both are kept, so that no id comes twice
        if pair not in self._pairs:
            self._pairs[pair] = _both(found, named)
        return self._pairs[pair]

    def takes_some(self, key: RulingKey) -> bool:
        """Whether a rule selects peers at all: one of addresses only takes no port."""
        return any(isinstance(peer, Selection) for peer in self._rules[key].peers)

    def reach(self, one: Endpoint, key: RulingKey) -> Reach | None:
        """As whose peer one rule takes a port."""
        place = class_of(one)
        if key in self.naming or place not in self._memo:
            return _reach(self._rules[key], one)
        return self._memo[place][1].peers.get(key)

    def altered(self, rules: Iterable[Ruling], keys: set[RulingKey]) -> Matcher:
        """The same of other rules, of which only `keys` differ: they alone are asked about what is known."""
        made = Matcher(rules)
        again = made._asked((keys & made._rules.keys()) - made.naming)
        known: dict[tuple[int, int], Matched] = {}
        for place, (one, found) in self._memo.items():
            more = again.of(one)
            both = id(found), id(more)
            if both not in known:
                known[both] = _both(_without(found, keys), more)
            made._memo[place] = (one, known[both])
        return made

    def _asked(self, keys: Iterable[RulingKey]) -> _Asked:
        subjects: dict[object, tuple[Entry, list[RulingKey]]] = {}
        peers: dict[object, tuple[Entry, list[RulingKey]]] = {}
        for key in sorted(keys):
            entry = self._rules[key]
            subjects.setdefault((entry.place.tenant, entry.subject), (entry, []))[1].append(key)
            selections = tuple(peer for peer in entry.peers if isinstance(peer, Selection))
            if selections:
                peers.setdefault(selections, (entry, []))[1].append(key)
        return _Asked(_frozen(subjects.values()), _frozen(peers.values()))


def _frozen(
    found: Iterable[tuple[Entry, list[RulingKey]]],
) -> tuple[tuple[Entry, tuple[RulingKey, ...]], ...]:
    return tuple((entry, tuple(keys)) for entry, keys in found)


def _both(one: Matched, other: Matched) -> Matched:
    return Matched(one.judge | other.judge, one.peers | other.peers)


def _without(found: Matched, keys: set[RulingKey]) -> Matched:
    peers = {key: reach for key, reach in found.peers.items() if key not in keys}
    return Matched(found.judge - keys, peers)


def class_of(one: Endpoint) -> Class:
    """The class of a port."""
    return one.tenant, one.tenant_labels, one.network, one.network_labels, one.labels


def _reach(entry: Entry, one: Endpoint) -> Reach | None:
    found = [peer for peer in entry.peers if isinstance(peer, Selection) and takes(peer, one, one)]
    if any(peer.tenants is not None for peer in found):
        return Reach.SHOWN
    return Reach.OWN if found else None


def _names(entry: Entry) -> bool:
    chosen = (entry.subject, *(peer for peer in entry.peers if isinstance(peer, Selection)))
    return any(one.key == NAME for selection in chosen for one in selection.ports.requirements)
