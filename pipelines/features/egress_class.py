"""Egress class: for which destination is this frame billed?

Place: table class. The network's own subnets come first, whatever is declared: such traffic never leaves it.
Group frames, ARP and link-local destinations never leave it either.
"""

from __future__ import annotations

from model.addresses import Prefix
from model.flow import Flow, Shape
from model.ids import SAME_NETWORK, ClassId
from pipelines import cookies
from pipelines.shapes.paths import (
    CLASS_ARP,
    CLASS_DECLARED,
    CLASS_GROUP,
    CLASS_LINK4,
    CLASS_LINK6,
    CLASS_SUBNET,
)
from pipelines.shapes.terms import DECLARED_PREFIXES, NETWORK_PREFIXES
from pipelines.views import ClassView, HostView, NetworkView


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
    """The prefixes of a declared class, for every port; the longest wins."""
    cookie = cookies.host(cls=view.egress.id)
    return tuple(
        _prefix(CLASS_DECLARED, cookie, DECLARED_PREFIXES, view.egress.id, (), prefix)
        for prefix in view.egress.prefixes
    )


def _prefix(
    shapes: tuple[Shape, ...], cookie: int, base: int, cls: ClassId, scope: tuple[int, ...], prefix: Prefix
) -> Flow:
    """`shapes` as `pipelines.shapes._prefixes` orders them: masked, exact and any, of IPv4 then IPv6."""
    masked, exact, anything = shapes[:3] if prefix.version == 4 else shapes[3:]
    head = (base + prefix.prefixlen, cls, *scope)
    if prefix.prefixlen == 0:
        return Flow(anything, cookie, head)
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookie, (*head, int(prefix.network_address)))
    return Flow(masked, cookie, (*head, int(prefix.network_address), int(prefix.netmask)))
