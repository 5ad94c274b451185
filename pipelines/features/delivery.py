"""Delivery: frames of the tunnel go to local ports of their network, and to nothing else.

Place: table 9, the end for frames of the tunnel. Never back into a tunnel (split horizon); not accounted,
since the sender's host did.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.paths import DELIVERY_REFUSED, DELIVERY_SINGLE, delivery_group
from pipelines.views import HostView, NetworkView, PortView


def host(_: HostView) -> tuple[Flow, ...]:
    """Group frames of networks that do not replicate."""
    return (Flow(DELIVERY_REFUSED, cookies.host()),)


def network(view: NetworkView) -> tuple[Flow, ...]:
    """Group frames to all local ports of a network that does."""
    if not view.network.replicate:
        return ()
    shape = delivery_group(len(view.ofports))
    return (Flow(shape, cookies.network(view.network.key), (view.network.key, *view.ofports)),)


def port(view: PortView) -> tuple[Flow, ...]:
    """Unicast frames to the port's MAC."""
    return (Flow(DELIVERY_SINGLE, cookies.port(view.key), (view.network, view.mac, view.ofport)),)
