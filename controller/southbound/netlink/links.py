"""Links: set the host side of a workload's interface up or down.

Place: called by the agent's loop; down stops a port's traffic before its counters are read for the last time,
without any change of flows. Must not touch interfaces by guess: names come from OVS rows with our iface-id.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from model.errors import Fault, Unavailable


class Link(Enum):
    """Administrative state of an interface (IFF_UP)."""

    UP = "up"
    DOWN = "down"


def set_links(names: Iterable[str], state: Link) -> dict[str, Unavailable]:
    """Set interfaces of this network namespace; those that could not be set, with the reason.

    An interface without a kernel device (vhost-user) is the usual reason for there being none.
    """
    failed: dict[str, Unavailable] = {}
    wanted = tuple(names)
    try:
        with IPRoute() as netlink:
            for name in wanted:
                try:
                    found = netlink.link_lookup(ifname=name)
                    if found:
                        netlink.link("set", index=found[0], state=state.value)
                    else:
                        failed[name] = _unavailable(name, "the kernel has no such interface")
                except NetlinkError as error:
                    failed[name] = _unavailable(name, str(error))
    except OSError as error:
        done = {name: _unavailable(name, str(error)) for name in wanted}
        return done | failed
    return failed


def _unavailable(name: str, why: str) -> Unavailable:
    return Unavailable(
        Fault(
            f"interface {name}",
            "link-unavailable",
            f"its state cannot be set: {why}",
            "look at `ip link show` on this host",
        )
    )
