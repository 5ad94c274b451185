"""Policed: the part of the index that policies need: which rules judge which local ports, and whom they take
as peers.

Place: a field of `pipelines.index.Index`, kept by its `build` and `advance`; read by views and touch. Costs
the rules and ports that a change has to do with; a rule that changes is held against each class of labels
once, and against the local ports. Must not hold anything that the snapshot does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from immutables import Map

from model.change import Change
from model.entries import lot
from model.ids import PortKey
from model.policy import Direction, Endpoint, State
from model.snapshot import Snapshot
from pipelines import grouped
from pipelines.concerned import named, plugged, seen_anew
from pipelines.grouped import Drawn, Grouped, States
from pipelines.policy import grouping, seated
from pipelines.policy.matching import Class, Matcher, Reach, class_of
from pipelines.policy.seated import Ruling, RulingKey, endpoint
from pipelines.sentence import Sentence, counts, sentence
from pipelines.strict import NOBODY, Strict, follow

Lives = Callable[[Snapshot, PortKey], bool]
"""Whether a port is local and complete (`pipelines.index.compilable`)."""
_NO_PORTS: Final[Map[PortKey, None]] = Map()
_DIGEST: Final = (1 << 64) - 1
_ANY_LOT: Final = -1


@dataclass(frozen=True, slots=True)
class Here:
    """What of a rule this host needs. `real`: it is enforced on a port here. Of ports on which something
    counts: `expected`, it is enforced on one, and `counted`, it counts there. `tenants`: of the ports that it
    judges."""

    real: bool
    expected: bool
    counted: bool
    tenants: frozenset[str]


@dataclass(frozen=True, slots=True)
class Policed:
    """`classes`: all ports, by what selectors see of them. `grouped`: the local ports under policy, by what
    judges them. `here`: the rules that judge some. `digests`: of these, of all that they take as peers, and
    where. `strict`: the local ports that something forbids to send. What is empty has no key; without any
    rule all of it is."""

    rules: Map[RulingKey, Ruling] = Map()
    classes: Map[Class, Map[PortKey, None]] = Map()
    grouped: Grouped = grouped.NOBODY
    here: Map[RulingKey, Here] = Map()
    digests: Map[RulingKey, int] = Map()
    strict: Strict = NOBODY
    matcher: Matcher = field(default_factory=lambda: Matcher(()), compare=False)
    sentences: dict[int, Sentence] = field(default_factory=dict, compare=False, repr=False)
    """A memo, empty where anything differs."""

    @property
    def judged(self) -> Map[PortKey, int]:
        """The local ports under policy, with the names of their groups."""
        return self.grouped.judged

    def sentence(self, name: int) -> Sentence:
        """What the rules that judge a group mean together."""
        if name not in self.sentences:
            states = self.grouped.groups[name].states
            self.sentences[name] = sentence(states, self.rules, self.digests)
        return self.sentences[name]

    def members(self, keys: Iterable[RulingKey], snapshot: Snapshot) -> Iterator[PortKey]:
        """The ports that any of these rules here takes as a peer, each once."""
        some = [key for key in keys if key in self.here and self.matcher.takes_some(key)]
        naming = [key for key in some if key in self.matcher.naming]
        for ports in self.classes.values() if some else ():
            first = endpoint(snapshot, next(iter(ports)))
            assert first is not None  # what has no network is of no class
            if any(self.reach(first, key) for key in some if key not in self.matcher.naming):
                yield from ports  # what does not ask for names takes all of a class, or none
                continue
            for port in ports if naming else ():
                one = endpoint(snapshot, port)
                if one is not None and any(self.reach(one, key) for key in naming):
                    yield port

    def reach(self, one: Endpoint, key: RulingKey) -> Reach | None:
        """As whose peer one rule here takes a port: asked of that rule alone, however many there are."""
        found = self.matcher.reach(one, key)
        return found if found is Reach.SHOWN or one.tenant in self.here[key].tenants else None

    def takers(self, one: Endpoint) -> dict[RulingKey, Reach]:
        """The rules here that take a port as a peer."""
        return {
            key: reach
            for key, reach in self.matcher.matched(one).peers.items()
            if key in self.here and (reach is Reach.SHOWN or one.tenant in self.here[key].tenants)
        }


NOTHING: Final = Policed()


def build(snapshot: Snapshot, lives: Lives) -> Policed:
    """From nothing; costs the ports, and the rules for each class of labels."""
    rules: Map[RulingKey, Ruling] = Map({ruling.key: ruling for ruling in seated.rulings(snapshot)})
    if not rules:
        return NOTHING
    made = Policed(rules=rules, matcher=Matcher(rules.values()))
    made = _classed(made, NOTHING, snapshot, snapshot.ports)
    here = plugged(snapshot)
    made, affected = _judged(made, snapshot, here, lives)
    made = replace(made, strict=follow(NOBODY, snapshot, made.rules, made.grouped, here))
    made = _settled(made, affected)
    return _weighed(made, snapshot, made.here)


def advance(
    before: Policed,
    old: Snapshot,
    new: Snapshot,
    changes: Iterable[Change],
    ports: Iterable[PortKey],
    lives: Lives,
) -> Policed:
    """That of `new` from that of `old`. `ports`: those that the changes touch (`pipelines.index.ports_of`).
    The same object where policies have nothing to do with the changes."""
    changed = tuple(changes)
    was, now = named(old, changed), named(new, changed)
    altered = {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)}
    if not before.rules:
        return build(new, lives) if altered else before
    moved = {*ports, *seen_anew(old, new, changed)}
    if not moved and not altered:
        return before
    rules = _ruled(before.rules, now, altered)
    if not rules:
        return NOTHING
    matcher = before.matcher.altered(rules.values(), altered) if altered else before.matcher
    lost = _weights(before, old, moved)
    made = _classed(replace(before, rules=rules, matcher=matcher), before, new, moved, old)
    concerned = {*moved, *plugged(new)} if altered else moved
    made, affected = _judged(made, new, concerned, lives)
    made = replace(made, strict=follow(made.strict, new, made.rules, made.grouped, concerned))
    made = _settled(made, affected | altered)
    fresh = {key for key in made.here if key in altered or _whose(before, key) != _whose(made, key)}
    steady = replace(made, digests=_shifted(made, lost, _weights(made, new, moved), fresh))
    return _weighed(steady, new, fresh)


def _ruled(
    rules: Map[RulingKey, Ruling], now: dict[RulingKey, Ruling], altered: set[RulingKey]
) -> Map[RulingKey, Ruling]:
    made = rules.mutate()
    for key in altered:
        if key in now:
            made[key] = now[key]
        else:
            made.pop(key, None)
    return made.finish()


def _classed(
    made: Policed,
    before: Policed,
    snapshot: Snapshot,
    ports: Iterable[PortKey],
    old: Snapshot | None = None,
) -> Policed:
    """Ports leave the classes that they had in `old`, and enter those that they have."""
    opened: dict[Class, dict[PortKey, None]] = {}
    for source, joins in ((old, False), (snapshot, True)):
        for port in ports if source is not None else ():
            assert source is not None
            one = endpoint(source, port)
            if one is None:
                continue
            place = class_of(one)
            members = opened.setdefault(place, dict(before.classes.get(place, _NO_PORTS)))
            if joins:
                members[port] = None
            else:
                members.pop(port, None)
    classes = made.classes.mutate()
    for place, members in opened.items():
        if members:
            classes[place] = Map(members)
        else:
            classes.pop(place, None)
    return replace(made, classes=classes.finish())


def _judged(
    made: Policed, snapshot: Snapshot, ports: Iterable[PortKey], lives: Lives
) -> tuple[Policed, set[RulingKey]]:
    """What judges these ports now; with the rules to which any of it makes a difference."""
    followed, affected = grouped.follow(made.grouped, _drawn(made, snapshot, ports, lives))
    return replace(made, grouped=followed), affected


def _drawn(made: Policed, snapshot: Snapshot, ports: Iterable[PortKey], lives: Lives) -> Iterator[Drawn]:
    """Worked out once for all ports that the same rules judge, unless a rule is enforced on a share of them
    only: then once for each lot that they have."""
    known: dict[tuple[frozenset[RulingKey], int], tuple[int, States]] = {}
    shared: dict[frozenset[RulingKey], bool] = {}
    for port in ports:
        one = endpoint(snapshot, port) if lives(snapshot, port) else None
        judge = frozenset() if one is None else made.matcher.matched(one).judge
        if one is None or not judge:
            yield Drawn(port, "", 0, grouped.NO_STATES)
            continue
        if judge not in shared:
            shared[judge] = not all(made.rules[key].entry.alike() for key in judge)
        spot = judge, lot(one.uid) if shared[judge] else _ANY_LOT
        if spot not in known:
            states: States = Map({key: made.rules[key].entry.at(one.uid) for key in judge})
            known[spot] = grouping.name(states.items()), states
        yield Drawn(port, one.tenant, *known[spot])


def _settled(made: Policed, keys: Iterable[RulingKey]) -> Policed:
    """What this host needs of these rules."""
    here, digests = made.here.mutate(), made.digests.mutate()
    known: dict[int, _Known] = {}
    for key in keys:
        if key in made.grouped.bearing and key in made.rules:
            here[key] = _needed(made, key, known)
            continue
        here.pop(key, None)
        digests.pop(key, None)
    return replace(made, here=here.finish(), digests=digests.finish())


_Known = tuple[frozenset[Direction], frozenset[str]]
"""Of a group: in which directions something counts, and the tenants of its ports."""


def _needed(made: Policed, key: RulingKey, known: dict[int, _Known]) -> Here:
    real = expected = counted = False
    direction, tenants = made.rules[key].entry.direction, frozenset[str]()
    for group, held in made.grouped.of_rule(key):
        if group not in known:
            known[group] = counts(held.states, made.rules), frozenset(held.ports.values())
        counting, whose = known[group]
        tenants |= whose
        if held.states[key] is State.COUNT:
            counted = True
        else:
            real = True
            expected = expected or direction in counting
    return Here(real, expected, counted, tenants)


def _whose(policed: Policed, key: RulingKey) -> object:
    here = policed.here.get(key)
    return None if here is None else here.tenants


Weights = dict[RulingKey, int]


def _weights(policed: Policed, snapshot: Snapshot, ports: Iterable[PortKey]) -> Weights:
    """What these ports weigh in the digests of the rules that take them."""
    found: Weights = {}
    for port in ports:
        one = endpoint(snapshot, port)
        for key, reach in () if one is None else policed.takers(one).items():
            found[key] = found.get(key, 0) + _weight(snapshot, port, reach)
    return found


def _weight(snapshot: Snapshot, port: PortKey, reach: Reach) -> int:
    places = seated.owned(snapshot, port)
    if reach is Reach.SHOWN:
        places += seated.shown(snapshot, port)
    return seated.weight(places)


def _shifted(made: Policed, lost: Weights, won: Weights, fresh: set[RulingKey]) -> Map[RulingKey, int]:
    digests = made.digests
    for key in (lost.keys() | won.keys()) - fresh:
        if key in made.here:
            shifted = digests[key] + won.get(key, 0) - lost.get(key, 0)
            digests = digests.set(key, shifted & _DIGEST)
    return digests


def _weighed(made: Policed, snapshot: Snapshot, fresh: Iterable[RulingKey]) -> Policed:
    """The digests of these rules from nothing; what a class weighs is worked out once."""
    digests = made.digests.mutate()
    known: dict[tuple[Class, Reach], int] = {}
    totals = dict.fromkeys(fresh, 0)
    some = [key for key in totals if made.matcher.takes_some(key)]
    for place, ports in made.classes.items() if some else ():
        first = endpoint(snapshot, next(iter(ports)))
        assert first is not None  # what has no network is of no class
        for key in some:
            if key in made.matcher.naming:
                totals[key] += _named_weight(made, snapshot, key, ports)
                continue
            reach = made.reach(first, key)
            if reach is None:
                continue
            if (place, reach) not in known:
                known[place, reach] = sum(_weight(snapshot, port, reach) for port in ports)
            totals[key] += known[place, reach]
    digests.update((key, total & _DIGEST) for key, total in totals.items())
    return replace(made, digests=digests.finish(), sentences={})


def _named_weight(made: Policed, snapshot: Snapshot, key: RulingKey, ports: Iterable[PortKey]) -> int:
    """Of a rule that asks for ports' names: each is asked for itself."""
    total = 0
    for port in ports:
        one = endpoint(snapshot, port)
        reach = None if one is None else made.reach(one, key)
        total += 0 if reach is None else _weight(snapshot, port, reach)
    return total
