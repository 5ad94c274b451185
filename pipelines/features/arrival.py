"""Arrival: packets that another VTEP has routed for a tenant reach its local ports, and nothing else.

Place: table arrival, the end for packets under an L3VNI. Never into a tunnel again; not accounted, since the
sender's host did, but for what a tenant with a way out gets from outside (`inward`). A packet whose TTL ends
here goes to the agent, which may tell its sender, on another host.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.inward import ARRIVAL_OPEN, ARRIVAL_OPEN_JUDGED
from pipelines.shapes.quality import ARRIVAL_JUDGED, ARRIVAL_LIMITED
from pipelines.shapes.routes import ARRIVAL_EXPIRED, ARRIVAL_LOCAL, ARRIVAL_TOLD, EXPIRED_TTLS
from pipelines.views import HostView, PortView, VrfView


def host(_: HostView) -> tuple[Flow, ...]:
    """The second router on the way may not forward it either, if it was not sent to that."""
    return tuple(Flow(shape, cookies.host(), (ttl,)) for shape in ARRIVAL_EXPIRED for ttl in EXPIRED_TTLS)


def vrf(view: VrfView) -> tuple[Flow, ...]:
    """A TTL that ends here, of a packet that was sent to this router."""
    if view.router is None:
        return ()
    cookie = cookies.told(view.vrf, cookies.Reason.TTL_AFAR)
    return tuple(Flow(s, cookie, (view.vrf, ttl, view.router)) for s in ARRIVAL_TOLD for ttl in EXPIRED_TTLS)


def port(view: PortView) -> tuple[Flow, ...]:
    """Packets for the port's addresses that are sent to this host's router MAC."""
    if view.vrf is None or view.router is None:
        return ()
    cookie, shapes = cookies.port(view.key), ARRIVAL_LOCAL if view.meter_in is None else ARRIVAL_LIMITED
    tail: tuple[int, ...] = (view.router, view.mac, view.ofport)
    if view.judged:
        shapes = ARRIVAL_JUDGED
    if view.open:
        shapes, tail = ARRIVAL_OPEN_JUDGED if view.judged else ARRIVAL_OPEN, (*tail, view.key)
    return tuple(
        Flow(shapes[address.version == 6], cookie, (view.vrf, int(address), *tail)) for address in view.routes
    )
