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

from model.change import Change, Part
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.policy import Direction, Endpoint, State
from model.snapshot import Snapshot
from pipelines.policy import seated
from pipelines.policy.matching import Class, Matcher, Reach, class_of
from pipelines.policy.seated import Ruling, RulingKey, endpoint
from pipelines.strict import NOBODY, Strict, follow

Lives = Callable[[Snapshot, PortKey], bool]
"""Whether a port is local and complete (`pipelines.index.compilable`)."""
States = Map[RulingKey, State]
_NO_STATES: Final[States] = Map()
_NO_PORTS: Final[Map[PortKey, None]] = Map()
_NO_SUBJECTS: Final[Map[PortKey, str]] = Map()
_DIGEST: Final = (1 << 64) - 1


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
    """`classes`: all ports, by what selectors see of them. `judged`: by local port under policy, the rules
    that judge it, with their states there; `subjects`: these ports by rule, with their tenants. `here`: the
    rules that judge some. `digests`: of these, of all that they take as peers, and where. `strict`: the local
    ports that something forbids to send. What is empty has no key; without any rule all of it is."""

    rules: Map[RulingKey, Ruling] = Map()
    classes: Map[Class, Map[PortKey, None]] = Map()
    judged: Map[PortKey, States] = Map()
    subjects: Map[RulingKey, Map[PortKey, str]] = Map()
    here: Map[RulingKey, Here] = Map()
    digests: Map[RulingKey, int] = Map()
    strict: Strict = NOBODY
    matcher: Matcher = field(default_factory=lambda: Matcher(()), compare=False)

    def members(self, snapshot: Snapshot, key: RulingKey) -> Iterator[PortKey]:
        """The ports that a rule here takes as peers."""
        if key not in self.here or not self.matcher.takes_some(key):
            return
        for ports in self.classes.values():
            for port in ports:
                one = endpoint(snapshot, port)
                if one is not None and self.reach(one, key) is not None:
                    yield port
                elif key not in self.matcher.naming:
                    break  # what does not ask for names takes all of a class, or none

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

    def counts(self, port: PortKey, direction: Direction) -> bool:
        """Whether anything of a direction counts on a local port."""
        states = self.judged.get(port, _NO_STATES)
        return any(
            state is State.COUNT and self.rules[key].entry.direction is direction
            for key, state in states.items()
        )


NOTHING: Final = Policed()


def build(snapshot: Snapshot, lives: Lives) -> Policed:
    """From nothing; costs the ports, and the rules for each class of labels."""
    rules: Map[RulingKey, Ruling] = Map({ruling.key: ruling for ruling in seated.rulings(snapshot)})
    if not rules:
        return NOTHING
    made = Policed(rules=rules, matcher=Matcher(rules.values()))
    made = _classed(made, NOTHING, snapshot, snapshot.ports)
    here = _local(snapshot)
    made, affected = _judged(made, snapshot, here, lives)
    made = replace(made, strict=follow(NOBODY, snapshot, made.rules, made.judged, here))
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
    was, now = _named(old, changed), _named(new, changed)
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
    concerned = {*moved, *_local(new)} if altered else moved
    made, affected = _judged(made, new, concerned, lives)
    made = replace(made, strict=follow(made.strict, new, made.rules, made.judged, concerned))
    made = _settled(made, affected | altered)
    fresh = {key for key in made.here if key in altered or _whose(before, key) != _whose(made, key)}
    steady = replace(made, digests=_shifted(made, lost, _weights(made, new, moved), fresh))
    return _weighed(steady, new, fresh)


