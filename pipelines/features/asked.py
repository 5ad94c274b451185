"""Questions: DHCP and router solicitations of a port go to the agent, behind a meter, and no further.

Place: table guard, for ports of networks that answer (docs/decisions/0064). A client may have no address yet,
or one of its own making: of these messages alone the source address is not looked at here. Must not let
anything through to other ports.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.asked import ASKED_DHCP4, ASKED_DHCP6, ASKED_ROUTER
from pipelines.views import PortView


def port(view: PortView) -> tuple[Flow, ...]:
    """By the families of the network."""
    meter = view.meter_asked
    if meter is None:
        return ()
    found = (ASKED_DHCP4,) if 4 in view.asks else ()
    shapes = (*found, ASKED_DHCP6, ASKED_ROUTER) if 6 in view.asks else found
    values = (view.key, view.mac, meter.id)
    return tuple(Flow(shape, cookies.asked(view.key), values) for shape in shapes)
