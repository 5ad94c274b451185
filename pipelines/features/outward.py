"""Outward: the ways out of a tenant: floating IPs, an address of its own, and what lies beyond.

Place: tables returned to outside, output, arrival and landing. Tracking begins a packet anew *before* it is
accounted, so that what it drops is not billed. A tenant's traffic inside its VRF never comes here: its routes
stand before, and what it sends to a gateway by mistake ends there.
"""

from __future__ import annotations

from model.addresses import Address, Prefix
from model.flow import Flow, Shape
from pipelines import cookies
from pipelines.shapes import outward as s
from pipelines.views import EgressView, ExternalView, FloatingView, HostView, OutsideView


def host(_: HostView) -> tuple[Flow, ...]:
    """What belongs to no connection and can begin none."""
    return tuple(Flow(shape, cookies.host()) for shape in s.INVALID)


def floating(view: FloatingView) -> tuple[Flow, ...]:
    """Both ways of a floating IP, in the NAT zone of its port."""
    six, cookie = view.address.version == 6, cookies.port(view.port)
    address, target, zone = int(view.address), int(view.target), view.zone
    translated, refused = s.REFUSED[1:]
    landing = s.LANDING_JUDGED if view.judged else s.LANDING
    return (
        Flow(s.ROUTE_FLOATING[six], cookie, (view.port, target)),
        Flow(s.TRANSLATE_FLOATING[six], cookie, (view.port, target, zone, address)),
        Flow(s.TRANSLATED[six], cookie, (zone, address, view.external)),
        Flow(translated, cookie, (zone,)),
        Flow(s.OUTSIDE_SELF[six], cookie, (view.external, view.port, address)),
        Flow(s.OUTSIDE_HERE[six], cookie, (view.external, address, view.router)),
        Flow(s.OUTPUT_FLOATING[six], cookie, (view.external, address, zone, target)),
        Flow(s.ARRIVAL_FLOATING[six], cookie, (view.external, view.router, address, zone, target)),
        Flow(landing[six], cookie, (zone, target, view.mac, view.ofport, view.port)),
        Flow(refused, cookie, (zone,)),
    )


def egress(view: EgressView) -> tuple[Flow, ...]:
    """A tenant behind its address: from here, from other hosts, and back."""
    cookie = cookies.vrf(view.vrf)
    returned, translated, _ = s.REFUSED
    made = [Flow(returned, cookie, (view.zone,)), Flow(translated, cookie, (view.zone,))]
    for address in view.addresses:
        made += _behind(view, cookie, address)
    for address in view.acting:
        made += _acting(view, cookie, address)
    made += [_inside(view.vrf, cookie, prefix) for prefix in view.inside]
    return tuple(made)


def _behind(view: EgressView, cookie: int, address: Address) -> tuple[Flow, ...]:
    """What other hosts lead here: also on a standby, which so translates from the moment that they do."""
    six, zone, number = address.version == 6, view.zone, int(address)
    return (
        Flow(s.ARRIVAL_OUTWARD[six], cookie, (view.vrf, view.router, zone, number)),
        Flow(s.TRANSLATED[six], cookie, (zone, number, view.external)),
        Flow(s.ARRIVAL_EGRESS[six], cookie, (view.external, view.router, number, zone)),
        Flow(s.RETURNED[six], cookie, (zone, view.vrf, view.external)),
    )


def _acting(view: EgressView, cookie: int, address: Address) -> tuple[Flow, ...]:
    """What begins on this host: elsewhere another gateway has it."""
    six, zone, number = address.version == 6, view.zone, int(address)
    return (
        Flow(s.TRANSLATE_EGRESS[six], cookie, (view.vrf, zone, number)),
        Flow(s.OUTSIDE_HERE[six], cookie, (view.external, number, view.router)),
        Flow(s.OUTPUT_EGRESS[six], cookie, (view.external, number, zone)),
    )


def _inside(vrf: int, cookie: int, prefix: Prefix) -> Flow:
    masked, exact = s.ARRIVAL_INSIDE[:2] if prefix.version == 4 else s.ARRIVAL_INSIDE[2:]
    head = (s.INSIDE + prefix.prefixlen, vrf, int(prefix.network_address))
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, head)
    return Flow(masked, cookie, (*head, int(prefix.netmask)))


def external(view: ExternalView) -> tuple[Flow, ...]:
    """Its pools: an address of ours that nobody has now is nowhere else either."""
    cookie = cookies.vrf(view.external)
    return tuple(_formed(s.OUTSIDE_POOL, cookie, s.POOLS, view.external, prefix, ()) for prefix in view.pools)


def outside(view: OutsideView) -> tuple[Flow, ...]:
    """A learned prefix, by the tunnel under the external network's VNI."""
    hop = view.hop
    shapes = s.OUTSIDE_AWAY4 if hop.vtep.version == 4 else s.OUTSIDE_AWAY6
    tail = (view.router, hop.router_mac, view.l3vni, int(hop.vtep), view.tunnel)
    cookie = cookies.prefix(view.external, view.prefix)
    return (_formed(shapes, cookie, s.OUTER, view.external, view.prefix, tail),)


def _formed(
    shapes: tuple[Shape, ...], cookie: int, base: int, external: int, prefix: Prefix, tail: tuple[int, ...]
) -> Flow:
    """`shapes`: masked, exact and any of IPv4, then of IPv6."""
    masked, exact, anything = shapes[:3] if prefix.version == 4 else shapes[3:]
    head = (base + 2 * prefix.prefixlen, external)
    if prefix.prefixlen == 0:
        return Flow(anything, cookie, (*head, *tail))
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, (*head, int(prefix.network_address), *tail))
    return Flow(masked, cookie, (*head, int(prefix.network_address), int(prefix.netmask), *tail))
