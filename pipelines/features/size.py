"""Size: a packet that is larger than an MTU on its way is answered, instead of vanishing somewhere below.

Place: tables size and oversize, ahead of services: the packet is still as its sender wrote it, as the answer
has to quote it, and neither translated nor counted (docs/decisions/0016).
"""

from __future__ import annotations

from typing import Final

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.prefixes import place
from pipelines.shapes.size import NARROW_WAYS, OVERSIZE_NARROW, OVERSIZE_TOLD, SIZE_CHECKED, SIZE_NARROW
from pipelines.views import NarrowView, PortView

ETHERNET: Final = 14
"""Octets of an Ethernet header; frames with a VLAN tag don't get here."""


def port(view: PortView) -> tuple[Flow, ...]:
    """The check of a port that could send too large packets; any other is not even asked for."""
    if view.mtu is None or view.vrf is None:
        return ()
    told = cookies.told(view.vrf, cookies.Reason.TOO_BIG, view.network)
    checked = (Flow(each, cookies.port(view.key), (view.key, view.mtu + ETHERNET)) for each in SIZE_CHECKED)
    return (*checked, Flow(OVERSIZE_TOLD, told, (view.key,)))


def narrow(view: NarrowView) -> tuple[Flow, ...]:
    """The checks of what is routed to where the MTU is smaller; who stays, or goes elsewhere, has none."""
    cookie, made = cookies.network(view.network), []
    for prefix, mtu, limiting in view.ways:
        told = cookies.told(view.vrf, cookies.Reason.TOO_BIG, limiting)
        priority = NARROW_WAYS + prefix.prefixlen
        shape, head = place(SIZE_NARROW, priority, view.network, prefix)
        made.append(Flow(shape, cookie, (*head, mtu + ETHERNET)))
        shape, head = place(OVERSIZE_NARROW, priority, view.network, prefix)
        made.append(Flow(shape, told, head))
    return tuple(made)
