"""Views of prefixes: where the static routes of a tenant lead, and what other hosts announce in its VRF.

Place: dispatched by pipelines.views. A prefix that somebody else announces counts only if a static route of
the tenant has it too, or the tenant has a way out. Must not make flows.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network

from immutables import Map

from model.addresses import Address, Prefix, is_unicast
from model.flow import Meter
from model.ids import Mac, NetworkKey, PortKey, TenantKey, Vni
from model.intent import Egress
from model.inventory import Switch
from model.route import NextHop, RemotePrefix
from model.snapshot import Snapshot
from pipelines import limits
from pipelines.index import Index, routes_here, vrf_of
from pipelines.inward import opens
from pipelines.objects import Object
from pipelines.views.outward import beats
from pipelines.views.terms import l3vni_of, reachable, router_of


@dataclass(frozen=True, slots=True)
class LocalHop:
    """A local port that takes packets of a prefix. `meter_in`: its limit of what it gets, None = none;
    `open`: some of it may come from outside the cluster; `judged`: it is under policy."""

    port: PortKey
    mac: Mac
    ofport: int
    meter_in: Meter | None
    open: bool = False
    judged: bool = False


@dataclass(frozen=True, slots=True)
class PrefixView:
    """A prefix of a tenant that lives here. `here` and `there`: all next hops, equally good, in order; none =
    there is a static route, but nobody to take its packets. `router`: this host's MAC as one, None = nobody
    routes between hosts."""

    vrf: TenantKey
    prefix: Prefix
    l3vni: Vni
    router: Mac | None
    here: tuple[LocalHop, ...]
    there: tuple[NextHop, ...]
    tunnel: int


def prefix_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> PrefixView | None:
    vrf, prefix = TenantKey(subject.major), ip_network(subject.name)
    if not routes_here(index, vrf):
        return None
    routes = index.statics.routes(snapshot, vrf, prefix)
    addresses = sorted({hop for route in routes for hop in route.next_hops}, key=int)
    here = tuple(sorted({hop for a in addresses for hop in _owners(snapshot, index, vrf, a)}, key=_number))
    l3vni, router = l3vni_of(snapshot, vrf), router_of(snapshot, vrf)
    tenant = snapshot.tenants.get(vrf)
    wanted = bool(routes) or (tenant is not None and tenant.egress is not Egress.NONE)
    own = (
        tenant is not None
        and not prefix.prefixlen
        and beats(snapshot, tenant, _learned(snapshot, vrf, prefix))
    )
    there = _remote(snapshot, vrf, prefix) if wanted and router is not None and not own else ()
    alive = tuple(hop for hop in there if hop.vtep not in snapshot.down)
    if not routes and not there:
        return None
    # with all of them silent, the fault may be this host's own: better to try than to give up
    return PrefixView(vrf, prefix, l3vni, router, here, alive if alive or here else there, switch.tunnel)


def _number(hop: LocalHop) -> int:
    return hop.port


def _owners(snapshot: Snapshot, index: Index, vrf: TenantKey, address: Address) -> list[LocalHop]:
    """The local port that has an address, or that speaks for it as one of its allowed pairs."""
    found = []
    for network in sorted(index.live.get(vrf, Map())):
        subnets = snapshot.networks[network].subnets
        if not any(subnet.version == address.version and address in subnet for subnet in subnets):
            continue
        mine = index.locals.get(network, Map())
        for key in sorted(mine):
            if address in snapshot.ports[key].addresses:
                found.append(_hop(snapshot, index, key, snapshot.ports[key].mac))
        seen = snapshot.sightings.get((NetworkKey(network), address))
        if seen is not None and seen.port in mine and not found:
            found.append(_hop(snapshot, index, seen.port, seen.mac))
    return found


def _hop(snapshot: Snapshot, index: Index, key: PortKey, mac: Mac) -> LocalHop:
    port = snapshot.ports[key]
    ofport = snapshot.interfaces[port.uid].ofport
    reached = opens(snapshot, vrf_of(snapshot, port.network))
    judged = key in index.policed.judged
    return LocalHop(key, mac, ofport, limits.meter_in(ofport, port.rate_in), reached, judged)


def _learned(snapshot: Snapshot, vrf: TenantKey, prefix: Prefix) -> RemotePrefix | None:
    return snapshot.prefixes.get((vrf, prefix))


def _remote(snapshot: Snapshot, vrf: TenantKey, prefix: Prefix) -> tuple[NextHop, ...]:
    found = _learned(snapshot, vrf, prefix)
    hops = () if found is None else found.hops
    usable = {hop for hop in hops if is_unicast(hop.router_mac) and reachable(snapshot, hop.vtep)}
    return tuple(sorted(usable, key=lambda hop: (int(hop.vtep), hop.router_mac)))
