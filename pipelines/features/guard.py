"""Guard: a port speaks only as itself: own MAC, own addresses, in Ethernet, ARP, IPv4 and IPv6.

Place: table guard, frames of local ports only. What it refuses is counted per port. A port may ask whether
its own address is free (RFC 5227 probes, RFC 4862 duplicate address detection), and no other.
"""

from __future__ import annotations

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
    return tuple(made)
