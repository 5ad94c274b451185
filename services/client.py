"""Clients: all that an answer to a port may depend on, made once when the snapshot changes.

Place: the second argument of `services.answer`. Must not hold anything of other ports.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final
from uuid import UUID

from model.addresses import gateway, is_single
from model.guidance import USUAL, Guidance
from model.ids import Mac
from model.intent import Network, Port
from model.serving import RESOLVERS, SERVED
from services.names import plain, wire
from services.served import fill_in

METADATA4: Final = IPv4Address("169.254.169.254")
"""Where instances ask for their metadata; in a network without a gateway also what its DHCP server is called:
no port can have it, so that nobody else is ever taken for the server."""
_UUID_DUID: Final = b"\0\x04"
"""RFC 6355 section 4."""
_DEFAULT: Final = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Four:
    """Its IPv4. `addresses`: its own in `subnet`, in order, maybe none. `server` is what DHCP calls itself.

    `router` None: the network has no gateway. `routes`: all of RFC 3442, longest first: the default route
    too, since clients that take them leave the option Router out. A next hop of 0.0.0.0 is on the link.
    """

    subnet: IPv4Network
    addresses: tuple[IPv4Address, ...]
    server: IPv4Address
    router: IPv4Address | None
    resolvers: tuple[IPv4Address, ...]
    routes: tuple[tuple[IPv4Network, IPv4Address], ...]


@dataclass(frozen=True, slots=True)
class Six:
    """Its IPv6. `duid`: the server's, the same on all hosts. `routed`: the advertiser is a default router.
    `beside`: addresses that are on the link without being in the subnet."""

    subnet: IPv6Network
    addresses: tuple[IPv6Address, ...]
    duid: bytes
    routed: bool
    resolvers: tuple[IPv6Address, ...]
    beside: tuple[IPv6Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Client:
    """`domain` as text, "" = none; `search`: domains as octets (RFC 1035 section 3.1), the domain first."""

    mac: Mac
    host_name: str
    mtu: int
    lease: int
    answers: bool
    domain: str
    search: tuple[bytes, ...]
    four: Four | None
    six: Six | None


def make_client(network: Network, port: Port, said: Guidance = USUAL, zone: str = "") -> Client:
    """`said` by the network. `zone`: of the port's tenant, "" = names are not served here. ValueError for a
    name that is none; manifests are checked before."""
    guidance = fill_in(said, zone)
    domains = dict.fromkeys(wire(name) for name in (guidance.domain, *guidance.search) if name)
    return Client(
        mac=port.mac,
        host_name=port.name,
        mtu=network.mtu,
        lease=guidance.lease,
        answers=guidance.answers,
        domain=plain(guidance.domain) if guidance.domain else "",
        search=tuple(domains),
        four=next(
            (_four(network, s, port, guidance) for s in network.subnets if isinstance(s, IPv4Network)), None
        ),
        six=next(
            (_six(network, s, port, guidance) for s in network.subnets if isinstance(s, IPv6Network)), None
        ),
    )


def _four(network: Network, subnet: IPv4Network, port: Port, guidance: Guidance) -> Four:
    own = (a for a in port.addresses if isinstance(a, IPv4Address) and a in subnet and is_single(4, int(a)))
    first = gateway(subnet)
    router = first if network.routed and isinstance(first, IPv4Address) else None
    on_link = IPv4Address(0)
    routes = {
        prefix: hop
        for prefix, hop in guidance.routes
        if isinstance(prefix, IPv4Network) and isinstance(hop, IPv4Address)
    }
    resolvers = tuple(a for a in guidance.resolvers if isinstance(a, IPv4Address))
    # Guests may have a route of their own to all that is link-local; without a gateway they have no other.
    for served in (METADATA4, *(a for a in resolvers if a in RESOLVERS)):
        routes.setdefault(IPv4Network(served), router or on_link)
    if router is not None:
        routes.setdefault(_DEFAULT, router)
    return Four(
        subnet=subnet,
        addresses=tuple(own),
        server=router or METADATA4,
        router=router,
        resolvers=resolvers,
        routes=tuple(sorted(routes.items(), key=lambda route: (-route[0].prefixlen, int(route[0][0])))),
    )


def _six(network: Network, subnet: IPv6Network, port: Port, guidance: Guidance) -> Six:
    own = (a for a in port.addresses if isinstance(a, IPv6Address) and a in subnet and is_single(6, int(a)))
    resolvers = tuple(a for a in guidance.resolvers if isinstance(a, IPv6Address))
    alone = not network.routed and any(a in RESOLVERS for a in resolvers)
    return Six(
        subnet=subnet,
        addresses=tuple(own),
        duid=_UUID_DUID + UUID(network.uid).bytes,
        routed=network.routed,
        resolvers=resolvers,
        beside=tuple(a for a in SERVED if isinstance(a, IPv6Address)) if alone else (),
    )
