"""Kernel: the four ways in which devices of this host are told something, and what they answer.

Place: effects under `reading` and `carrying`, which get it handed in. Writes files of sysfs that exist, and
never makes one. Must not decide anything.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from ipam.devices import links
from ipam.devices.bounded import Bounded
from ipam.devices.links import VfLink
from ipam.devices.tree import Tree

ROOT: Final = Path("/sys")
_TIMEOUT: Final = 10.0
"""Seconds: firmware of a NIC may take some for a VF."""
_ACK: Final = struct.Struct("=IHHIIi")  # nlmsghdr and nlmsgerr.error (rtnetlink(7))
_ERROR: Final = 2
_BUFFER: Final = 1 << 16


class Kernel(Protocol):
    """Each raises OSError with what the kernel said. Paths are relative to `root`, which is /sys."""

    @property
    def root(self) -> Path: ...

    def write(self, path: str, text: str) -> None:
        """A file of sysfs; it may take as long as the driver does."""

    def drive(self, address: str, path: str, text: str) -> None:
        """As `write`, of a file that gives the device at `address` to a driver, or takes it away: EBUSY if it
        takes too long, and from then on until it is done."""

    def override(self, address: str) -> str:
        """The device's driver_override, as it is read; "" if it has none. EBUSY as above."""

    def send(self, message: bytes) -> None:
        """An rtnetlink request, and wait for its acknowledgement."""

    def links(self, netdev: str) -> tuple[VfLink, ...]:
        """The VFs of a PF as `links.observe`."""

    def mode(self, address: str) -> str:
        """Mode of a PF's switch, "" if it has none."""

    def set_mode(self, address: str, mode: str) -> None:
        """Change it."""


@dataclass(frozen=True, slots=True)
class Host:
    """This host's kernel; netlink speaks to this network namespace."""

    root: Path = ROOT
    bounded: Bounded = field(default_factory=Bounded, compare=False)

    def write(self, path: str, text: str) -> None:
        handle = os.open(self.root / path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(handle, text.encode("ascii"))
        finally:
            os.close(handle)

    def drive(self, address: str, path: str, text: str) -> None:
        self.bounded.run(address, lambda: self.write(path, text))

    def override(self, address: str) -> str:
        path = f"bus/pci/devices/{address}/driver_override"
        return self.bounded.run(address, lambda: Tree(self.root).text(path))

    def send(self, message: bytes) -> None:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as link:
            link.settimeout(_TIMEOUT)
            link.bind((0, 0))
            link.send(message)
            answer = link.recv(_BUFFER)
        if len(answer) < _ACK.size:
            raise OSError(errno.EBADMSG, "a netlink message was cut short")
        _, kind, _, _, _, code = _ACK.unpack_from(answer)
        if kind != _ERROR:
            raise OSError(errno.EBADMSG, "the kernel did not acknowledge")
        if code:
            raise OSError(-code, os.strerror(-code))

    def links(self, netdev: str) -> tuple[VfLink, ...]:
        return links.observe(netdev)

    def mode(self, address: str) -> str:
        # Here, not above: pyroute2 takes a fifth of a second, and hosts without VFs never need it.
        from ipam.devices import eswitch  # noqa: PLC0415 - see above

        try:
            return eswitch.observe([address]).get(address, "")
        except OSError:
            return ""  # a kernel without devlink knows of no switch

    def set_mode(self, address: str, mode: str) -> None:
        from ipam.devices import eswitch  # noqa: PLC0415 - as above

        eswitch.apply(address, mode)
