"""Ways: by which device, and with which MTU, packets to a VTEP leave this host, as the kernel routes them.

Place: asked by the agent's comparison of MTUs, on a thread of its own. The userspace data path of Open
vSwitch follows the kernel's routes, too. Must not change a route.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from model.addresses import Address
from model.errors import Fault, Unavailable
from model.underlay import Way


def observe(vteps: Iterable[Address]) -> tuple[Way, ...]:
    """In the network namespace of the caller; VTEPs without a route are left out. Unavailable if refused.

    Costs a question to the kernel for each, about 0.2 ms. Of several equal routes it is the one that the
    kernel would take now.
    """
    found: list[Way] = []
    devices: dict[int, tuple[str, int]] = {}
    try:
        with IPRoute() as netlink:
            for vtep in vteps:
                route = _route(netlink, vtep)
                index = None if route is None else route.get_attr("RTA_OIF")
                if route is None or index is None:
                    continue
                if index not in devices:
                    devices[index] = _device(netlink, index)
                name, mtu = devices[index]
                found.append(Way(vtep, name, min(mtu, _of_route(route) or mtu)))
    except (OSError, NetlinkError) as error:
        raise _unavailable(error) from error
    return tuple(found)


def glance(devices: Iterable[str]) -> dict[str, int]:
    """The MTUs of devices; one that is gone is left out. Unavailable if refused."""
    found: dict[str, int] = {}
    try:
        with IPRoute() as netlink:
            for name in sorted(devices):
                for index in netlink.link_lookup(ifname=name):
                    found[name] = _device(netlink, index)[1]
    except (OSError, NetlinkError) as error:
        raise _unavailable(error) from error
    return found


def _route(netlink: IPRoute, vtep: Address) -> Any:
    """None: there is none (ENETUNREACH and the like)."""
    try:
        answers = netlink.route("get", dst=str(vtep))
    except NetlinkError:
        return None
    return answers[0] if answers else None


def _device(netlink: IPRoute, index: int) -> tuple[str, int]:
    link = netlink.get_links(index)[0]
    return link.get_attr("IFLA_IFNAME"), link.get_attr("IFLA_MTU")


def _of_route(route: Any) -> int:
    """What the route says, or path MTU discovery has found on it; 0 if neither."""
    metrics = route.get_attr("RTA_METRICS")
    return 0 if metrics is None else metrics.get_attr("RTAX_MTU") or 0


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        Fault(
            "underlay",
            "routes-unavailable",
            f"the kernel does not say how VTEPs are reached: {error}",
            "look at `ip route get VTEP` on this host",
        )
    )
