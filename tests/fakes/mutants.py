"""Programs with one protection taken out: a test that passes with them proves nothing.

Place: property tests run against these and must fail; integration tests may program them. Each function maps
the flows of a program to those of a broken one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from model.flow import DecTtl, Field, Flow, Shape
from pipelines import fields as f
from pipelines import tables as t
from pipelines.cookies import host
from pipelines.shapes.asked import ASKED
from pipelines.shapes.entry import TUNNEL4, TUNNEL6, TUNNEL_VRF4, TUNNEL_VRF6
from pipelines.shapes.peering import ACROSS
from pipelines.shapes.routes import ARRIVAL_LOCAL, EXPIRED4, EXPIRED6, ROUTE_LOCAL, ROUTED4, ROUTED6
from pipelines.shapes.terms import shape

Mutant = Callable[[Iterable[Flow]], Iterator[Flow]]


def without_spoof_guard(flows: Iterable[Flow]) -> Iterator[Flow]:
    """The guard lets everything through."""
    yield Flow(shape("open", t.GUARD, 1000, (), (), (), t.SERVICES), host())
    yield from flows


def without_vni_match(flows: Iterable[Flow]) -> Iterator[Flow]:
    """A known VTEP may send any VNI."""
    return _without(flows, (TUNNEL4, TUNNEL6), f.TUN_ID)


def without_source_check(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Anybody may send a known VNI."""
    return _without(flows, (TUNNEL4, TUNNEL6), f.TUN_SRC, f.TUN_IPV6_SRC)


def without_l3vni_match(flows: Iterable[Flow]) -> Iterator[Flow]:
    """A VTEP that may route for one tenant may do so for all."""
    return _without(flows, (TUNNEL_VRF4, TUNNEL_VRF6), f.TUN_ID)


def without_l3vni_source_check(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Anybody may send a known L3VNI."""
    return _without(flows, (TUNNEL_VRF4, TUNNEL_VRF6), f.TUN_SRC, f.TUN_IPV6_SRC)


def without_router_mac(flows: Iterable[Flow]) -> Iterator[Flow]:
    """This host routes what was sent to another router."""
    return _without(flows, ARRIVAL_LOCAL, f.ETH_DST)


def without_tenants(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Routes are everybody's."""
    return _without(flows, ROUTE_LOCAL, f.VRF.field)


def without_ttl(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Nobody counts hops."""
    for flow in flows:
        actions = tuple(action for action in flow.shape.actions if not isinstance(action, DecTtl))
        yield replace(flow, shape=replace(flow.shape, name=f"{flow.shape.name}-free", actions=actions))


def without_gateway_guard(flows: Iterable[Flow]) -> Iterator[Flow]:
    """Frames of the tunnel may speak as the gateway."""
    return (
        flow for flow in flows if flow.shape.table != t.DELIVERY.number or "gateway" not in flow.shape.name
    )


def without_exports(flows: Iterable[Flow]) -> Iterator[Flow]:
    """All of a tenant may reach what its peer exports."""
    return _without(flows, ACROSS, f.IP_SRC, f.IPV6_SRC)


def without_peered_tenants(flows: Iterable[Flow]) -> Iterator[Flow]:
    """A peering is there for every tenant with such addresses."""
    return _without(flows, ACROSS, f.VRF.field)


def with_all_expired(flows: Iterable[Flow]) -> Iterator[Flow]:
    """The agent gets what should be routed."""
    for flow in _without(flows, (EXPIRED4, EXPIRED6), f.NW_TTL):
        if flow.shape not in (ROUTED4, ROUTED6):
            yield flow


def without_questions(flows: Iterable[Flow]) -> Iterator[Flow]:
    """What a port asks its network goes where any packet goes."""
    return (flow for flow in flows if flow.shape not in ASKED)


def with_questions_of_others(flows: Iterable[Flow]) -> Iterator[Flow]:
    """A port asks for whom it likes."""
    return _without(flows, ASKED, f.ETH_SRC)


PEERING_MUTANTS: tuple[Mutant, ...] = (without_exports, without_peered_tenants)
"""Those that random packets seldom hit: between two exported addresses, of two tenants."""
MUTANTS: tuple[Mutant, ...] = (
    without_spoof_guard,
    without_vni_match,
    without_source_check,
    without_l3vni_match,
    without_l3vni_source_check,
    without_router_mac,
    without_tenants,
    without_ttl,
    without_gateway_guard,
    with_all_expired,
    without_questions,
    with_questions_of_others,
)


def _without(flows: Iterable[Flow], shapes: tuple[Shape, ...], *fields: Field) -> Iterator[Flow]:
    for flow in flows:
        if flow.shape in shapes:
            match = tuple(m for m in flow.shape.match if m.field not in fields)
            yield replace(flow, shape=replace(flow.shape, name=f"{flow.shape.name}-open", match=match))
        else:
            yield flow
