"""Quality of service: networks mark their packets, ports have a limit of what they send and of what they get.

Place: tables mark, rate and limit, and what leads from output to limit, or to the door of a port under
policy. The limit of the sender stands before its account, with a pass of its own between them, so that nobody
pays for what was dropped; that of the receiver stands at the very end (docs/decisions/0016).
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.inward import LIMIT_PLAIN
from pipelines.shapes.quality import (
    DOOR_SELF,
    LIMIT_METERED,
    MARKS,
    OUTPUT_JUDGED,
    OUTPUT_LIMITED,
    RATE_METERED,
)
from pipelines.views import NetworkView, PortView


def network(view: NetworkView) -> tuple[Flow, ...]:
    """The mark of all IP packets that ports of a network send."""
    dscp = view.network.dscp
    if dscp is None:
        return ()
    key = view.network.key
    return tuple(Flow(shape, cookies.network(key), (key, dscp)) for shape in MARKS)


def port(view: PortView) -> tuple[Flow, ...]:
    """The limits of a port that has some, and the way to the door of one under policy; any other is not even
    asked for. What is counted or judged before it is sent leaves by limit, also where there is none."""
    cookie, made = cookies.port(view.key), []
    if view.meter_out is not None:
        made.append(Flow(RATE_METERED, cookie, (view.key, view.meter_out.id)))
    if view.judged:
        made.append(Flow(OUTPUT_JUDGED, cookie, (view.ofport,)))
        made.append(Flow(DOOR_SELF, cookie, (view.ofport, view.key)))
    elif view.meter_in is not None:
        made.append(Flow(OUTPUT_LIMITED, cookie, (view.ofport,)))
    if view.meter_in is not None:
        made.append(Flow(LIMIT_METERED, cookie, (view.ofport, view.meter_in.id)))
    elif view.judged or view.draining or view.received:
        made.append(Flow(LIMIT_PLAIN, cookie, (view.ofport,)))
    return tuple(made)
