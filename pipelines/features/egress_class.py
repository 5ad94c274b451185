"""Egress class: for which destination is this frame billed?

Place: table class. The network's own subnets come first, whatever is declared: such traffic never leaves it.
Group frames, ARP and link-local destinations never leave it either. Relations stand above the prefixes where
the VRF tells them, since tenants choose their addresses freely (docs/decisions/0043).
"""

from __future__ import annotations

from collections.abc import Iterator

from model.addresses import Prefix
from model.classes import NOT_PUBLIC, PUBLIC
from model.flow import Flow, Shape
from model.ids import EVERYTHING_ELSE, SAME_NETWORK, ClassId
from pipelines import cookies
from pipelines.shapes.paths import (
    CLASS_ARP,
    CLASS_DECLARED,
    CLASS_GROUP,
    CLASS_LINK4,
    CLASS_LINK6,
    CLASS_PEERED,
    CLASS_SUBNET,
    CLASS_TENANT,
)
from pipelines.shapes.terms import (
    AT_NOT_PUBLIC,
    AT_PUBLIC,
    DECLARED_PREFIXES,
    NETWORK_PREFIXES,
    TENANT_PREFIXES,
)
from pipelines.views import ClassView, HostView, NetworkView, PeeringView, SubnetsView


def host(_: HostView) -> tuple[Flow, ...]:
    """What stays in its network whatever the network."""
    return tuple(Flow(s, cookies.host()) for s in (CLASS_GROUP, CLASS_ARP, CLASS_LINK4, CLASS_LINK6))


def network(view: NetworkView) -> tuple[Flow, ...]:
    """The subnets of a network, for its own ports."""
    key = view.network.key
    return tuple(
        _prefix(CLASS_SUBNET, cookies.network(key), NETWORK_PREFIXES, SAME_NETWORK, (key,), prefix)
        for prefix in view.network.subnets
    )


def egress_class(view: ClassView) -> tuple[Flow, ...]:
    """The prefixes of a declared class, for every port; the longest wins. The internet is what is left."""
    return declared(view, CLASS_DECLARED)


def declared(view: ClassView, shapes: tuple[Shape, ...]) -> tuple[Flow, ...]:
    """The same by `shapes`, as `pipelines.shapes.paths` orders them: of destinations, or of sources."""
    cookie = cookies.host(cls=view.id)
    own = (_prefix(shapes, cookie, DECLARED_PREFIXES, view.id, (), prefix) for prefix in view.prefixes)
    return (*own, *(_internet(shapes, cookie, view.id) if view.internet else ()))


def _internet(shapes: tuple[Shape, ...], cookie: int, cls: ClassId) -> Iterator[Flow]:
    yield from (_at(shapes, cookie, AT_PUBLIC, cls, (), prefix) for prefix in PUBLIC)
    yield from (_at(shapes, cookie, AT_NOT_PUBLIC, EVERYTHING_ELSE, (), p) for p in NOT_PUBLIC)


def subnets(view: SubnetsView) -> tuple[Flow, ...]:
    """The subnets of a network, for the ports of all routed networks of its tenant."""
    if view.cls is None:
        return ()
    cookie, scope = cookies.vrf(view.vrf), (view.vrf,)
    return tuple(
        _prefix(CLASS_TENANT, cookie, TENANT_PREFIXES, view.cls, scope, prefix)
        for prefix in view.network.subnets
    )


def peering(view: PeeringView) -> tuple[Flow, ...]:
    """All that crosses a peering."""
    return () if view.cls is None else (Flow(CLASS_PEERED, cookies.vrf(view.vrf), (view.vrf, view.cls)),)


def _prefix(
    shapes: tuple[Shape, ...], cookie: int, base: int, cls: ClassId, scope: tuple[int, ...], prefix: Prefix
) -> Flow:
    return _at(shapes, cookie, base + prefix.prefixlen, cls, scope, prefix)


def _at(
    shapes: tuple[Shape, ...], cookie: int, height: int, cls: ClassId, scope: tuple[int, ...], prefix: Prefix
) -> Flow:
    """`shapes` as `pipelines.shapes._prefixes` orders them: masked, exact and any, of IPv4 then IPv6."""
    masked, exact, anything = shapes[:3] if prefix.version == 4 else shapes[3:]
    head = (height, cls, *scope)
    if prefix.prefixlen == 0:
        return Flow(anything, cookie, head)
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, (*head, int(prefix.network_address)))
    return Flow(masked, cookie, (*head, int(prefix.network_address), int(prefix.netmask)))
