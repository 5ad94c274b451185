"""Links: set the host side of a workload's interface up or down.

Place: called by the agent's loop; down stops a port's traffic before its counters are read for the last time,
without any change of flows. Must not touch interfaces by guess: names come from OVS rows with our iface-id.
"""

from __future__ import annotations

from enum import Enum

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from model.errors import Fault, Unavailable


class Link(Enum):
    """Administrative state of an interface (IFF_UP)."""

    UP = "up"
    DOWN = "down"


def set_link(name: str, state: Link) -> None:
    """Set one interface of this network namespace. Unavailable if there is none or the kernel refuses.

    An interface without a kernel device (vhost-user) is the usual reason for there being none.
    """
    try:
        with IPRoute() as netlink:
            found = netlink.link_lookup(ifname=name)
            if not found:
                raise _unavailable(name, "the kernel has no such interface")
            netlink.link("set", index=found[0], state=state.value)
    except (NetlinkError, OSError) as error:
        raise _unavailable(name, str(error)) from error


def _unavailable(name: str, why: str) -> Unavailable:
    return Unavailable(
        Fault(
            f"interface {name}",
            "link-unavailable",
            f"its state cannot be set: {why}",
            "look at `ip link show` on this host",
        )
    )
