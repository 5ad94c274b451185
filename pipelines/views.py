"""Views: all that the features may see of one object, gathered from snapshot and index.

Place: between index and features. A view is None where the object has no flows now; the conditions stand
here and nowhere else. Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from immutables import Map

from model.addresses import GATEWAY_MAC, Address, Prefix, gateway, is_unicast, link_local, router_mac
from model.ids import (
    EVERYTHING_ELSE,
    SAME_NETWORK,
    ClassId,
    HostName,
    Mac,
    NetworkKey,
    PortKey,
    TenantKey,
    Vni,
)
from model.intent import EgressClass, Network, Port
from model.inventory import Switch
from model.snapshot import Snapshot
from pipelines.cookies import EPOCHS
from pipelines.index import Index, ready, vrf_of
from pipelines.objects import Kind, Object


@dataclass(frozen=True, slots=True)
class HostView:
    """`tunnel`: OpenFlow port of the VXLAN interface."""

    tunnel: int


@dataclass(frozen=True, slots=True)
class ClassView:
    egress: EgressClass


@dataclass(frozen=True, slots=True)
class NetworkView:
    """A network with a local port. `ofports` and `vteps` in order; VTEPs of this host's IP version only.

    `gateways`: the addresses for which its gateway answers, IPv4 first, with the link-local one if it speaks
    IPv6; none if it is not routed.
    """

    network: Network
    tunnel: int
    ofports: tuple[int, ...]
    vteps: tuple[Address, ...]
    gateways: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class VtepView:
    """A VTEP that may send frames of a network to this host."""

    network: NetworkKey
    vni: Vni
    vtep: Address
    tunnel: int


@dataclass(frozen=True, slots=True)
class PortView:
    """A local port. `addresses`: its own, with the link-local one if it speaks IPv6. `classes` in order.

    `vrf`: the tenant whose routed networks it may reach, None = none; `routes`: those of its addresses that
    can be routed to; `router`: this host's router MAC, None = nobody can send it routed packets from afar.
    `pairs`: MACs and prefixes that it may use besides, disjoint for each MAC.
    """

    key: PortKey
    network: NetworkKey
    mac: Mac
    addresses: tuple[Address, ...]
    ofport: int
    epoch: int
    classes: tuple[ClassId, ...]
    vrf: TenantKey | None
    routes: tuple[Address, ...]
    router: Mac | None
    pairs: tuple[tuple[Mac, Prefix], ...] = ()


@dataclass(frozen=True, slots=True)
class RemoteView:
    """A MAC of a network with a local port, behind `vtep`."""

    network: NetworkKey
    vni: Vni
    mac: Mac
    addresses: tuple[Address, ...]
    vtep: Address
    tunnel: int


@dataclass(frozen=True, slots=True)
class VrfView:
    """A tenant with a local port in a routed network. `link`: the gateway's link-local address."""

    vrf: TenantKey
    link: Address


@dataclass(frozen=True, slots=True)
class SubnetsView:
    """A routed network of such a tenant, wherever its ports are. `gateways`: routable addresses only."""

    vrf: TenantKey
    network: Network
    gateways: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class SenderView:
    """A VTEP that may send what it routed for a tenant."""

    vrf: TenantKey
    l3vni: Vni
    vtep: Address
    tunnel: int


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


View = (
    HostView
    | ClassView
    | NetworkView
    | VtepView
    | PortView
    | RemoteView
    | VrfView
    | SubnetsView
    | SenderView
    | RouteView
)


def view(snapshot: Snapshot, index: Index, subject: Object) -> View | None:
    """What an object shows in this snapshot; None if it has no flows."""
    switch = snapshot.switch
    if switch is None or not ready(snapshot):
        return None
    match subject.kind:
        case Kind.HOST:
            return HostView(switch.tunnel)
        case Kind.CLASS:
            egress = snapshot.classes.get(ClassId(subject.major))
            return None if egress is None else ClassView(egress)
        case Kind.NETWORK:
            return _network(snapshot, index, switch, NetworkKey(subject.major))
        case Kind.VTEP:
            return _vtep(snapshot, index, switch, subject)
        case Kind.PORT:
            return _port(snapshot, index, PortKey(subject.major))
        case Kind.REMOTE:
            return _remote(snapshot, index, switch, subject)
        case Kind.VRF:
            vrf = TenantKey(subject.major)
            return VrfView(vrf, link_local(GATEWAY_MAC)) if vrf in index.live else None
        case Kind.SUBNETS:
            return _subnets(snapshot, index, NetworkKey(subject.major))
        case Kind.SENDER:
            return _sender(snapshot, index, switch, subject)
        case Kind.ROUTE:
            return _route(snapshot, index, switch, subject)


