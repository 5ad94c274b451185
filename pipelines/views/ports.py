"""Views of local ports.

Place: dispatched by pipelines.views. Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses

from immutables import Map

from model.addresses import Address, Prefix
from model.flow import Meter
from model.ids import EVERYTHING_ELSE, SAME_NETWORK, ClassId, Mac, NetworkKey, PortKey, TenantKey
from model.intent import Network, Port
from model.snapshot import Snapshot
from pipelines import limits
from pipelines.cookies import EPOCHS
from pipelines.index import Index, vrf_of, waits
from pipelines.inward import opens, receives
from pipelines.policy.seated import scope_of
from pipelines.views.terms import owned, paired, routable, router_of, services_of


@dataclass(frozen=True, slots=True)
class PortView:
    """A local port. `addresses`: its own, with the link-local one if it speaks IPv6. `classes` in order.

    `vrf`: the tenant whose routed networks it may reach, None = none; `routes`: those of its addresses that
    can be routed to; `router`: this host's router MAC, None = nobody can send it routed packets from afar.
    `pairs`: MACs and prefixes that it may use besides, disjoint for each MAC. `meter_out`, `meter_in`: its
    limits of what the workload sends and gets, None = none. `forwards`: prefixes that static routes send to
    it, disjoint: it may send packets out of them. `mtu`: of its network, where a gateway can tell it to the
    workload, and the interface may send larger packets; else None. `fenced`: the host has a partner.
    `open`: its tenant has a way out, so that routed packets may come from outside the cluster; `received`:
    the classes by which such are counted, also where they come by a floating IP alone. `scope`: in which its
    peers' addresses are meant; `judged`: it is under policy; `draining`: it was until just now.
    `services`: the OpenFlow port of whoever answers names and metadata, None = nobody on this host;
    `meter_served`: what the workload may ask of them. `asks`: IP versions over which it is answered what
    it asks its network; `meter_asked`: how fast it may ask, None = it is not answered.
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
    meter_out: Meter | None = None
    meter_in: Meter | None = None
    forwards: tuple[Prefix, ...] = ()
    mtu: int | None = None
    fenced: bool = False
    open: bool = False
    received: tuple[ClassId, ...] = ()
    scope: int = 0
    judged: bool = False
    draining: bool = False
    services: int | None = None
    meter_served: Meter | None = None
    asks: tuple[int, ...] = ()
    meter_asked: Meter | None = None


@dataclass(frozen=True, slots=True)
class WaitingView:
    """A port that is moving here. `addresses`: for which its workload may announce itself."""

    key: PortKey
    mac: Mac
    addresses: tuple[Address, ...]
    ofport: int


def port_view(snapshot: Snapshot, index: Index, key: PortKey) -> PortView | None:
    port: Port | None = snapshot.ports.get(key)
    if port is None or key not in index.locals.get(port.network, Map()):
        return None
    vrf = vrf_of(snapshot, port.network)
    ofport = snapshot.interfaces[port.uid].ofport
    services = services_of(snapshot)
    asks = _asks(snapshot.networks[port.network])
    classes = tuple(sorted({SAME_NETWORK, EVERYTHING_ELSE, *snapshot.classes}))
    return PortView(
        key=key,
        network=port.network,
        mac=port.mac,
        addresses=owned(port.mac, port.addresses),
        ofport=ofport,
        epoch=snapshot.epochs[key] % len(EPOCHS),
        classes=classes,
        vrf=vrf,
        routes=() if vrf is None else routable(port.addresses),
        router=router_of(snapshot, vrf),
        pairs=_pairs(port),
        meter_out=limits.meter_out(ofport, port.rate_out),
        meter_in=limits.meter_in(ofport, port.rate_in),
        forwards=() if vrf is None else forwarded(snapshot, index, vrf, port),
        mtu=None if vrf is None else _exceeded(snapshot, port),
        fenced=paired(snapshot),
        open=opens(snapshot, vrf),
        received=classes[1:] if receives(snapshot, index, key, vrf) else (),
        scope=scope_of(snapshot, port.network),
        judged=key in index.policed.judged,
        draining=("draining", key) in snapshot.zones,
        services=services,
        meter_served=None if services is None else limits.meter_served(ofport),
        asks=asks,
        meter_asked=limits.meter_asked(ofport) if asks else None,
    )


def _asks(network: Network) -> tuple[int, ...]:
    return tuple(sorted({s.version for s in network.subnets})) if network.guidance.answers else ()


def _exceeded(snapshot: Snapshot, port: Port) -> int | None:
    """The MTU of a port's network, if its interface has a larger one. One not known is none: 0."""
    allowed = snapshot.networks[port.network].mtu
    return allowed if snapshot.interfaces[port.uid].mtu > allowed else None


def waiting_view(snapshot: Snapshot, key: PortKey) -> WaitingView | None:
    if not waits(snapshot, key):
        return None
    port = snapshot.ports[key]
    ofport = snapshot.interfaces[port.uid].ofport
    return WaitingView(key, port.mac, owned(port.mac, port.addresses), ofport)


def _pairs(port: Port) -> tuple[tuple[Mac, Prefix], ...]:
    """Its allowed pairs in order; those of one MAC that touch or contain each other as one."""
    found: dict[tuple[Mac, int], list[Prefix]] = {}
    for pair in port.allowed:
        mac = port.mac if pair.mac is None else pair.mac
        found.setdefault((mac, pair.prefix.version), []).append(pair.prefix)
    every = ((mac, one) for mac, version in sorted(found) for one in collapsed(found[mac, version]))
    return tuple((mac, half) for mac, one in every for half in halves(one))


def forwarded(snapshot: Snapshot, index: Index, vrf: TenantKey, port: Port) -> tuple[Prefix, ...]:
    """As a next hop by its own addresses, or by those that its pairs let it speak for."""
    hops = {*port.addresses}
    if port.allowed:
        every = index.statics.hops.get(vrf, Map())
        hops |= {hop for hop in every if any(hop in pair.prefix for pair in port.allowed)}
    found = collapsed(index.statics.over(snapshot, vrf, hops))
    return tuple(half for one in found for half in halves(one))


def halves(prefix: Prefix) -> Iterable[Prefix]:
    """Of everything, its halves: a mask of no bits would be another match."""
    return (prefix,) if prefix.prefixlen else prefix.subnets()


def collapsed(prefixes: Iterable[Prefix]) -> tuple[Prefix, ...]:
    """The same addresses as disjoint prefixes, IPv4 first."""
    fours = collapse_addresses(p for p in prefixes if isinstance(p, IPv4Network))
    sixes = collapse_addresses(p for p in prefixes if isinstance(p, IPv6Network))
    return (*fours, *sixes)
