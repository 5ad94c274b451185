"""Views of what is routed: tenants, their subnets, and what other hosts route to and from this one.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from model import vrfs
from model.addresses import GATEWAY_MAC, Address, is_unicast, link_local, router_mac
from model.ids import ClassId, HostName, Mac, NetworkKey, TenantKey, Vni
from model.intent import Hypervisor, Network, Relation
from model.inventory import Switch
from model.snapshot import Snapshot
from pipelines.beyond import peers_here
from pipelines.index import Index, routes_here, vrf_of
from pipelines.objects import Object
from pipelines.outward import translated
from pipelines.views.outward import may_send
from pipelines.views.terms import gateways_of, l3vni_of, paired, reachable, routable, router_of


@dataclass(frozen=True, slots=True)
class VrfView:
    """A tenant with a local port in a routed network. `link`: the gateway's link-local address;
    `router`: this host's router MAC, None = nobody can send it routed packets from afar."""

    vrf: TenantKey
    link: Address
    router: Mac | None


@dataclass(frozen=True, slots=True)
class SubnetsView:
    """A routed network of such a tenant, wherever its ports are. `gateways`: routable addresses only.

    `cls`: the class of what the tenant sends there from its other networks, None = as of any destination.
    """

    vrf: TenantKey
    network: Network
    gateways: tuple[Address, ...]
    cls: ClassId | None = None


class Standing(Enum):
    """What a sender may bring from outside the cluster. INSIDE: nothing. GATEWAY: what it has let in, beside
    what its own ports send. BORDER: all of it."""

    INSIDE = "inside"
    GATEWAY = "gateway"
    BORDER = "border"


@dataclass(frozen=True, slots=True)
class SenderView:
    """A VTEP that may send what it routed for a tenant. `fenced`: this host has a partner. `scope`: in which
    the addresses of what comes from inside are meant, 0 = nothing does."""

    vrf: TenantKey
    l3vni: Vni
    vtep: Address
    tunnel: int
    fenced: bool = False
    standing: Standing = Standing.INSIDE
    scope: int = 0


@dataclass(frozen=True, slots=True)
class RouteView:
    """Addresses behind another router of the tenant. `router`: this host's MAC as one; `next_hop`: its."""

    vrf: TenantKey
    l3vni: Vni
    network: NetworkKey
    mac: Mac
    routes: tuple[Address, ...]
    router: Mac
    next_hop: Mac
    vtep: Address
    tunnel: int


def vrf_view(snapshot: Snapshot, index: Index, vrf: TenantKey) -> VrfView | None:
    if not routes_here(index, vrf):
        return None
    return VrfView(vrf, link_local(GATEWAY_MAC), router_of(snapshot, vrf))


def subnets_view(snapshot: Snapshot, index: Index, key: NetworkKey) -> SubnetsView | None:
    network, vrf = snapshot.networks.get(key), vrf_of(snapshot, key)
    if network is None or vrf is None or not routes_here(index, vrf):
        return None
    cls = index.relations.get(Relation.SAME_TENANT)
    return SubnetsView(vrf, network, routable(gateways_of(network)), cls)


def sender_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> SenderView | None:
    vrf, host = TenantKey(subject.major), HostName(subject.name)
    l3vni, sender = vrfs.l3vni_of(snapshot, vrf), snapshot.hypervisors.get(host)
    here = routes_here(index, vrf) or index.outward.serves(vrf) or peers_here(snapshot, index, vrf)
    if not here or not l3vni:
        return None
    if sender is None or not reachable(snapshot, sender.vtep) or not may_send(snapshot, index, vrf, host):
        return None
    standing = _standing(snapshot, vrf, sender)
    inside = vrf in snapshot.tenants or vrf in snapshot.peerings
    scope = vrf if inside and standing is not Standing.BORDER else 0
    return SenderView(vrf, l3vni, sender.vtep, switch.tunnel, paired(snapshot), standing, scope)


def _standing(snapshot: Snapshot, vrf: TenantKey, sender: Hypervisor) -> Standing:
    tenant = snapshot.tenants.get(vrf)
    if sender.border and sender.external:
        return Standing.BORDER
    lets_in = tenant is not None and sender.name in tenant.gateways and translated(snapshot, vrf)
    return Standing.GATEWAY if lets_in else Standing.INSIDE


def route_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> RouteView | None:
    key, mac = NetworkKey(subject.major), Mac(subject.minor)
    found, vrf, this = snapshot.remotes.get((key, mac)), vrf_of(snapshot, key), snapshot.this()
    if found is None or vrf is None or this is None or not routes_here(index, vrf):
        return None
    l3vni, next_hop = l3vni_of(snapshot, vrf), found.router_mac
    if not l3vni or next_hop is None or not is_unicast(next_hop) or not reachable(snapshot, found.vtep):
        return None
    own, routes = router_mac(this.router_id), routable(found.addresses)
    return RouteView(vrf, l3vni, key, mac, routes, own, next_hop, found.vtep, switch.tunnel)
