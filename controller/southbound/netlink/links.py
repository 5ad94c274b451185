"""Links: set the host side of a workload's interface up or down.

Place: called by the agent's loop; down stops a port's traffic before its counters are read for the last time,
without any change of flows. Must not touch interfaces by guess: names come from OVS rows with our iface-id.

Set by name (RTM_NEWLINK, rtnetlink(7)): nothing is made, as NLM_F_CREATE is not set.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from enum import Enum
from typing import Final

from controller.southbound.netlink.kernel import Kernel, attribute
from model.errors import Fault, Unavailable

_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changed
_NEWLINK, _IFNAME = 16, 3
_IFF_UP: Final = 1
_NAME_SIZE: Final = 16
"""IFNAMSIZ, with the octet that ends it. Open vSwitch allows longer names; those have no kernel device."""
_ABSENT: Final = "the kernel has no such interface"


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
        with Kernel() as kernel:
            for name in wanted:
                if refusal := _set(kernel, os.fsencode(name), state):
                    failed[name] = _unavailable(name, refusal)
    except OSError as error:
        done = {name: _unavailable(name, str(error)) for name in wanted}
        return done | failed
    return failed


def _set(kernel: Kernel, name: bytes, state: Link) -> str:
    """Why the kernel refuses; empty if it does not."""
    if not 0 < len(name) < _NAME_SIZE or b"\0" in name:
        return _ABSENT
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, _IFF_UP if state is Link.UP else 0, _IFF_UP)
    try:
        kernel.order(_NEWLINK, body + attribute(_IFNAME, name + b"\0"))
    except TimeoutError:
        raise
    except OSError as error:
        return _ABSENT if error.errno == errno.ENODEV else str(error.strerror)
    return ""


def _unavailable(name: str, why: str) -> Unavailable:
    return Unavailable(
        Fault(
            f"interface {name}",
            "link-unavailable",
            f"its state cannot be set: {why}",
            "look at `ip link show` on this host",
        )
    )