def owned(mac: Mac, addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """The addresses that a MAC answers for, IPv4 first: those given, and with IPv6 the link-local one."""
    own = {a for a in addresses if not a.is_multicast and not a.is_unspecified}
    if any(a.version == 6 for a in own):
        own.add(link_local(mac))
    return tuple(sorted(own, key=lambda a: (a.version, int(a))))


def _pairs(port: Port) -> tuple[tuple[Mac, Prefix], ...]:
    """Its allowed pairs in order; those of one MAC that touch or contain each other as one."""
    found: dict[tuple[Mac, int], list[Prefix]] = {}
    for pair in port.allowed:
        mac = port.mac if pair.mac is None else pair.mac
        found.setdefault((mac, pair.prefix.version), []).append(pair.prefix)
    every = ((mac, one) for mac, version in sorted(found) for one in collapsed(found[mac, version]))
    # of everything, its halves: a mask of no bits would be another match
    return tuple(
        (mac, half) for mac, one in every for half in (one.subnets() if not one.prefixlen else (one,))
    )


def collapsed(prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """The same addresses as disjoint prefixes, IPv4 first."""
    fours = collapse_addresses(p for p in prefixes if isinstance(p, IPv4Network))
    sixes = collapse_addresses(p for p in prefixes if isinstance(p, IPv6Network))
    return (*fours, *sixes)


def routable(addresses: tuple[Address, ...]) -> tuple[Address, ...]:
    """Those to which packets may be routed, in order: no group, loopback or link-local address."""
    barred = (a for a in addresses if a.is_multicast or a.is_unspecified or a.is_loopback or a.is_link_local)
    return tuple(sorted({*addresses} - {*barred}, key=lambda a: (a.version, int(a))))


def _gateways(network: Network) -> tuple[Address, ...]:
    """The gateway's addresses in a network, as `NetworkView` has them."""
    if not network.routed:
        return ()
    return owned(GATEWAY_MAC, tuple(gateway(subnet) for subnet in network.subnets))


def _l3vni(snapshot: Snapshot, vrf: TenantKey) -> Vni:
    """0 = the tenant cannot be routed between hosts."""
    tenant = snapshot.tenants.get(vrf)
    return Vni(0) if tenant is None else tenant.l3vni


def _reachable(snapshot: Snapshot, vtep: Address) -> bool:
    """Another host's VTEP of the IP version that this host's tunnel speaks."""
    this = snapshot.this()
    return this is not None and vtep.version == this.vtep.version and vtep != this.vtep


def _network(snapshot: Snapshot, index: Index, switch: Switch, key: NetworkKey) -> NetworkView | None:
    network = snapshot.networks.get(key)
    here = index.locals.get(key)
    if network is None or not here:
        return None
    floods = index.floods.get(key, Map())
    return NetworkView(
        network=network,
        tunnel=switch.tunnel,
        ofports=tuple(sorted({snapshot.interfaces[snapshot.ports[p].uid].ofport for p in here})),
        vteps=tuple(sorted((v for v in floods if _reachable(snapshot, v)), key=int)),
        gateways=_gateways(network),
    )


def _vtep(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> VtepView | None:
    key = NetworkKey(subject.major)
    network = snapshot.networks.get(key)
    if network is None or not index.locals.get(key):
        return None
    host = HostName(subject.name)
    sender = snapshot.hypervisors.get(host)
    if sender is None or host not in index.permits.get(key, Map()) or not _reachable(snapshot, sender.vtep):
        return None
    return VtepView(key, network.vni, sender.vtep, switch.tunnel)


def _port(snapshot: Snapshot, index: Index, key: PortKey) -> PortView | None:
    port: Port | None = snapshot.ports.get(key)
    if port is None or key not in index.locals.get(port.network, Map()):
        return None
    this, vrf = snapshot.this(), vrf_of(snapshot, port.network)
    afar = this is not None and vrf is not None and _l3vni(snapshot, vrf) > 0
    return PortView(
        key=key,
        network=port.network,
        mac=port.mac,
        addresses=owned(port.mac, port.addresses),
        ofport=snapshot.interfaces[port.uid].ofport,
        epoch=snapshot.epochs[key] % len(EPOCHS),
        classes=tuple(sorted({SAME_NETWORK, EVERYTHING_ELSE, *snapshot.classes})),
        vrf=vrf,
        routes=() if vrf is None else routable(port.addresses),
        router=router_mac(this.router_id) if this is not None and afar else None,
        pairs=_pairs(port),
    )


def _remote(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> RemoteView | None:
    key, mac = NetworkKey(subject.major), Mac(subject.minor)
    network, found = snapshot.networks.get(key), snapshot.remotes.get((key, mac))
    if network is None or found is None or not index.locals.get(key):
        return None
    if not _reachable(snapshot, found.vtep):
        return None
    return RemoteView(key, network.vni, mac, owned(mac, found.addresses), found.vtep, switch.tunnel)


def _subnets(snapshot: Snapshot, index: Index, key: NetworkKey) -> SubnetsView | None:
    network, vrf = snapshot.networks.get(key), vrf_of(snapshot, key)
    if network is None or vrf is None or vrf not in index.live:
        return None
    return SubnetsView(vrf, network, routable(_gateways(network)))


def _sender(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> SenderView | None:
    vrf, host = TenantKey(subject.major), HostName(subject.name)
    l3vni, sender = _l3vni(snapshot, vrf), snapshot.hypervisors.get(host)
    if vrf not in index.live or host not in index.senders.get(vrf, Map()) or not l3vni:
        return None
    if sender is None or not _reachable(snapshot, sender.vtep):
        return None
    return SenderView(vrf, l3vni, sender.vtep, switch.tunnel)


def _route(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> RouteView | None:
    key, mac = NetworkKey(subject.major), Mac(subject.minor)
    found, vrf, this = snapshot.remotes.get((key, mac)), vrf_of(snapshot, key), snapshot.this()
    if found is None or vrf is None or this is None or vrf not in index.live:
        return None
    l3vni, next_hop = _l3vni(snapshot, vrf), found.router_mac
    if not l3vni or next_hop is None or not is_unicast(next_hop) or not _reachable(snapshot, found.vtep):
        return None
    own, routes = router_mac(this.router_id), routable(found.addresses)
    return RouteView(vrf, l3vni, key, mac, routes, own, next_hop, found.vtep, switch.tunnel)
