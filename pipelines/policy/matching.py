"""Matching: which rules judge a port, and which take it as a peer, asked once for each class of labels.

Place: used by `pipelines.policed`. A memo of a pure function: it must not decide anything by what it was
asked before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


class Matcher:
    """Of these rules. `naming`: those that ask for ports' names, and so are asked for each port."""

    def __init__(self, rules: Iterable[Ruling], memo: dict[Class, tuple[Endpoint, Matched]] | None = None):
        self._rules = {ruling.key: ruling.entry for ruling in rules}
        self.naming = frozenset(key for key, entry in self._rules.items() if _names(entry))
        self._memo = {} if memo is None else memo

    def matched(self, one: Endpoint) -> Matched:
        """What the rules have to do with a port."""
        place = class_of(one)
        if place not in self._memo:
            self._memo[place] = (one, self._ask(one, self._rules.keys() - self.naming))
        found = self._memo[place][1]
        if not self.naming:
            return found
        named = self._ask(one, self.naming)
        return Matched(found.judge | named.judge, found.peers | named.peers)

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
        again = (keys & made._rules.keys()) - made.naming
        for place, (one, found) in self._memo.items():
            more = made._ask(one, again)
            judge = (found.judge - keys) | more.judge
            peers = {key: reach for key, reach in found.peers.items() if key not in keys} | more.peers
            made._memo[place] = (one, Matched(judge, peers))
        return made

    def _ask(self, one: Endpoint, keys: Iterable[RulingKey]) -> Matched:
        judge, peers = set[RulingKey](), dict[RulingKey, Reach]()
        for key in sorted(keys):
            entry = self._rules[key]
            if concerns(entry, one):
                judge.add(key)
            reach = _reach(entry, one)
            if reach is not None:
                peers[key] = reach
        return Matched(frozenset(judge), peers)


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
