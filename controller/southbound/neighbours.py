"""What the userspace data path knows of its neighbours, as ovs-vswitchd says over its control socket.

Place: beside `unixctl`, for `controller.agent.resolving`. Must not set or forget a neighbour. That data path
resolves the next hops of tunnels by itself, from ARP and ND that pass; the kernel's neighbours are others.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from controller.southbound import unixctl
from model.addresses import Address
from model.errors import Invalid

_ROW: Final = re.compile(r"^(\S+) +(?:[0-9a-f]{2}:){5}[0-9a-f]{2} +\S+$", re.MULTILINE)
"""A row that has gone stale ends otherwise: it is not used any more."""
_GATEWAY: Final = re.compile(r"^gateway (\S+)$", re.MULTILINE)


def resolved(rundir: Path) -> frozenset[Address]:
    """The addresses of which a MAC is known."""
    return read(unixctl.call(rundir, "tnl/neigh/show"))


def read(table: str) -> frozenset[Address]:
    """The same, of what `tnl/neigh/show` prints."""
    return frozenset(ip_address(found) for found in _ROW.findall(table))


def next_hop(rundir: Path, vtep: Address) -> Address | None:
    """Whose MAC a tunnel to `vtep` needs: its own, or a gateway's. None without a route to it."""
    try:
        answer = unixctl.call(rundir, "ovs/route/lookup", str(vtep))
    except Invalid:
        return None
    found = _GATEWAY.search(answer)
    gateway = None if found is None else ip_address(found[1])
    return vtep if gateway is None or gateway.is_unspecified else gateway
