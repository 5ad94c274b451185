"""RT-5 of this host: the prefixes of a VRF that it announces (RFC 9136 section 4.4.1).

Place: the part of `bgp.originate` that is made anew for each VRF that a change touches. The interface-less
model: no overlay index, the label is the VRF's own VNI, the router MAC says where to send. Must not hold
anything that `bgp.rights` would refuse of this host. Announced are:
- in a tenant's VRF: static routes with a next hop that lives here; the default route, if this host translates
  for the tenant;
- in an external network's: floating IPs of ports that live here; egress addresses of those tenants;
- in a peering's: the addresses of local ports that lie in the prefixes of their side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_network
from typing import Final

from bgp.codec import communities, nlri
from model.addresses import Address, Prefix, router_mac
from model.change import Change, Part
from model.gateways import preference
from model.ids import HostName, NetworkKey, PortKey, TenantKey, Uid
from model.intent import Cluster, Hypervisor, Tenant
from model.route import Attributes, Distinguisher, PrefixRoute, Route
from model.snapshot import Snapshot
from model.targets import PLAIN
from model.vrfs import exported, l3vni_of, peerings_of, tenant_of

Members = Mapping[NetworkKey, frozenset[PortKey]]
"""Ports that live here, by network."""
PREFERENCE: Final = 100
"""Local preference where nobody is better than another (RFC 4271 section 5.1.5 leaves it to us)."""
DEFAULTS: Final[Mapping[int, Prefix]] = {4: ip_network("0.0.0.0/0"), 6: ip_network("::/0")}
"""The default route by IP version."""


def routes_of(snapshot: Snapshot, vrf: TenantKey, members: Members) -> tuple[tuple[bytes, Route], ...]:
    """(route key, route) of this host's RT-5 in a VRF, by prefix."""
    host, cluster = snapshot.this(), snapshot.cluster
    if host is None or cluster is None or not l3vni_of(snapshot, vrf):
        return ()
    best: dict[Prefix, int] = {}
    for prefix, weight in _wanted(snapshot, vrf, members):
        best[prefix] = max(weight, best.get(prefix, 0))
    order = sorted(best, key=lambda p: (p.version, p.network_address, p.prefixlen))
    return tuple(_keyed(route_for(snapshot, cluster, host, vrf, p, best[p])) for p in order)


def route_for(
    snapshot: Snapshot, cluster: Cluster, host: Hypervisor, vrf: TenantKey, prefix: Prefix, weight: int
) -> Route:
    """An RT-5 as a host's agent sends it.

    The route distinguisher is `router-id:VRF key`, or what the tenant has instead. A network may have the
    same number: no route of one type is of both, so that no two keys are equal.
    """
    l3vni, tenant = l3vni_of(snapshot, vrf), snapshot.tenants.get(vrf)
    rules = PLAIN if tenant is None else tenant.rules
    number = vrf if tenant is None else tenant.distinguisher or vrf
    rd = nlri.distinguisher(Distinguisher(host.router_id, number))
    said = Attributes(
        next_hop=host.vtep,
        route_targets=rules.exported(cluster.asn, l3vni),
        router_mac=router_mac(host.router_id),
        local_preference=weight,
        encapsulations=(communities.VXLAN,),
        communities=rules.communities,
        large_communities=rules.large_communities,
    )
    return Route(PrefixRoute(rd, prefix, l3vni), said)


def all_vrfs(snapshot: Snapshot) -> set[TenantKey]:
    """Every VRF that a snapshot knows."""
    return {*snapshot.tenants, *snapshot.externals, *snapshot.peerings}


def touched(old: Snapshot, new: Snapshot, changes: Iterable[Change], ports: set[PortKey]) -> set[TenantKey]:
    """VRFs whose RT-5 may differ. `ports`: those that live here, before or after, and may have changed."""
    found: set[TenantKey] = set()
    for snapshot in (old, new):
        for change in changes:
            found.update(_by_change(snapshot, change))
        tenants = {_owner(snapshot, key) for key in ports}
        for tenant in tenants - {None}:
            found |= _around(snapshot, TenantKey(tenant or 0))
        if ports:
            found.update(one.external for one in snapshot.floating.values() if one.port in ports)
    return found


def _owner(snapshot: Snapshot, key: PortKey) -> TenantKey | None:
    port = snapshot.ports.get(key)
    network = None if port is None else snapshot.networks.get(port.network)
    return None if network is None else network.tenant


