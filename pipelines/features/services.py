"""Services: ARP and neighbour discovery are answered from flows for every known address of the network.

Place: tables services and advertise. Never answers a port about its own addresses, which would look like a
duplicate (RFC 5227 section 2.1.1, RFC 4862 section 5.4). Unknown targets are counted and dropped.
"""

from __future__ import annotations

from model.addresses import GATEWAY_MAC, Address
from model.flow import Flow, Shape
from pipelines import cookies
from pipelines.shapes.answers import (
    ARP_GATEWAY,
    ARP_LOCAL,
    ARP_OWN,
    ARP_REMOTE,
    ARP_REPLIES,
    ARP_UNKNOWN,
    ND_GATEWAY,
    ND_LOCAL,
    ND_OWN,
    ND_PLAIN,
    ND_REMOTE,
    ND_TURN,
    SERVICES_IPV4,
    SERVICES_IPV6,
)
from pipelines.views import HostView, NetworkView, PortView, RemoteView


def host(_: HostView) -> tuple[Flow, ...]:
    """What is the same for everybody."""
    shapes = (ARP_UNKNOWN, ARP_REPLIES, ND_PLAIN, ND_TURN, SERVICES_IPV4, SERVICES_IPV6)
    return tuple(Flow(shape, cookies.host()) for shape in shapes)


def network(view: NetworkView) -> tuple[Flow, ...]:
    """Answers for the network's gateway, the same on every host."""
    key = view.network.key
    return tuple(
        Flow(
            ARP_GATEWAY if address.version == 4 else ND_GATEWAY,
            cookies.network(key),
            (key, int(address), GATEWAY_MAC),
        )
        for address in view.gateways
    )


def port(view: PortView) -> tuple[Flow, ...]:
    """Answers for a local port's addresses to all others, and silence to the port itself."""
    cookie = cookies.port(view.key)
    made = []
    for address in view.addresses:
        answer, own = (ARP_LOCAL, ARP_OWN) if address.version == 4 else (ND_LOCAL, ND_OWN)
        made.append(Flow(own, cookie, (view.key, int(address))))
        made.append(_answer(answer, cookie, view, address))
    return tuple(made)


def remote(view: RemoteView) -> tuple[Flow, ...]:
    """Answers for the addresses of a MAC behind a tunnel."""
    cookie = cookies.remote(view.network, view.mac)
    return tuple(
        _answer(ARP_REMOTE if address.version == 4 else ND_REMOTE, cookie, view, address)
        for address in view.addresses
    )


def _answer(shape: Shape, cookie: int, view: PortView | RemoteView, address: Address) -> Flow:
    return Flow(shape, cookie, (view.network, int(address), view.mac))
