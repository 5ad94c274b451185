"""Views of the ways out: floating IPs, tenants that are translated here, external networks.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from ipaddress import ip_network

from immutables import Map

from model.addresses import Address, Prefix, is_unicast, router_mac
from model.gateways import preference
from model.ids import HostName, Mac, PortKey, TenantKey, Uid, Vni
from model.intent import Egress, External, FloatingIp, Tenant
from model.inventory import Switch
from model.route import NextHop, RemotePrefix
from model.snapshot import Snapshot
from pipelines.index import Index, vrf_of
from pipelines.objects import Object
from pipelines.outward import translated
from pipelines.views.terms import reachable, routable


@dataclass(frozen=True, slots=True)
class FloatingView:
    """An address of an external network that stands for `target` of a local port. `router`: this host's;
    `judged`: the port is under policy."""

    external: TenantKey
    address: Address
    target: Address
    port: PortKey
    mac: Mac
    ofport: int
    zone: int
    router: Mac
    judged: bool = False


@dataclass(frozen=True, slots=True)
class EgressView:
    """A tenant that this host is a gateway of. `addresses`: one of each family at most; `acting`: those for
    which it translates now, since no better gateway does. `inside`: what is the tenant's own, and is never
    translated, in order."""

    vrf: TenantKey
    external: TenantKey
    addresses: tuple[Address, ...]
    acting: tuple[Address, ...]
    zone: int
    router: Mac
    inside: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class ExternalView:
    """An external network that something of this host leads into."""

    external: TenantKey
    pools: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class OutsideView:
    """A prefix of such a network behind `hop`. `router`: this host's MAC as a router."""

    external: TenantKey
    l3vni: Vni
    prefix: Prefix
    hop: NextHop
    router: Mac
    tunnel: int


def floating_view(snapshot: Snapshot, index: Index, uid: Uid) -> FloatingView | None:
    found, this = snapshot.floating.get(uid), snapshot.this()
    if found is None or this is None or not _stands(snapshot, index, found):
        return None
    zone = snapshot.zones.get(("port", found.port), 0)
    port = snapshot.ports[found.port]
    ofport = snapshot.interfaces[port.uid].ofport
    if not zone or found.target is None:
        return None
    return FloatingView(
        external=found.external,
        address=found.address,
        target=found.target,
        port=found.port,
        mac=port.mac,
        ofport=ofport,
        zone=zone,
        router=router_mac(this.router_id),
        judged=found.port in index.policed.judged,
    )


def _stands(snapshot: Snapshot, index: Index, found: FloatingIp) -> bool:
    """Whether it leads to a port of its own tenant that lives here, by an address that can be routed to."""
    port, external = snapshot.ports.get(found.port), snapshot.externals.get(found.external)
    if port is None or external is None or not external.l3vni:
        return False
    if found.port not in index.locals.get(port.network, Map()):
        return False
    if vrf_of(snapshot, port.network) != found.tenant or found.target is None:
        return False
    return found.target.version == found.address.version and found.target in routable(port.addresses)


def egress_view(snapshot: Snapshot, index: Index, key: TenantKey) -> EgressView | None:
    this, tenant = snapshot.this(), snapshot.tenants.get(key)
    if this is None or tenant is None or key not in index.outward.gated:
        return None
    external, zone = snapshot.externals.get(tenant.external), snapshot.zones.get(("tenant", key), 0)
    if external is None or not external.l3vni or not zone:
        return None
    found = {address.version: address for address in reversed(tenant.egress_addresses)}
    addresses = tuple(found[version] for version in sorted(found))
    return EgressView(
        vrf=key,
        external=tenant.external,
        addresses=addresses,
        acting=tuple(one for one in addresses if _acts(snapshot, tenant, one)),
        zone=zone,
        router=router_mac(this.router_id),
        inside=_inside(snapshot, index, key),
    )


def _acts(snapshot: Snapshot, tenant: Tenant, address: Address) -> bool:
    """Whether this host announces an egress address, and nobody else does with a better right."""
    learned = snapshot.prefixes.get((tenant.external, ip_network(address)))
    return beats(snapshot, tenant, learned)


def beats(snapshot: Snapshot, tenant: Tenant, learned: RemotePrefix | None) -> bool:
    """Whether this host itself is a better way out of a tenant than what was learned."""
    own = preference(snapshot, tenant)
    return own is not None and (learned is None or learned.preference <= own)


def _inside(snapshot: Snapshot, index: Index, vrf: TenantKey) -> tuple[Prefix, ...]:
    """The subnets of a tenant's routed networks, its static routes, and what its peers let it reach."""
    found = {subnet for key in index.vrfs.get(vrf, Map()) for subnet in snapshot.networks[key].subnets}
    found.update(route.prefix for route in snapshot.static_routes.values() if route.tenant == vrf)
    for peering in snapshot.peerings.values():
        if vrf in (side.tenant for side in peering.sides):
            found.update(prefix for side in peering.sides for prefix in side.prefixes)
    return tuple(sorted((p for p in found if p.prefixlen), key=_order))


def _order(prefix: Prefix) -> tuple[int, int, int]:
    return prefix.version, int(prefix.network_address), prefix.prefixlen


def external_view(snapshot: Snapshot, index: Index, key: TenantKey) -> ExternalView | None:
    found = _served(snapshot, index, key)
    return None if found is None else ExternalView(key, tuple(sorted(found.pools, key=_order)))


def _served(snapshot: Snapshot, index: Index, key: TenantKey) -> External | None:
    found = snapshot.externals.get(key)
    return found if found is not None and found.l3vni and index.outward.serves(key) else None


def outside_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> OutsideView | None:
    key, prefix = TenantKey(subject.major), ip_network(subject.name)
    external, this = _served(snapshot, index, key), snapshot.this()
    found = snapshot.prefixes.get((key, prefix))
    if external is None or this is None or found is None:
        return None
    usable = [hop for hop in found.hops if is_unicast(hop.router_mac) and reachable(snapshot, hop.vtep)]
    if not usable:
        return None
    living = [hop for hop in usable if hop.vtep not in snapshot.down] or usable
    hop = max(living, key=lambda hop: _weight(snapshot.host, prefix, hop))
    return OutsideView(key, external.l3vni, prefix, hop, router_mac(this.router_id), switch.tunnel)


def _weight(host: HostName, prefix: Prefix, hop: NextHop) -> bytes:
    """Rendezvous hashing: hosts spread over equal borders, and only those of a lost one move."""
    return blake2b(f"{host} {prefix} {hop.vtep}".encode(), digest_size=8).digest()


def may_send(snapshot: Snapshot, index: Index, vrf: TenantKey, host: HostName) -> bool:
    """Whether a host may send what it routed in a VRF: a tenant's ports may be there, it translates for it,
    or it is a border and the tenant's way out; floating IPs of an external network may be there, or it leads
    out of it; ports that a side of a peering exports may be there."""
    external = snapshot.externals.get(vrf)
    sender = snapshot.hypervisors.get(host)
    if external is not None:
        return host in index.outward.fronts.get(vrf, Map()) or (sender is not None and sender.border)
    if vrf in snapshot.peerings:
        return host in index.exports.get(vrf, Map())
    tenant = snapshot.tenants.get(vrf)
    gateway = tenant is not None and host in tenant.gateways and translated(snapshot, vrf)
    fabric = tenant is not None and tenant.egress is Egress.FABRIC
    leads_out = fabric and sender is not None and sender.border and sender.external
    return host in index.senders.get(vrf, Map()) or gateway or leads_out
