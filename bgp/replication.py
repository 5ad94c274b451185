"""Replication: under which address a host is named where replicated frames are asked for (RT-3).

Place: said by `bgp.originate`, compared by `bgp.guard`. Frames go to the VTEP that the next hop stands for,
never to an address that is read here (docs/decisions/0025).
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from model.addresses import Address
from model.intent import Hypervisor

_NOBODY: Final = IPv4Address(0)


def endpoint(host: Hypervisor) -> Address:
    """The originator of its RT-3 (RFC 7432 section 7.3) and the identifier of its ingress replication tunnel
    (RFC 6514 section 5): its VTEP; if that has an IPv6 address, its router id. At 16 octets in either place
    FRR 8.4 ends the session, and with it all that it reflects.
    """
    return host.vtep if host.vtep.version == 4 else IPv4Address(host.router_id)


def is_own(host: Hypervisor, said: Address | None) -> bool:
    """Whether a tunnel's identifier names the host itself: as `endpoint`, or by its VTEP of either family.
    FRR 8.4 passes on 0.0.0.0 for every host without an IPv4 next hop: that names nobody.
    """
    if said == host.vtep:
        return True
    return host.vtep.version == 6 and said in (endpoint(host), _NOBODY)
