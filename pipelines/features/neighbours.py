"""Neighbours: the body of neighbour discovery must tell the same story as the frame's header.

Place: table neighbours, IPv6 frames that passed the guard. RFC 4861 section 7.1 gives the checks; a
workload never speaks as a router.
"""

from __future__ import annotations

from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.entry import ND_ADVERTISE, ND_FRAGMENT, ND_GARBLED, ND_OTHER, ND_REFUSED, ND_SOLICIT
from pipelines.views import HostView, PortView


def host(_: HostView) -> tuple[Flow, ...]:
    """What is refused whoever says it, and what is no neighbour discovery."""
    return tuple(Flow(shape, cookies.host()) for shape in (ND_FRAGMENT, ND_GARBLED, *ND_REFUSED, ND_OTHER))


def port(view: PortView) -> tuple[Flow, ...]:
    """Solicitations and advertisements with the port's own MAC as option, or without the option (0)."""
    cookie = cookies.port(view.key)
    sixes = tuple(int(address) for address in view.addresses if address.version == 6)
    if not sixes:
        return ()
    options = (0, view.mac)
    solicit = tuple(Flow(ND_SOLICIT, cookie, (view.key, mac)) for mac in options)
    advertise = tuple(Flow(ND_ADVERTISE, cookie, (view.key, six, mac)) for six in sixes for mac in options)
    return solicit + advertise
