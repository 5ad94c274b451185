"""Classify: whose frame is this? A bound port's, or that of a VTEP with the right to send this VNI.

Place: table classify. Both must be proven here, since all that follows trusts the network register.
"""

from __future__ import annotations

from model.flow import Flow, Shape
from pipelines import cookies
from pipelines.shapes.entry import CLASSIFY_REFUSED, LOCAL, TUNNEL4, TUNNEL6, TUNNEL_VRF4, TUNNEL_VRF6
from pipelines.shapes.fence import FENCED
from pipelines.views import HostView, PortView, SenderView, VtepView


def host(view: HostView) -> tuple[Flow, ...]:
    """What comes out of the tunnel without the right to is counted apart."""
    return (Flow(CLASSIFY_REFUSED, cookies.host(), (view.tunnel,)),)


def vtep(view: VtepView) -> tuple[Flow, ...]:
    """The pair of outer source and VNI that says which network a frame belongs to."""
    shape = _way(TUNNEL4 if view.vtep.version == 4 else TUNNEL6, view)
    values = (view.tunnel, view.vni, int(view.vtep), view.network)
    return (Flow(shape, cookies.network(view.network), values),)


def sender(view: SenderView) -> tuple[Flow, ...]:
    """The pair of outer source and L3VNI that says for which tenant a packet was routed."""
    shape = _way(TUNNEL_VRF4 if view.vtep.version == 4 else TUNNEL_VRF6, view)
    return (Flow(shape, cookies.vrf(view.vrf), (view.tunnel, view.l3vni, int(view.vtep), view.vrf)),)


def port(view: PortView) -> tuple[Flow, ...]:
    """Untagged frames of the port; tagged ones are counted and end here."""
    cookie = cookies.port(view.key)
    return (
        Flow(_way(LOCAL, view), cookie, (view.ofport, view.network, view.key, view.vrf or 0)),
        Flow(CLASSIFY_REFUSED, cookie, (view.ofport,)),
    )


def _way(shape: Shape, view: PortView | SenderView | VtepView) -> Shape:
    """Where a host has a partner, all of it passes the fence first."""
    return FENCED[shape] if view.fenced else shape
