"""Ways: by which device, and with which MTU, packets to a VTEP leave this host, as the kernel routes them.

Place: asked by the agent's comparison of MTUs, on a thread of its own. The userspace data path of Open
vSwitch follows the kernel's routes, too. Must not change a route.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from typing import Final

from controller.southbound.netlink.kernel import Kernel, attribute, attributes
from model.addresses import Address
from model.errors import Fault, Unavailable
from model.underlay import Way

_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changed
_ROUTE: Final = struct.Struct("=BBBBBBBBI")  # rtmsg: family, lengths of destination and source, and so on
_NUMBER: Final = struct.Struct("=I")
_GETLINK, _GETROUTE = 18, 26
_IFNAME, _MTU = 3, 4
_DST, _OIF, _METRICS, _METRIC_MTU = 1, 4, 8, 2
_NAME_SIZE: Final = 16
"""IFNAMSIZ, with the octet that ends it."""


def observe(vteps: Iterable[Address]) -> tuple[Way, ...]:
    """In the network namespace of the caller; VTEPs without a route are left out. Unavailable if refused.

    Costs a question to the kernel for each, about 0.2 ms. Of several equal routes it is the one that the
    kernel would take now.
    """
    found: list[Way] = []
    devices: dict[int, tuple[str, int]] = {}
    try:
        with Kernel() as kernel:
            for vtep in vteps:
                route = _route(kernel, vtep)
                if _OIF not in route:
                    continue
                (index,) = _NUMBER.unpack(route[_OIF])
                if index not in devices:
                    devices[index] = _device(kernel, index, b"")
                name, mtu = devices[index]
                found.append(Way(vtep, name, min(mtu, _of_route(route) or mtu)))
    except OSError as error:
        raise _unavailable(error) from error
    return tuple(found)


def glance(devices: Iterable[str]) -> dict[str, int]:
    """The MTUs of devices; one that is gone is left out. Unavailable if refused."""
    found: dict[str, int] = {}
    try:
        with Kernel() as kernel:
            for name in sorted(devices):
                try:
                    found[name] = _device(kernel, 0, os.fsencode(name))[1]
                except OSError as error:
                    if error.errno != errno.ENODEV:
                        raise
    except OSError as error:
        raise _unavailable(error) from error
    return found


def _route(kernel: Kernel, vtep: Address) -> dict[int, bytes]:
    """What the kernel says of its route; empty: there is none (ENETUNREACH and the like)."""
    family = socket.AF_INET if vtep.version == 4 else socket.AF_INET6
    head = _ROUTE.pack(family, vtep.max_prefixlen, 0, 0, 0, 0, 0, 0, 0)
    try:
        answer = kernel.ask(_GETROUTE, head + attribute(_DST, vtep.packed))
    except TimeoutError:
        raise
    except OSError:
        return {}
    return attributes(answer[_ROUTE.size :])


def _device(kernel: Kernel, index: int, name: bytes) -> tuple[str, int]:
    """Name and MTU of a device, by its index or its name."""
    if len(name) >= _NAME_SIZE:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
    named = attribute(_IFNAME, name + b"\0") if name else b""
    answer = kernel.ask(_GETLINK, _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + named)
    said = attributes(answer[_LINK.size :])
    return os.fsdecode(said[_IFNAME].rstrip(b"\0")), _NUMBER.unpack(said[_MTU])[0]


def _of_route(route: dict[int, bytes]) -> int:
    """What the route says, or path MTU discovery has found on it; 0 if neither."""
    metric = attributes(route.get(_METRICS, b"")).get(_METRIC_MTU)
    return 0 if metric is None else int(_NUMBER.unpack(metric)[0])


def _unavailable(error: Exception) -> Unavailable:
    return Unavailable(
        Fault(
            "underlay",
            "routes-unavailable",
            f"the kernel does not say how VTEPs are reached: {error}",
            "look at `ip route get VTEP` on this host",
        )
    )
