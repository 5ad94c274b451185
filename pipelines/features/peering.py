"""Peering: packets from what one tenant exports to what the other does, and nothing else between them.

Place: table across says for policies that their addresses are meant there; table route steers them into the
peering's VRF, by source and destination; table peer finds the address there, on this host or behind a tunnel
under the peering's L3VNI; table arrival delivers them, and hands those whose TTL ends here to the agent. What
routes the tenants have of their own does not matter.
"""

from __future__ import annotations

from model.addresses import Prefix
from model.flow import Flow, Shape
from pipelines import cookies
from pipelines.shapes.peering import ACROSS, MEANT_ACROSS, PEER_LOCAL, PEER_REMOTE4, PEER_REMOTE6
from pipelines.shapes.quality import ARRIVAL_JUDGED, ARRIVAL_LIMITED
from pipelines.shapes.routes import ARRIVAL_LOCAL, ARRIVAL_TOLD, EXPIRED_TTLS
from pipelines.views import PeeredView, PeeringView
from pipelines.views.peering import Exported, Way


def peering(view: PeeringView) -> tuple[Flow, ...]:
    """The ways into the peering, and the exported addresses of local ports: from here, and from afar."""
    across = (flow for way in view.ways for flow in _across(view, way))
    return (*across, *_here(view), *_arriving(view))


def _across(view: PeeringView, way: Way) -> tuple[Flow, ...]:
    """What is meant there, and where it goes."""
    singles = (_single(way.source), _single(way.target))
    form = 4 * (way.source.version == 6) + 2 * singles[0] + singles[1]
    values = (way.tenant, *_numbers(way.source), *_numbers(way.target), view.vrf)
    return tuple(Flow(shapes[form], cookies.vrf(view.vrf), values) for shapes in (MEANT_ACROSS, ACROSS))


def _single(prefix: Prefix) -> bool:
    return prefix.prefixlen == prefix.max_prefixlen


def _numbers(prefix: Prefix) -> tuple[int, ...]:
    address = int(prefix.network_address)
    return (address,) if _single(prefix) else (address, int(prefix.netmask))


def _here(view: PeeringView) -> tuple[Flow, ...]:
    return tuple(
        Flow(
            PEER_LOCAL[one.address.version == 6],
            cookies.port(one.port),
            (view.vrf, int(one.address), one.mac, one.ofport),
        )
        for one in view.ports
    )


def _arriving(view: PeeringView) -> tuple[Flow, ...]:
    if view.router is None:
        return ()
    cookie = cookies.told(view.vrf, cookies.Reason.TTL_AFAR)
    told = (Flow(s, cookie, (view.vrf, ttl, view.router)) for s in ARRIVAL_TOLD for ttl in EXPIRED_TTLS)
    return tuple(told) + tuple(
        Flow(
            _arrival(one)[one.address.version == 6],
            cookies.port(one.port),
            (view.vrf, int(one.address), view.router, one.mac, one.ofport),
        )
        for one in view.ports
    )


def _arrival(one: Exported) -> tuple[Shape, ...]:
    """Straight, by its meter, or by its door, which leads to the meter; for IPv4 and for IPv6."""
    if one.judged:
        return ARRIVAL_JUDGED
    return ARRIVAL_LIMITED if one.limited else ARRIVAL_LOCAL


def peered(view: PeeredView) -> tuple[Flow, ...]:
    """An exported address on another host."""
    shapes = PEER_REMOTE4 if view.vtep.version == 4 else PEER_REMOTE6
    hop = (view.router, view.next_hop, view.l3vni, int(view.vtep), view.tunnel)
    address = int(view.prefix.network_address)
    cookie = cookies.prefix(view.vrf, view.prefix)
    return (Flow(shapes[view.prefix.version == 6], cookie, (view.vrf, address, *hop)),)