def seen_anew(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> set[PortKey]:
    """Ports that selectors may see with other labels or names, or peers in other places."""
    found: set[PortKey] = set()
    for change in changes:
        if not isinstance(change.key, int):
            continue
        for snapshot in (old, new):
            match change.part:
                case Part.NETWORK:
                    found.update(snapshot.by_network.get(NetworkKey(change.key), _NO_PORTS))
                case Part.TENANT if _told(old, change.key) != _told(new, change.key):
                    found.update(_of_tenants(snapshot, {TenantKey(change.key)}))
                case Part.PEERING:
                    peering = snapshot.peerings.get(TenantKey(change.key))
                    sides = () if peering is None else peering.sides
                    found.update(_of_tenants(snapshot, {side.tenant for side in sides}))
                case _:
                    pass
    return found


def _told(snapshot: Snapshot, key: int) -> object:
    tenant = snapshot.tenants.get(TenantKey(key))
    return None if tenant is None else (tenant.name, tenant.labels)


def _of_tenants(snapshot: Snapshot, tenants: set[TenantKey]) -> Iterator[PortKey]:
    for key, network in snapshot.networks.items():
        if network.tenant in tenants:
            yield from snapshot.by_network.get(key, _NO_PORTS)


def _local(snapshot: Snapshot) -> set[PortKey]:
    """All ports with an interface here, whatever else they lack."""
    owners = (snapshot.by_uid.get(uid) for uid in snapshot.interfaces)
    return {key for key in owners if key is not None}


def _named(snapshot: Snapshot, changes: Iterable[Change]) -> dict[RulingKey, Ruling]:
    """The rules that the changes name."""
    found: dict[RulingKey, Ruling] = {}
    for change in changes:
        if change.part is Part.POLICY and isinstance(change.key, str):
            found.update((one.key, one) for one in seated.of_policy(snapshot, Uid(change.key)))
        if change.part is Part.TENANT and isinstance(change.key, int):
            found.update((one.key, one) for one in seated.of_tenant(snapshot, TenantKey(change.key)))
    return found


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
    judged, subjects, affected = made.judged.mutate(), made.subjects.mutate(), set[RulingKey]()
    for port in ports:
        was = made.judged.get(port, _NO_STATES)
        tenant, now = _states(made, snapshot, port, lives)
        if was == now and all(made.subjects[key][port] == tenant for key in now):
            continue
        affected |= {*was, *now}
        if now:
            judged[port] = now
        else:
            judged.pop(port, None)
        for key in {*was, *now}:
            some = subjects.get(key, _NO_SUBJECTS)
            subjects[key] = some.set(port, tenant) if key in now else some.delete(port)
    return replace(made, judged=judged.finish(), subjects=subjects.finish()), affected


def _states(made: Policed, snapshot: Snapshot, port: PortKey, lives: Lives) -> tuple[str, States]:
    one = endpoint(snapshot, port) if lives(snapshot, port) else None
    if one is None:
        return "", _NO_STATES
    judge = made.matcher.matched(one).judge
    return one.tenant, Map({key: made.rules[key].entry.at(one.uid) for key in judge})


def _settled(made: Policed, keys: Iterable[RulingKey]) -> Policed:
    """What this host needs of these rules."""
    here, subjects, digests = made.here.mutate(), made.subjects.mutate(), made.digests.mutate()
    for key in keys:
        ports = made.subjects.get(key, _NO_SUBJECTS)
        if ports and key in made.rules:
            here[key] = _needed(made, key, ports)
            continue
        here.pop(key, None)
        digests.pop(key, None)
        subjects.pop(key, None)
    return replace(made, here=here.finish(), subjects=subjects.finish(), digests=digests.finish())


def _needed(made: Policed, key: RulingKey, ports: Map[PortKey, str]) -> Here:
    real = expected = counted = False
    direction = made.rules[key].entry.direction
    for port in ports:
        if made.judged[port][key] is State.COUNT:
            counted = True
        else:
            real = True
            expected = expected or made.counts(port, direction)
    return Here(real, expected, counted, frozenset(ports.values()))


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
    """The digests of these rules from nothing."""
    digests = made.digests.mutate()
    for key in fresh:
        total = 0
        for port in made.members(snapshot, key):
            one = endpoint(snapshot, port)
            assert one is not None
            reach = made.reach(one, key)
            assert reach is not None
            total += _weight(snapshot, port, reach)
        digests[key] = total & _DIGEST
    return replace(made, digests=digests.finish())
