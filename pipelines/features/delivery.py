"""Delivery: frames of the tunnel go to local ports of their network, and to nothing else.

Place: table delivery, the end for frames of the tunnel. Never back into a tunnel (split horizon); not
accounted, since the sender's host did.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.paths import (
    DELIVERY_ADVERT,
    DELIVERY_ARP_BY,
    DELIVERY_ARP_FOR,
    DELIVERY_FALSE_GATEWAY,
    DELIVERY_REFUSED,
    DELIVERY_SINGLE,
    DELIVERY_SOLICIT,
    delivery_group,
)
from pipelines.shapes.quality import DELIVERY_JUDGED, DELIVERY_LIMITED
from pipelines.views import HostView, NetworkView, PortView


def host(_: HostView) -> tuple[Flow, ...]:
    """Group frames of networks that do not replicate, and frames with the gateway's MAC as their source."""
    return (Flow(DELIVERY_REFUSED, cookies.host()), Flow(DELIVERY_FALSE_GATEWAY, cookies.host()))


def network(view: NetworkView) -> tuple[Flow, ...]:
    """Group frames to all local ports of a network that does; nothing that speaks for the gateway or asks for
    it: each host has its own and answers there."""
    key, cookie = view.network.key, cookies.network(view.network.key)
    made = []
    for address in view.gateways:
        four, six = (DELIVERY_ARP_BY, DELIVERY_ARP_FOR), (DELIVERY_SOLICIT, DELIVERY_ADVERT)
        made += [Flow(s, cookie, (key, int(address))) for s in (four if address.version == 4 else six)]
    if view.network.replicate:
        shape = delivery_group(len(view.ofports), len(view.limited), len(view.judged))
        made.append(Flow(shape, cookie, (key, *view.ofports, *view.limited, *view.judged)))
    return tuple(made)


def port(view: PortView) -> tuple[Flow, ...]:
    """Unicast frames to the port's MAC."""
    shape = DELIVERY_SINGLE if view.meter_in is None else DELIVERY_LIMITED
    if view.judged:
        shape = DELIVERY_JUDGED
    return (Flow(shape, cookies.port(view.key), (view.network, view.mac, view.ofport)),)
