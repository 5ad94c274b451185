"""Which objects of policy a change touches: rules, ports as their peers, local ports that they judge, and
groups of these.

Place: called by `pipelines.touch`. Where policies have nothing to do with a change, the index says so by
being the same one. Must touch too much rather than too little.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from immutables import Map

from model.addresses import Address
from model.change import Change, Part
from model.ids import PortKey, Uid
from model.snapshot import Snapshot
from pipelines import objects as o
from pipelines.concerned import seen_anew
from pipelines.index import Index, vrf_of
from pipelines.policed import Policed
from pipelines.policy.seated import RulingKey

_NO_NAMES: Final[Map[int, None]] = Map()

K = TypeVar("K")
V = TypeVar("V")


def objects(snapshot: Snapshot, index: Index) -> set[o.Object]:
    """All of policy."""
    found = index.policed
    made = {o.draining(PortKey(owner)) for kind, owner in snapshot.zones if kind == "draining"}
    made.update(o.rule(key) for key in found.here)
    made.update(o.judged(port) for port in found.judged)
    made.update(o.group(name) for name in found.grouped.groups)
    for network in found.strict.networks:
        made.update(o.addressee(port) for port in snapshot.by_network.get(network, Map()))
    made.update(o.member(port) for port in found.members(found.here, snapshot))
    return made


def touched(
    old: Snapshot,
    new: Snapshot,
    before: Index,
    after: Index,
    changes: Iterable[Change],
    ports: Iterable[PortKey],
) -> set[o.Object]:
    """`ports`: those that the changes touch (`pipelines.index.ports_of`)."""
    was, now = before.policed, after.policed
    changed = tuple(changes)
    drained = {make(owner) for owner in _zoned(changed, "draining") for make in (o.draining, o.port)}
    if not was.here and not now.here:
        return drained
    moved = {*ports, *seen_anew(old, new, changed)}
    found = {make(port) for port in moved for make in (o.judged, o.member, o.addressee)}
    found.update(_behind((old, was), (new, now), changes=changed))
    found.update(drained, (o.judged(owner) for owner in _zoned(changed, "policy")))
    if was is now:
        return found
    for network in {*was.strict.networks} ^ {*now.strict.networks}:
        for snapshot in (old, new):
            found.update(o.addressee(port) for port in snapshot.by_network.get(network, Map()))
    rules = _differing(was.rules, now.rules) | _differing(was.here, now.here)
    found.update(o.rule(key) for key in rules)
    for snapshot, held in ((old, was), (new, now)):
        found.update(o.member(port) for port in held.members(rules, snapshot))
    groups = _groups(was, now, rules)
    found.update(o.group(name) for name in groups)
    found.update(o.judged(port) for port in _judged(was, now, groups))
    return found


def _groups(was: Policed, now: Policed, rules: set[RulingKey]) -> set[int]:
    """Those that came or went, and those of rules that stand elsewhere or mean others now."""
    keys = rules | _differing(was.digests, now.digests)
    found = {*was.grouped.groups} ^ {*now.grouped.groups}
    for held in (was, now):
        found.update(name for key in keys for name in held.grouped.bearing.get(key, _NO_NAMES))
    return found


def _judged(was: Policed, now: Policed, groups: set[int]) -> set[PortKey]:
    """Those of other groups than before, and all of groups that are not what they were."""
    found = _differing(was.judged, now.judged)
    for held in (was, now):
        for name in groups:
            if name in held.grouped.groups:
                found.update(held.grouped.groups[name].ports)
    return found


def _behind(*moments: tuple[Snapshot, Policed], changes: Iterable[Change]) -> Iterator[o.Object]:
    """Who has what static routes send to it, where that matters. Costs the ports of such networks."""
    for change in changes:
        for snapshot, held in moments if change.part is Part.STATIC_ROUTE else ():
            route = snapshot.static_routes.get(Uid(str(change.key)))
            if route is None:
                continue
            hops = frozenset[Address](route.next_hops)
            for network in held.strict.networks:
                own = vrf_of(snapshot, network) == route.tenant
                for key in snapshot.by_network.get(network, Map()) if own else ():
                    port = snapshot.ports[key]
                    if port.allowed or not hops.isdisjoint(port.addresses):
                        yield o.addressee(key)


def _zoned(changes: Iterable[Change], wanted: str) -> Iterator[PortKey]:
    for change in changes:
        match change:
            case Change(Part.ZONE, (kind, int(owner))) if kind == wanted:
                yield PortKey(owner)


def _differing(was: Map[K, V], now: Map[K, V]) -> set[K]:
    """The keys whose values differ. Of maps that are one map there are none."""
    if was is now:
        return set()
    found = {key for key, value in now.items() if was.get(key) != value}
    found.update(key for key in was if key not in now)
    return found
