"""Inward: what comes from outside the cluster is counted for the port that gets it, once.

Place: tables origin and received, and what leads there. Not what another port of the cluster sent: that was
counted where it was sent. The class is that of the source, by the same prefixes (docs/decisions/0045). Must
not drop: what the port's limit drops later was carried here.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.features.egress_class import declared
from pipelines.shapes.inward import (
    ORIGIN_DECLARED,
    ORIGIN_INSIDE,
    ORIGIN_UNASKED,
    OUTPUT_MARKED,
    OUTPUT_OPEN,
    OUTPUT_OPEN_JUDGED,
    RECEIVED_COUNTER,
)
from pipelines.views import ClassView, HostView, PortView


def host(view: HostView) -> tuple[Flow, ...]:
    """What is not counted here, and what a gateway hands on."""
    uncounted = tuple(Flow(shape, cookies.host()) for shape in (ORIGIN_INSIDE, ORIGIN_UNASKED))
    return (*uncounted, Flow(OUTPUT_MARKED, cookies.host(), (view.tunnel,)))


def egress_class(view: ClassView) -> tuple[Flow, ...]:
    """The prefixes of a declared class as those of a source, where somebody asks."""
    return declared(view, ORIGIN_DECLARED) if view.inward else ()


def port(view: PortView) -> tuple[Flow, ...]:
    """A counter for each class, and the way to it at a gateway."""
    if not view.received:
        return ()
    cookie = cookies.port(view.key)
    counters = tuple(
        Flow(RECEIVED_COUNTER, cookies.account_in(view.key, cls, view.epoch), (view.key, cls))
        for cls in view.received
    )
    back = OUTPUT_OPEN_JUDGED if view.judged else OUTPUT_OPEN
    return (*counters, *((Flow(back, cookie, (view.ofport, view.key)),) if view.open else ()))
