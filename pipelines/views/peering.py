"""Views of peerings: the ways between two tenants, the exported ports here, and those on other hosts.

Place: dispatched by pipelines.views. Nothing of a peering shows that the store does not have whole: a deleted
half takes the peering away, and with it all that is here. Must not make flows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_network

from immutables import Map

from model.addresses import Address, Prefix, router_mac
from model.ids import ClassId, Mac, PortKey, TenantKey, Vni
from model.intent import Peering, Relation
from model.inventory import Switch
from model.snapshot import Snapshot
from model.vrfs import exported, peerings_of
from pipelines.beyond import peers_here
from pipelines.index import Index
from pipelines.objects import Object
from pipelines.views.ports import collapsed
from pipelines.views.terms import reachable, routable


@dataclass(frozen=True, slots=True)
class Way:
    """From addresses of a tenant to addresses of its peer."""

    tenant: TenantKey
    source: Prefix
    target: Prefix


@dataclass(frozen=True, slots=True)
class Exported:
    """A local port's address that its side exports. `limited`: what it gets passes its meter; `judged`: its
    policy, first."""

    port: PortKey
    address: Address
    mac: Mac
    ofport: int
    limited: bool
    judged: bool = False


@dataclass(frozen=True, slots=True)
class PeeringView:
    """`ways`: of the sides with a port here. `router`: this host's MAC, None = nothing comes from afar.
    `cls`: the class of what crosses it, None = as of any destination."""

    vrf: TenantKey
    ways: tuple[Way, ...]
    ports: tuple[Exported, ...]
    router: Mac | None
    cls: ClassId | None = None


@dataclass(frozen=True, slots=True)
class PeeredView:
    """An exported address on another host."""

    vrf: TenantKey
    l3vni: Vni
    prefix: Prefix
    router: Mac
    next_hop: Mac
    vtep: Address
    tunnel: int


def peering_view(snapshot: Snapshot, index: Index, key: TenantKey) -> PeeringView | None:
    peering, this = snapshot.peerings.get(key), snapshot.this()
    if peering is None or this is None or not peers_here(snapshot, index, key):
        return None
    ways = tuple(way for way in _ways(peering) if way.tenant in index.live and not _taken(snapshot, key, way))
    router = router_mac(this.router_id) if peering.l3vni else None
    cls = index.relations.get(Relation.PEERED_TENANT)
    return PeeringView(key, ways, tuple(_exported(snapshot, index, peering)), router, cls)


def peered_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> PeeredView | None:
    key, prefix = TenantKey(subject.major), ip_network(subject.name)
    found, this = snapshot.prefixes.get((key, prefix)), snapshot.this()
    peering = snapshot.peerings.get(key)
    if found is None or this is None or peering is None or not peers_here(snapshot, index, key):
        return None
    sides = (p for side in peering.sides for p in side.prefixes)
    if not peering.l3vni or not exported((prefix.network_address,), tuple(sides)):
        return None
    hops = [hop for hop in found.hops if reachable(snapshot, hop.vtep)]
    if not hops or prefix.prefixlen != prefix.max_prefixlen:
        return None
    own = router_mac(this.router_id)
    return PeeredView(key, peering.l3vni, prefix, own, hops[0].router_mac, hops[0].vtep, switch.tunnel)


def _ways(peering: Peering) -> Iterator[Way]:
    """Disjoint, so that no packet finds two at one height."""
    one, other = peering.sides
    for own, peer in ((one, other), (other, one)):
        for source in _parts(own.prefixes):
            yield from (
                Way(own.tenant, source, t) for t in _parts(peer.prefixes) if t.version == source.version
            )


def _parts(prefixes: tuple[Prefix, ...]) -> Iterator[Prefix]:
    """Of everything, its halves: a mask of no bits would be another match."""
    for prefix in collapsed(prefixes):
        yield from prefix.subnets() if not prefix.prefixlen else (prefix,)


def _taken(snapshot: Snapshot, key: TenantKey, way: Way) -> bool:
    """Whether an older peering of the tenant goes to some of these addresses from some of those."""
    return any(
        earlier.source.overlaps(way.source) and earlier.target.overlaps(way.target)
        for peering, _, _ in peerings_of(snapshot, way.tenant)
        if peering.key < key
        for earlier in _ways(peering)
        if earlier.tenant == way.tenant and earlier.source.version == way.source.version
    )


def _exported(snapshot: Snapshot, index: Index, peering: Peering) -> Iterator[Exported]:
    for side in peering.sides:
        for network in sorted(index.live.get(side.tenant, Map())):
            for key in sorted(index.locals.get(network, Map())):
                port = snapshot.ports[key]
                ofport = snapshot.interfaces[port.uid].ofport
                judged = key in index.policed.judged
                for address in routable(exported(port.addresses, side.prefixes)):
                    yield Exported(key, address, port.mac, ofport, port.rate_in > 0, judged)
