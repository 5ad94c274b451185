"""Statics: the part of the index that finds prefixes: static routes, and learned ones by VRF.

Place: held by `pipelines.index.Index`, read by views and touch. As all of the index it says nothing that the
snapshot does not, and `advance` must come to the same as `build`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from immutables import Map

from model.addresses import Address, Prefix
from model.change import Change, Part
from model.ids import TenantKey, Uid
from model.intent import StaticRoute
from model.snapshot import Snapshot

K = TypeVar("K")
Uids = Map[Uid, None]
ByVrf = Map[TenantKey, Map[K, Uids]]
_NONE: Final[Uids] = Map()


@dataclass(frozen=True, slots=True)
class Statics:
    """By tenant: static routes of a prefix, and those over a next hop. By VRF: prefixes that other hosts
    announce. What is empty has no key."""

    prefixes: ByVrf[Prefix] = Map()
    hops: ByVrf[Address] = Map()
    learned: Map[TenantKey, Map[Prefix, None]] = Map()

    def known(self, vrf: TenantKey) -> frozenset[Prefix]:
        """All prefixes of a VRF, from here and from afar."""
        return frozenset((*self.prefixes.get(vrf, ()), *self.learned.get(vrf, ())))

    def routes(self, snapshot: Snapshot, vrf: TenantKey, prefix: Prefix) -> tuple[StaticRoute, ...]:
        """The static routes of a prefix, in order."""
        found: Uids = self.prefixes.get(vrf, Map()).get(prefix, _NONE)
        return tuple(snapshot.static_routes[uid] for uid in sorted(found))

    def over(self, snapshot: Snapshot, vrf: TenantKey, hops: Iterable[Address]) -> frozenset[Prefix]:
        """The prefixes that static routes send to one of these addresses."""
        mine = self.hops.get(vrf, Map())
        return frozenset(
            snapshot.static_routes[uid].prefix
            for hop in hops
            for uid in mine.get(hop, _NONE)
            if uid in snapshot.static_routes
        )


def build(snapshot: Snapshot) -> Statics:
    """From nothing; costs the routes."""
    made = Statics()
    for uid in sorted(snapshot.static_routes):
        made = _add(made, snapshot.static_routes[uid])
    for vrf, prefix in snapshot.prefixes:
        made = _hear(made, vrf, prefix)
    return made


def advance(statics: Statics, old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> Statics:
    """Costs the changes."""
    for change in changes:
        key: Any = change.key
        if change.part is Part.STATIC_ROUTE:
            was, now = old.static_routes.get(key), new.static_routes.get(key)
            statics = statics if was is None else _remove(statics, was)
            statics = statics if now is None else _add(statics, now)
        elif change.part is Part.PREFIX:
            vrf, prefix = key
            statics = (_hear if key in new.prefixes else _forget)(statics, vrf, prefix)
    return statics


def _add(statics: Statics, route: StaticRoute) -> Statics:
    hops = statics.hops
    for hop in route.next_hops:
        hops = _put(hops, route.tenant, hop, route.uid)
    prefixes = _put(statics.prefixes, route.tenant, route.prefix, route.uid)
    return replace(statics, prefixes=prefixes, hops=hops)


def _remove(statics: Statics, route: StaticRoute) -> Statics:
    hops = statics.hops
    for hop in route.next_hops:
        hops = _cut(hops, route.tenant, hop, route.uid)
    prefixes = _cut(statics.prefixes, route.tenant, route.prefix, route.uid)
    return replace(statics, prefixes=prefixes, hops=hops)


def _hear(statics: Statics, vrf: TenantKey, prefix: Prefix) -> Statics:
    heard = statics.learned.get(vrf, Map()).set(prefix, None)
    return replace(statics, learned=statics.learned.set(vrf, heard))


def _forget(statics: Statics, vrf: TenantKey, prefix: Prefix) -> Statics:
    heard = statics.learned.get(vrf, Map())
    if prefix not in heard:
        return statics
    left = heard.delete(prefix)
    learned = statics.learned.set(vrf, left) if left else statics.learned.delete(vrf)
    return replace(statics, learned=learned)


def _put(groups: ByVrf[K], vrf: TenantKey, key: K, uid: Uid) -> ByVrf[K]:
    group: Map[K, Uids] = groups.get(vrf, Map())
    return groups.set(vrf, group.set(key, group.get(key, _NONE).set(uid, None)))


def _cut(groups: ByVrf[K], vrf: TenantKey, key: K, uid: Uid) -> ByVrf[K]:
    group: Map[K, Uids] = groups.get(vrf, Map())
    members = group.get(key, _NONE)
    if uid not in members:
        return groups
    left = members.delete(uid)
    rest = group.set(key, left) if left else group.delete(key)
    return groups.set(vrf, rest) if rest else groups.delete(vrf)
