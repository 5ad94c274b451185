"""Wires: a pair of interfaces, one end here, the other in a network namespace that nothing else is in.

Place: `ringfenced services` has one laid to answer ports through. The namespace, and with it the wire, lasts
as long as the sockets that were opened in it, so nothing is left of a process that was killed. Must not lead
from one end to the other: inside there is one way out, and no address of the host.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Generic, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from model.addresses import Address, format_mac
from model.errors import Fault, Unavailable
from model.ids import Mac

_NEW_NETWORK: Final = 0x40000000
"""CLONE_NEWNET of unshare(2)."""
_INSIDE: Final = "answers"
_VIA: Final = {4: "169.254.0.1", 6: "fe80::1"}
"""Next hops of all that leaves the namespace: nobody has them, and their MAC is written down."""
_ALL: Final = {4: "0.0.0.0/0", 6: "::/0"}
_NO_DETECTION: Final = 0x02
"""IFA_F_NODAD: nobody else is on the wire."""
_PERMANENT: Final = 0x80
_ONLINK: Final = 4
_SIOCETHTOOL: Final = 0x8946
_SET_TX_CHECKSUMS: Final = 0x17
_DEFAULTS: Final = Path("/proc/sys/net/ipv6/conf/default")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wire:
    """`name`: of the end on this host. `mac` and `addresses` are the other end's, which sends all to
    `neighbour`."""

    name: str
    mac: Mac
    neighbour: Mac
    addresses: tuple[Address, ...]


def lay(wire: Wire, within: Callable[[], T]) -> T:
    """Lay it, and return what `within` makes inside: sockets, by which the namespace lives.

    What is left of that name from an earlier life is taken away first. Raises Unavailable if the kernel
    refuses.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        cut(wire.name)
        # A thread may leave its namespace alone, and ends there.
        away = _Away(lambda: _lay(wire, home, within))
        away.start()
        away.join()
        made = away.made()
        with IPRoute() as netlink:
            _quiet(wire.name)
            netlink.link("set", index=_index(netlink, wire.name), state="up")
        return made
    except (OSError, NetlinkError) as error:
        raise _unavailable(wire.name, str(error)) from error
    finally:
        os.close(home)


def cut(name: str) -> None:
    """Take it away; with one end goes the other. Nothing if there is none."""
    try:
        with IPRoute() as netlink:
            for index in netlink.link_lookup(ifname=name):
                netlink.link("del", index=index)
    except (OSError, NetlinkError) as error:
        raise _unavailable(name, str(error)) from error


def is_laid(name: str) -> bool:
    """Whether the end on this host is there."""
    try:
        with IPRoute() as netlink:
            return bool(netlink.link_lookup(ifname=name))
    except (OSError, NetlinkError) as error:
        raise _unavailable(name, str(error)) from error


class _Away(threading.Thread, Generic[T]):
    """Does one thing in a network namespace of its own."""

    def __init__(self, work: Callable[[], T]) -> None:
        super().__init__(name="wire", daemon=True)
        self._work = work
        self._made: list[T] = []
        self._failed: BaseException | None = None

    def run(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.unshare(_NEW_NETWORK):
                raise OSError(ctypes.get_errno(), f"no namespace: {os.strerror(ctypes.get_errno())}")
            self._made.append(self._work())
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            self._failed = error

    def made(self) -> T:
        if self._failed is not None:
            raise self._failed
        return self._made[0]


def _lay(wire: Wire, home: int, within: Callable[[], T]) -> T:
    for setting, value in (("accept_ra", "0"), ("addr_gen_mode", "1")):
        # Only to be quieter: what nobody asked for ends in the pipeline.
        with suppress(OSError):
            (_DEFAULTS / setting).write_text(value)
    with IPRoute() as netlink:
        netlink.link(
            "add",
            ifname=_INSIDE,
            kind="veth",
            address=format_mac(wire.mac),
            peer={"ifname": wire.name, "net_ns_fd": home},
        )
        _quiet(_INSIDE)
        index = _index(netlink, _INSIDE)
        netlink.link("set", index=index, state="up")
        for address in wire.addresses:
            flags = {"flags": _NO_DETECTION} if address.version == 6 else {}
            netlink.addr("add", index=index, address=str(address), prefixlen=address.max_prefixlen, **flags)
        for version in sorted({address.version for address in wire.addresses}):
            via = _VIA[version]
            netlink.neigh("add", dst=via, lladdr=format_mac(wire.neighbour), ifindex=index, state=_PERMANENT)
            netlink.route("add", dst=_ALL[version], gateway=via, oif=index, flags=_ONLINK)
    return within()


def _index(netlink: IPRoute, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    if not found:
        raise OSError(f"the kernel has no interface {name}")
    return int(found[0])


def _quiet(name: str) -> None:
    """Have the kernel write its checksums itself: Open vSwitch's userspace data path would not."""
    value = struct.pack("II", _SET_TX_CHECKSUMS, 0)
    buffer = ctypes.create_string_buffer(value, len(value))
    request = struct.pack("16sP", name.encode(), ctypes.addressof(buffer))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCETHTOOL, request)


def _unavailable(name: str, why: str) -> Unavailable:
    return Unavailable(
        Fault(
            f"interface {name}",
            "wire-unavailable",
            f"it cannot be laid: {why}",
            "ringfenced services needs CAP_NET_ADMIN and CAP_SYS_ADMIN on this host.",
        )
    )
