"""Route: the next hop of a packet within its tenant.

Place: tables route and translate. A host route for each known address: local ones leave with the gateway's
MAC, those behind a tunnel with this host's router MAC under the L3VNI (symmetric IRB, RFC 9135 section 5).
Must not hold a way out of the tenant.
"""

from __future__ import annotations

from model.addresses import Prefix
from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.routes import (
    CONNECTED,
    NOWHERE,
    PREFIX_STEP,
    PREFIXES,
    ROUTE_LOCAL,
    ROUTE_REMOTE4,
    ROUTE_REMOTE6,
    ROUTE_SELF,
)
from pipelines.views import PortView, RouteView, SubnetsView, VrfView


def port(view: PortView) -> tuple[Flow, ...]:
    """The local port's addresses, for all others of the tenant."""
    if view.vrf is None:
        return ()
    cookie, made = cookies.port(view.key), []
    for address in view.routes:
        family, number = address.version == 6, int(address)
        made.append(Flow(ROUTE_SELF[family], cookie, (view.vrf, view.key, number)))
        made.append(Flow(ROUTE_LOCAL[family], cookie, (view.vrf, number, view.mac, view.ofport)))
    return tuple(made)


def route(view: RouteView) -> tuple[Flow, ...]:
    """Addresses on another host."""
    shapes = ROUTE_REMOTE4 if view.vtep.version == 4 else ROUTE_REMOTE6
    hop = (view.router, view.next_hop, view.l3vni, int(view.vtep), view.tunnel)
    cookie = cookies.remote(view.network, view.mac)
    return tuple(
        Flow(shapes[address.version == 6], cookie, (view.vrf, int(address), *hop)) for address in view.routes
    )


def vrf(view: VrfView) -> tuple[Flow, ...]:
    """What no route of the tenant takes; the agent may tell its sender."""
    cookie = cookies.told(view.vrf, cookies.Reason.NO_NETWORK)
    return tuple(Flow(shape, cookie, (view.vrf,)) for shape in NOWHERE)


def subnets(view: SubnetsView) -> tuple[Flow, ...]:
    """The connected prefixes: what no host route takes there is for nobody; the agent may say so."""
    cookie = cookies.told(view.vrf, cookies.Reason.NO_HOST, view.network.key)
    return tuple(_connected(view.vrf, cookie, subnet) for subnet in view.network.subnets)


def _connected(vrf: int, cookie: int, prefix: Prefix) -> Flow:
    masked, exact, anything = CONNECTED[:3] if prefix.version == 4 else CONNECTED[3:]
    head = (PREFIXES + PREFIX_STEP * prefix.prefixlen, vrf)
    if prefix.prefixlen == 0:
        return Flow(anything, cookie, head)
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, (*head, int(prefix.network_address)))
    return Flow(masked, cookie, (*head, int(prefix.network_address), int(prefix.netmask)))
