"""Which objects of the ways out a change touches: floating IPs, translated tenants, external networks.

Place: the part of `pipelines.touch` for these; the same rule: too much rather than too little.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Any

from immutables import Map

from model.addresses import Address, Prefix
from model.change import Change, Part
from model.ids import HostName, PortKey, TenantKey, Uid
from model.snapshot import Snapshot
from pipelines import objects as o
from pipelines.index import Index, vrf_of


def outward_objects(snapshot: Snapshot, index: Index) -> set[o.Object]:
    """All that the ways out of a host may have flows for, but for the VRFs of translated tenants."""
    found = {o.egress(key) for key in index.outward.gated}
    for external in index.outward.externals():
        found |= _of_external(snapshot, index, external)
    return found


def touched_outward(
    old: Snapshot,
    new: Snapshot,
    before: Index,
    after: Index,
    changes: Iterable[Change],
    ports: Iterable[PortKey],
) -> set[o.Object]:
    """What the changes touch; `ports`: those that they touch (`pipelines.index.ports_of`)."""
    found: set[o.Object] = set()
    for external in {*before.outward.externals(), *after.outward.externals()}:
        if before.outward.serves(external) != after.outward.serves(external):
            found |= _of_external(old, before, external) | _of_external(new, after, external)
    for port in ports:
        found |= _of_port(port, before, after)
        found |= _fronts(port, old, before) | _fronts(port, new, after)
    for change in changes:
        for snapshot, index in ((old, before), (new, after)):
            found |= _by_part(snapshot, index, change)
    return found


def _of_external(snapshot: Snapshot, index: Index, key: TenantKey) -> set[o.Object]:
    """An external network with all that is in it."""
    found = {o.external(key)}
    found.update(o.floating(uid) for uid in index.outward.floats.get(key, Map()))
    found.update(o.egress(tenant) for tenant in index.outward.gates.get(key, Map()))
    found.update(o.sender(key, host) for host in index.outward.fronts.get(key, Map()))
    found.update(o.sender(key, host.name) for host in snapshot.hypervisors.values() if host.border)
    found.update(o.outside(key, prefix) for prefix in index.outward.routes.get(key, Map()))
    return found


def _of_port(port: PortKey, before: Index, after: Index) -> set[o.Object]:
    return {o.floating(uid) for i in (before, after) for uid in i.outward.pinned.get(port, Map())}


def _fronts(key: PortKey, snapshot: Snapshot, index: Index) -> set[o.Object]:
    """The hosts that may have a floating IP's port may send in its external network."""
    port = snapshot.ports.get(key)
    if port is None:
        return set()
    pinned = (snapshot.floating.get(uid) for uid in index.outward.pinned.get(key, Map()))
    return {o.sender(one.external, host) for one in pinned if one is not None for host in port.hosts}


def _by_part(snapshot: Snapshot, index: Index, change: Change) -> set[o.Object]:
    key: Any = change.key
    match change.part:
        case Part.FLOATING:
            found = snapshot.floating.get(key)
            one = {o.floating(Uid(key))}
            # its port counts what it gets from outside
            return one if found is None else one | {o.port(found.port)} | _fronts(found.port, snapshot, index)
        case Part.EXTERNAL:
            return _of_external(snapshot, index, key) | _gates(index)
        case Part.TENANT:  # its gateways send for it, and in its external network
            defaults = (o.prefix(*spot) for spot in _defaults(key))
            return {o.egress(key), *_gateways(snapshot, key), *defaults}
        case Part.NETWORK:  # its subnets are not translated
            vrf = vrf_of(snapshot, key)
            return set() if vrf is None else {o.egress(vrf)}
        case Part.STATIC_ROUTE:
            route = snapshot.static_routes.get(key)
            return set() if route is None else {o.egress(route.tenant)}
        case Part.PEERING:
            peering = snapshot.peerings.get(key)
            return set() if peering is None else {o.egress(side.tenant) for side in peering.sides}
        case Part.ZONE:
            kind, owner = key
            return {o.egress(owner)} if kind == "tenant" else _of_port(owner, index, index)
        case Part.PREFIX:
            vrf, prefix = key
            return {o.outside(vrf, prefix), *(o.egress(t) for t in index.outward.gates.get(vrf, Map()))}
        case Part.HYPERVISOR:
            return _by_host(snapshot, index, key)
        case Part.DOWN:
            return _behind(snapshot, index, key) | _gates(index)
        case _:
            return set()


def _gateways(snapshot: Snapshot, key: TenantKey) -> set[o.Object]:
    tenant = snapshot.tenants.get(key)
    if tenant is None:
        return set()
    return {o.sender(vrf, host) for vrf in (key, tenant.external) for host in tenant.gateways}


def _by_host(snapshot: Snapshot, index: Index, host: HostName) -> set[o.Object]:
    """Its VTEP, whether it is a border, for whom it translates: in the VRFs of this host, which are few."""
    found = {o.sender(external, host) for external in index.outward.externals()} | _gates(index)
    vrfs = {*index.live, *index.outward.gated}
    return found | {
        o.sender(vrf, host)
        for vrf in vrfs
        if vrf in snapshot.tenants and host in snapshot.tenants[vrf].gateways
    }


def _gates(index: Index) -> set[o.Object]:
    """Who of the gateways translates follows from which of them are there."""
    found: set[o.Object] = set()
    for tenant in index.outward.gated:
        found |= {o.egress(tenant), *(o.prefix(*spot) for spot in _defaults(tenant))}
    return found


def _defaults(vrf: TenantKey) -> tuple[tuple[TenantKey, Prefix], ...]:
    return (vrf, IPv4Network("0.0.0.0/0")), (vrf, IPv6Network("::/0"))


def _behind(snapshot: Snapshot, index: Index, vtep: Address) -> set[o.Object]:
    """Prefixes that have a choice, and a VTEP that went or came among it."""
    return {
        o.outside(external, prefix)
        for external in index.outward.externals()
        for prefix in index.outward.routes.get(external, Map())
        if vtep in (hop.vtep for hop in snapshot.prefixes[external, prefix].hops)
    }
