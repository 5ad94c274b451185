"""Prefixes: what is behind next hops of the tenant, here or on other hosts, with the load shared among them.

Place: tables route, nexthop, arrival and spread. One next hop is a flow; several share slots, of which a
select group chooses one by a hash of the connection (docs/decisions/0013). Out of a tunnel only to next hops
here, never into a tunnel again. Must not send back to a next hop what comes from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from model import rendezvous
from model.flow import Flow
from model.route import NextHop
from pipelines import cookies, groups
from pipelines.shapes.inward import (
    ARRIVAL_VIA_OPEN,
    ARRIVAL_VIA_OPEN_JUDGED,
    SPREAD_OPEN,
    SPREAD_OPEN_JUDGED,
)
from pipelines.shapes.prefixes import (
    ARRIVAL_GROUP,
    ARRIVAL_VIA,
    ARRIVAL_VIA_JUDGED,
    ARRIVAL_VIA_LIMITED,
    BACK,
    DEAD,
    NEXTHOP_LOCAL,
    NEXTHOP_REMOTE4,
    NEXTHOP_REMOTE6,
    SPREAD_JUDGED,
    SPREAD_LIMITED,
    SPREAD_LOCAL,
    VIA_GROUP,
    VIA_LOCAL,
    VIA_REMOTE4,
    VIA_REMOTE6,
    Forms,
    place,
)
from pipelines.shapes.routes import PREFIX_STEP, PREFIXES
from pipelines.views import PrefixView
from pipelines.views.prefixes import LocalHop

Hop = LocalHop | NextHop


@dataclass(frozen=True, slots=True)
class _Ways:
    """The forms of a way to a local port: straight, by its limit, counted if it is from outside; the last by
    the door of one under policy."""

    straight: Forms
    limited: Forms
    open: Forms
    judged: Forms
    open_judged: Forms


_ARRIVAL: Final = _Ways(
    ARRIVAL_VIA, ARRIVAL_VIA_LIMITED, ARRIVAL_VIA_OPEN, ARRIVAL_VIA_JUDGED, ARRIVAL_VIA_OPEN_JUDGED
)
_SPREAD: Final = _Ways(SPREAD_LOCAL, SPREAD_LIMITED, SPREAD_OPEN, SPREAD_JUDGED, SPREAD_OPEN_JUDGED)


def prefix(view: PrefixView) -> tuple[Flow, ...]:
    """All flows of a prefix: what local ports send, then what arrives."""
    hops: tuple[Hop, ...] = (*view.here, *view.there)
    back = tuple(_flow(view, BACK, (hop.port,), 1) for hop in view.here)
    return (*back, *_sent(view, hops), *_arrived(view))


def _sent(view: PrefixView, hops: tuple[Hop, ...]) -> Iterator[Flow]:
    if not hops:
        shape, values = place(DEAD, _height(view), view.vrf, view.prefix)
        yield Flow(shape, cookies.told(view.vrf, cookies.Reason.NO_NETWORK), values)
    elif len(hops) == 1:
        forms, values = _towards(view, hops[0], (VIA_LOCAL, VIA_REMOTE4, VIA_REMOTE6))
        yield _flow(view, forms, values)
    else:
        yield _flow(view, VIA_GROUP, ())
        for slot, hop in _shared(view, hops):
            forms, values = _towards(view, hop, (NEXTHOP_LOCAL, NEXTHOP_REMOTE4, NEXTHOP_REMOTE6))
            yield _flow(view, forms, (slot, *values))


def _arrived(view: PrefixView) -> Iterator[Flow]:
    if not view.here or view.router is None:
        return
    if len(view.here) == 1:
        forms, values = _handed(view.here[0], _ARRIVAL)
        yield _flow(view, forms, (view.router, *values))
        return
    yield _flow(view, ARRIVAL_GROUP, (view.router,))
    for slot, each in _shared(view, view.here):
        assert isinstance(each, LocalHop)
        forms, values = _handed(each, _SPREAD)
        yield _flow(view, forms, (slot, *values))


def _handed(hop: LocalHop, ways: _Ways) -> tuple[Forms, tuple[int, ...]]:
    """Which of the ways, and the values of the hop."""
    if hop.open:
        forms = ways.open_judged if hop.judged else ways.open
        return forms, (hop.mac, hop.ofport, hop.port)
    if hop.judged:
        return ways.judged, (hop.mac, hop.ofport)
    return ways.straight if hop.meter_in is None else ways.limited, (hop.mac, hop.ofport)


def _towards(view: PrefixView, hop: Hop, forms: tuple[Forms, Forms, Forms]) -> tuple[Forms, tuple[int, ...]]:
    """Which of (local, over an IPv4 VTEP, over an IPv6 one), and the values that say where."""
    if isinstance(hop, LocalHop):
        return forms[0], (hop.mac, hop.ofport)
    assert view.router is not None  # the view has no remote hops without it
    values = (view.router, hop.router_mac, view.l3vni, int(hop.vtep), view.tunnel)
    return forms[1 if hop.vtep.version == 4 else 2], values


def _shared(view: PrefixView, hops: tuple[Hop, ...]) -> Iterator[tuple[int, Hop]]:
    """Each slot with its next hop. Names last as long as the hop is what it is."""
    names = [f"port {h.port}" if isinstance(h, LocalHop) else f"vtep {h.vtep}" for h in hops]
    for slot, index in enumerate(rendezvous.assign(names, f"{view.vrf} {view.prefix}", groups.SLOTS)):
        yield slot, hops[index]


def _height(view: PrefixView) -> int:
    return PREFIXES + PREFIX_STEP * view.prefix.prefixlen


def _flow(view: PrefixView, forms: Forms, values: tuple[int, ...], above: int = 0) -> Flow:
    shape, head = place(forms, _height(view) + above, view.vrf, view.prefix)
    return Flow(shape, cookies.prefix(view.vrf, view.prefix), (*head, *values))
