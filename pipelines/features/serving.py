"""Serving: ports ask for names and metadata at addresses of ours, each under an alias of its own.

Place: tables served to restored, and what leads there. Stateless both ways: nothing is remembered of a
connection, so none can be used up or lost. What is sent to these addresses goes nowhere else, also while
nobody answers (docs/decisions/0063).
"""

from __future__ import annotations

from typing import Final

from model.addresses import Address
from model.flow import Flow, Shape
from model.serving import METADATA, METADATA_PORT, NAMES_PORT, RESOLVERS, SERVED, aliases
from pipelines import cookies
from pipelines.shapes import serving as s
from pipelines.views import HostView, PortView

_SERVICES: Final = (
    *((s.SERVED_UDP, s.REPLIED_UDP, each, NAMES_PORT) for each in RESOLVERS),
    *((s.SERVED_TCP, s.REPLIED_TCP, each, NAMES_PORT) for each in RESOLVERS),
    *((s.SERVED_TCP, s.REPLIED_TCP, each, METADATA_PORT) for each in METADATA),
)


def host(view: HostView) -> tuple[Flow, ...]:
    """Where is asked for what, and what comes back, the same for all ports."""
    cookie = cookies.host()
    made = [Flow(shape, cookie) for shape in s.SERVED_FRAGMENT]
    for address in SERVED:
        made += [Flow(shape, cookie, (int(address),)) for shape in _around(address)]
    made += [Flow(_of(ask, at), cookie, (int(at), port)) for ask, _, at, port in _SERVICES]
    if view.services is not None:
        made.append(Flow(s.CLASSIFY_SERVED, cookie, (view.services,)))
        made += [Flow(_of(reply, at), cookie, (int(at), port)) for _, reply, at, port in _SERVICES]
    return tuple(made)


def port(view: PortView) -> tuple[Flow, ...]:
    """To whoever answers under the port's aliases, and back."""
    meter = view.meter_served
    if view.services is None or meter is None:
        return ()
    cookie, made = cookies.port(view.key), list[Flow]()
    for own, other in aliases(view.key, view.addresses):
        there = (view.key, int(own), int(other), meter.id, view.services)
        back = (int(other), int(own), view.mac, view.ofport)
        made.append(Flow(_of(s.ALIASED, own), cookie, there))
        made.append(Flow(_of(s.RESTORED, own), cookie, back))
    return tuple(made)


def _of(shapes: s.Twice, address: Address) -> Shape:
    return shapes[0] if address.version == 4 else shapes[1]


def _around(address: Address) -> tuple[Shape, ...]:
    if address.version == 4:
        return (s.GUARD_POSES[0], s.GUARD_POSES_ARP, s.ARP_SERVED, s.TO_SERVED[0])
    return (s.GUARD_POSES[1], s.NEIGHBOURS_POSES, s.ND_SERVED, s.TO_SERVED[1])
