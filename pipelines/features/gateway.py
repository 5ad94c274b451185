"""Gateway: every host is the router of its ports' networks, under one MAC and the same addresses.

Place: table gateway. Echo requests are answered from the flow, for every gateway address of the tenant; a
packet whose TTL is used up goes to the agent, which may tell its sender, at a rate of its own (docs/packet-
walks.md has the contract); what is to be routed goes on. Must not route to or from a group or link-local
address.
"""

from __future__ import annotations

from model.addresses import Address
from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.routes import (
    ECHO4,
    ECHO6,
    EXPIRED4,
    EXPIRED6,
    EXPIRED_TTLS,
    NEVER_ROUTED,
    OWN4,
    OWN6,
    ROUTED4,
    ROUTED6,
    WATCH_OWN4,
    WATCH_OWN6,
)
from pipelines.views import HostView, SubnetsView, VrfView


def host(_: HostView) -> tuple[Flow, ...]:
    """Destinations and sources that no router forwards."""
    return tuple(Flow(shape, cookies.host()) for shape in NEVER_ROUTED)


def vrf(view: VrfView) -> tuple[Flow, ...]:
    """What is the same for all networks of a tenant."""
    expired = tuple(
        Flow(shape, cookies.told(view.vrf, cookies.Reason.TTL), (view.vrf, ttl))
        for shape in (EXPIRED4, EXPIRED6)
        for ttl in EXPIRED_TTLS
    )
    routed = tuple(Flow(shape, cookies.vrf(view.vrf), (view.vrf,)) for shape in (ROUTED4, ROUTED6))
    return (*_own(view.vrf, cookies.vrf(view.vrf), view.link), *expired, *routed)


def subnets(view: SubnetsView) -> tuple[Flow, ...]:
    """The addresses of a network's gateway, for the ports of all routed networks of the tenant."""
    cookie = cookies.network(view.network.key)
    return tuple(flow for address in view.gateways for flow in _own(view.vrf, cookie, address))


def _own(vrf: int, cookie: int, address: Address) -> tuple[Flow, ...]:
    """Echo requests are answered, all else ends here: no policy is asked before."""
    shapes = (WATCH_OWN4, ECHO4, OWN4) if address.version == 4 else (WATCH_OWN6, ECHO6, OWN6)
    return tuple(Flow(shape, cookie, (vrf, int(address))) for shape in shapes)
