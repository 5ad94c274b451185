"""Guard: a port speaks only as itself: own MAC, own addresses, in Ethernet, ARP, IPv4 and IPv6.

Place: table guard, frames of local ports only. What it refuses is counted per port. A port may ask whether
its own address is free (RFC 5227 probes, RFC 4862 duplicate address detection), and no other.
"""

from __future__ import annotations

from model.addresses import Prefix
from model.flow import Flow
from pipelines import cookies
from pipelines.shapes.entry import (
    DHCP,
    GUARD_ARP,
    GUARD_DAD,
    GUARD_IPV4,
    GUARD_IPV6,
    GUARD_PROBE,
    GUARD_REFUSED,
)
from pipelines.shapes.prefixes import FORWARDED4, FORWARDED6
from pipelines.views import HostView, PortView


def host(_: HostView) -> tuple[Flow, ...]:
    """Nobody but the operator serves DHCP."""
    return tuple(Flow(shape, cookies.host()) for shape in DHCP)


def port(view: PortView) -> tuple[Flow, ...]:
    """The identities that the port may use, and the count of all others."""
    cookie = cookies.port(view.key)
    made = [Flow(GUARD_REFUSED, cookie, (view.key,))]
    for address in view.addresses:
        shapes = (GUARD_ARP, GUARD_PROBE, GUARD_IPV4) if address.version == 4 else (GUARD_IPV6, GUARD_DAD)
        made += [Flow(shape, cookie, (view.key, view.mac, int(address))) for shape in shapes]
    return (*made, *(_forwarded(view, prefix) for prefix in view.forwards))


def _forwarded(view: PortView, prefix: Prefix) -> Flow:
    """A next hop sends what others have sent it, out of the prefix that is routed to it."""
    exact, within = FORWARDED4 if prefix.version == 4 else FORWARDED6
    head = (view.key, view.mac, int(prefix.network_address))
    if prefix.prefixlen == prefix.max_prefixlen:
        return Flow(exact, cookies.port(view.key), head)
    return Flow(within, cookies.port(view.key), (*head, int(prefix.netmask)))
