"""Classify: whose frame is this? A bound port's, or that of a VTEP with the right to send this VNI.

Place: table classify. Both must be proven here, since all that follows trusts the network register, and
policy the scope.
"""

from __future__ import annotations

from typing import Final

from model.flow import Flow, Shape
from pipelines import cookies
from pipelines.shapes.entry import CLASSIFY_REFUSED, LOCAL, TUNNEL4, TUNNEL6, TUNNEL_VRF4, TUNNEL_VRF6
from pipelines.shapes.fence import FENCED
from pipelines.shapes.inward import BORDER4, BORDER6, LET_IN4, LET_IN6
from pipelines.views import HostView, PortView, SenderView, VtepView
from pipelines.views.routed import Standing

_SENDERS: Final = {
    Standing.INSIDE: ((TUNNEL_VRF4,), (TUNNEL_VRF6,)),
    Standing.GATEWAY: ((TUNNEL_VRF4, LET_IN4), (TUNNEL_VRF6, LET_IN6)),
    Standing.BORDER: ((BORDER4,), (BORDER6,)),
}
_FROM_OUTSIDE: Final = (LET_IN4, LET_IN6, BORDER4, BORDER6)
"""Their addresses are nobody's, in any scope."""


def host(view: HostView) -> tuple[Flow, ...]:
    """What comes out of the tunnel without the right to is counted apart."""
    return (Flow(CLASSIFY_REFUSED, cookies.host(), (view.tunnel,)),)


def vtep(view: VtepView) -> tuple[Flow, ...]:
    """The pair of outer source and VNI that says which network a frame belongs to."""
    shape = _way(TUNNEL4 if view.vtep.version == 4 else TUNNEL6, view)
    values = (view.tunnel, view.vni, int(view.vtep), view.network, view.scope)
    return (Flow(shape, cookies.network(view.network), values),)


def sender(view: SenderView) -> tuple[Flow, ...]:
    """The pair of outer source and L3VNI that says for which tenant a packet was routed, and whether it comes
    from outside: all that a border sends, and what a gateway has marked."""
    four, six = _SENDERS[view.standing]
    values = (view.tunnel, view.l3vni, int(view.vtep), view.vrf)
    shapes = four if view.vtep.version == 4 else six
    return tuple(
        Flow(
            _way(shape, view),
            cookies.vrf(view.vrf),
            (*values, 0 if shape in _FROM_OUTSIDE else view.scope),
        )
        for shape in shapes
    )


def port(view: PortView) -> tuple[Flow, ...]:
    """Untagged frames of the port; tagged ones are counted and end here."""
    cookie = cookies.port(view.key)
    return (
        Flow(_way(LOCAL, view), cookie, (view.ofport, view.network, view.key, view.vrf or 0, view.scope)),
        Flow(CLASSIFY_REFUSED, cookie, (view.ofport,)),
    )


def _way(shape: Shape, view: PortView | SenderView | VtepView) -> Shape:
    """Where a host has a partner, all of it passes the fence first."""
    return FENCED[shape] if view.fenced else shape