def _around(snapshot: Snapshot, tenant: TenantKey) -> set[TenantKey]:
    """A tenant's VRF and those of its peerings."""
    return {tenant, *(peering.key for peering, _, _ in peerings_of(snapshot, tenant))}


def _by_change(snapshot: Snapshot, change: Change) -> Iterator[TenantKey]:
    key = change.key
    match change.part:
        case Part.STATIC_ROUTE if isinstance(key, str) and Uid(key) in snapshot.static_routes:
            yield snapshot.static_routes[Uid(key)].tenant
        case Part.FLOATING if isinstance(key, str) and Uid(key) in snapshot.floating:
            yield snapshot.floating[Uid(key)].external
        case Part.TENANT if isinstance(key, int):
            tenant = snapshot.tenants.get(TenantKey(key))
            yield from _around(snapshot, TenantKey(key))
            if tenant is not None:
                yield tenant.external
        case Part.PEERING if isinstance(key, int):
            yield TenantKey(key)
        case Part.EXTERNAL if isinstance(key, int):
            yield TenantKey(key)
            yield from (t.key for t in snapshot.tenants.values() if t.external == key)
        case Part.NETWORK if isinstance(key, int) and NetworkKey(key) in snapshot.networks:
            yield from _around(snapshot, snapshot.networks[NetworkKey(key)].tenant)
        case Part.DOWN:
            yield from _standing_by(snapshot, {n for n, h in snapshot.hypervisors.items() if h.vtep == key})
        case Part.HYPERVISOR if isinstance(key, str):
            yield from _standing_by(snapshot, {HostName(key)})


def _standing_by(snapshot: Snapshot, names: set[HostName]) -> Iterator[TenantKey]:
    """VRFs of the tenants for which this host waits that one of these fails."""
    for tenant in snapshot.tenants.values():
        if snapshot.host in tenant.gateways and names & set(tenant.gateways):
            yield from (tenant.key, tenant.external)


def _wanted(snapshot: Snapshot, vrf: TenantKey, members: Members) -> Iterator[tuple[Prefix, int]]:
    """Prefixes with their local preference."""
    tenant = snapshot.tenants.get(vrf)
    if tenant is not None:
        yield from _of_tenant(snapshot, tenant, members)
    if vrf in snapshot.externals:
        yield from _of_external(snapshot, vrf, members)
    peering = snapshot.peerings.get(vrf)
    for side in () if peering is None else peering.sides:
        own = exported(tuple(_addresses(snapshot, side.tenant, members)), side.prefixes)
        yield from ((ip_network(address), PREFERENCE) for address in own)


def _of_tenant(snapshot: Snapshot, tenant: Tenant, members: Members) -> Iterator[tuple[Prefix, int]]:
    here = set(_addresses(snapshot, tenant.key, members))
    for route in snapshot.static_routes.values():
        if route.tenant == tenant.key and not here.isdisjoint(route.next_hops):
            yield route.prefix, PREFERENCE
    weight = preference(snapshot, tenant)
    if weight is not None:
        yield from ((DEFAULTS[address.version], weight) for address in tenant.egress_addresses)


def _of_external(snapshot: Snapshot, vrf: TenantKey, members: Members) -> Iterator[tuple[Prefix, int]]:
    for floating in snapshot.floating.values():
        port = snapshot.ports.get(floating.port)
        if floating.external != vrf or port is None or floating.target not in port.addresses:
            continue
        if tenant_of(snapshot, port.network) is not None and port.key in members.get(port.network, ()):
            yield ip_network(floating.address), PREFERENCE
    for tenant in snapshot.tenants.values():
        weight = preference(snapshot, tenant)
        if tenant.external == vrf and weight is not None:
            yield from ((ip_network(address), weight) for address in tenant.egress_addresses)


def _addresses(snapshot: Snapshot, tenant: TenantKey, members: Members) -> Iterator[Address]:
    """Of the tenant's ports that live here, in networks that are routed."""
    for network, keys in members.items():
        if tenant_of(snapshot, network) == tenant:
            for key in sorted(keys):
                yield from snapshot.ports[key].addresses


def _keyed(route: Route) -> tuple[bytes, Route]:
    return nlri.key(nlri.encode(route.nlri)), route
