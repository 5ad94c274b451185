"""Views of addresses of allowed pairs: whoever has one now is shown as a port, or as a remote, with it alone.

Place: dispatched by pipelines.views. Must not make flows, and must not decide who has it (model.whereabouts).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address

from model.addresses import Address, is_unicast, router_mac
from model.ids import NetworkKey
from model.inventory import Switch
from model.route import RemoteAddress, Sighting
from model.snapshot import Snapshot
from model.whereabouts import owner
from pipelines.index import Index, routes_here, vrf_of
from pipelines.objects import Object
from pipelines.views.bridged import RemoteView
from pipelines.views.ports import PortView, port_view
from pipelines.views.routed import RouteView
from pipelines.views.terms import l3vni_of, reachable, routable


@dataclass(frozen=True, slots=True)
class AddressView:
    """One of `port` (here) and `remote`, `route` (behind a tunnel: bridged and routed), with this address."""

    port: PortView | None = None
    remote: RemoteView | None = None
    route: RouteView | None = None


def address_view(snapshot: Snapshot, index: Index, switch: Switch, subject: Object) -> AddressView | None:
    network, address = NetworkKey(subject.major), ip_address(subject.name)
    found = owner(snapshot, network, address)
    if isinstance(found, Sighting):
        shown = port_view(snapshot, index, found.port)
        return None if shown is None else AddressView(port=_with_address(shown, found))
    if found is None or not reachable(snapshot, found.vtep):
        return None
    remote, route = _remote(snapshot, index, switch, found), _route(snapshot, index, switch, found)
    return AddressView(remote=remote, route=route)


def _with_address(shown: PortView, found: Sighting) -> PortView:
    routes = () if shown.vrf is None else routable((found.address,))
    return replace(shown, mac=found.mac, addresses=(found.address,), routes=routes, pairs=())


def _remote(snapshot: Snapshot, index: Index, switch: Switch, found: RemoteAddress) -> RemoteView | None:
    network = snapshot.networks.get(found.network)
    if network is None or not index.locals.get(found.network):
        return None
    own: tuple[Address, ...] = (found.address,)
    return RemoteView(found.network, network.vni, found.mac, own, found.vtep, switch.tunnel)


def _route(snapshot: Snapshot, index: Index, switch: Switch, found: RemoteAddress) -> RouteView | None:
    vrf, this, next_hop = vrf_of(snapshot, found.network), snapshot.this(), found.router_mac
    if (
        vrf is None
        or this is None
        or not routes_here(index, vrf)
        or next_hop is None
        or not is_unicast(next_hop)
    ):
        return None
    l3vni = l3vni_of(snapshot, vrf)
    if not l3vni:
        return None
    routes, own = routable((found.address,)), router_mac(this.router_id)
    return RouteView(vrf, l3vni, found.network, found.mac, routes, own, next_hop, found.vtep, switch.tunnel)
