"""Outward: the part of the index that the ways out need: floating IPs, gateways, learned prefixes.

Place: a field of `pipelines.index.Index`, kept by its `build` and `advance`; read by views and touch. Must
not hold anything that the snapshot does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from immutables import Map

from model.addresses import Prefix
from model.change import Change, Part
from model.ids import HostName, PortKey, TenantKey, Uid
from model.intent import Egress
from model.snapshot import Snapshot

G = TypeVar("G")
K = TypeVar("K")
V = TypeVar("V")
Lives = Callable[[Snapshot, PortKey], bool]
"""Whether a port is local and complete (`pipelines.index.compilable`)."""

_NO_HOSTS: Final[Map[HostName, int]] = Map()


@dataclass(frozen=True, slots=True)
class Outward:
    """`pinned`: the floating IPs of each port. By external network: `floats`, the floating IPs whose port
    lives here; `gates`, the tenants that this host may translate for; `fronts`, how many floating IPs and
    tenants let each other host send in it. `gated`: those tenants. `routes`: the learned prefixes of each
    VRF. What is empty has no key."""

    pinned: Map[PortKey, Map[Uid, None]] = Map()
    floats: Map[TenantKey, Map[Uid, None]] = Map()
    gates: Map[TenantKey, Map[TenantKey, None]] = Map()
    fronts: Map[TenantKey, Map[HostName, int]] = Map()
    gated: Map[TenantKey, None] = Map()
    routes: Map[TenantKey, Map[Prefix, None]] = Map()

    def externals(self) -> tuple[TenantKey, ...]:
        """The external networks that something of this host leads into, in order."""
        return tuple(sorted({*self.floats, *self.gates}))

    def serves(self, external: TenantKey) -> bool:
        """Whether something of this host leads into an external network."""
        return external in self.floats or external in self.gates


NOWHERE: Final = Outward()


def translated(snapshot: Snapshot, tenant: TenantKey) -> bool:
    """Whether a tenant's way out is behind an address of its own."""
    found = snapshot.tenants.get(tenant)
    return found is not None and found.egress is Egress.SNAT and found.external > 0


def build(snapshot: Snapshot, lives: Lives) -> Outward:
    """From nothing; costs the size of the snapshot."""
    made = Outward()
    for uid in sorted(snapshot.floating):
        made = _float(made, snapshot, uid, lives)
    for tenant in sorted(snapshot.tenants):
        made = _gate(made, snapshot, tenant)
    for vrf, prefix in snapshot.prefixes:
        made = replace(made, routes=_put(made.routes, vrf, prefix, None))
    return made


def advance(
    outward: Outward,
    old: Snapshot,
    new: Snapshot,
    changes: Iterable[Change],
    ports: Iterable[PortKey],
    lives: Lives,
) -> Outward:
    """That of `new` from that of `old`; costs the changes. `ports`: those that the changes touch."""
    changed = tuple(changes)
    for uid in sorted(_floating(outward, changed, ports)):
        outward = _float(_sink(outward, old, uid), new, uid, lives)
    told = {TenantKey(c.key) for c in changed if c.part is Part.TENANT and isinstance(c.key, int)}
    for tenant in sorted(told):  # each once, however often it is named
        outward = _gate(_shut(outward, old, tenant), new, tenant)
    routes = outward.routes
    for change in changed:
        if change.part is Part.PREFIX:
            pair: Any = change.key
            vrf, prefix = pair
            here = pair in new.prefixes
            routes = _put(routes, vrf, prefix, None) if here else _cut(routes, vrf, prefix)
    return replace(outward, routes=routes)


def _floating(outward: Outward, changes: tuple[Change, ...], ports: Iterable[PortKey]) -> set[Uid]:
    named = {Uid(c.key) for c in changes if c.part is Part.FLOATING and isinstance(c.key, str)}
    return named.union(*(outward.pinned.get(port, Map()) for port in ports))


def _float(outward: Outward, snapshot: Snapshot, uid: Uid, lives: Lives) -> Outward:
    """A floating IP and the hosts that may have its port."""
    found = snapshot.floating.get(uid)
    if found is None or not found.port:
        return outward
    outward = replace(outward, pinned=_put(outward.pinned, found.port, uid, None))
    for host in _hosts(snapshot, found.port):
        outward = replace(outward, fronts=_add(outward.fronts, found.external, host, 1))
    if lives(snapshot, found.port):
        outward = replace(outward, floats=_put(outward.floats, found.external, uid, None))
    return outward


def _sink(outward: Outward, snapshot: Snapshot, uid: Uid) -> Outward:
    """The opposite."""
    found = snapshot.floating.get(uid)
    if found is None or not found.port:
        return outward
    outward = replace(outward, pinned=_cut(outward.pinned, found.port, uid))
    for host in _hosts(snapshot, found.port):
        outward = replace(outward, fronts=_add(outward.fronts, found.external, host, -1))
    return replace(outward, floats=_cut(outward.floats, found.external, uid))


def _hosts(snapshot: Snapshot, port: PortKey) -> tuple[HostName, ...]:
    found = snapshot.ports.get(port)
    return () if found is None else tuple(sorted({*found.hosts} - {snapshot.host}))


def _gate(outward: Outward, snapshot: Snapshot, key: TenantKey) -> Outward:
    """A tenant that is translated, and its gateways."""
    if not translated(snapshot, key):
        return outward
    tenant = snapshot.tenants[key]
    for host in sorted({*tenant.gateways} - {snapshot.host}):
        outward = replace(outward, fronts=_add(outward.fronts, tenant.external, host, 1))
    if snapshot.host not in tenant.gateways:
        return outward
    gates = _put(outward.gates, tenant.external, key, None)
    return replace(outward, gates=gates, gated=outward.gated.set(key, None))


def _shut(outward: Outward, snapshot: Snapshot, key: TenantKey) -> Outward:
    """The opposite."""
    if not translated(snapshot, key):
        return outward
    tenant = snapshot.tenants[key]
    for host in sorted({*tenant.gateways} - {snapshot.host}):
        outward = replace(outward, fronts=_add(outward.fronts, tenant.external, host, -1))
    gated = outward.gated.delete(key) if key in outward.gated else outward.gated
    return replace(outward, gates=_cut(outward.gates, tenant.external, key), gated=gated)


def _add(
    counts: Map[TenantKey, Map[HostName, int]], vrf: TenantKey, host: HostName, step: int
) -> Map[TenantKey, Map[HostName, int]]:
    count = counts.get(vrf, _NO_HOSTS).get(host, 0) + step
    return _put(counts, vrf, host, count) if count else _cut(counts, vrf, host)


def _put(groups: Map[G, Map[K, V]], group: G, item: K, value: V) -> Map[G, Map[K, V]]:
    return groups.set(group, groups.get(group, Map()).set(item, value))


def _cut(groups: Map[G, Map[K, V]], group: G, item: K) -> Map[G, Map[K, V]]:
    members = groups.get(group, Map())
    if item not in members:
        return groups
    left = members.delete(item)
    return groups.set(group, left) if left else groups.delete(group)
