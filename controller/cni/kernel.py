"""Kernel: rtnetlink in this network namespace, or in a container's.

Place: under `moving`. A socket belongs to the namespace that it was made in, so the process is in the
container's for that moment only. Must not decide.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from controller.cni import wire
from controller.cni.addresses import Network
from controller.cni.result import Route

HERE = "/proc/self/ns/net"
_NEWNET = 0x40000000
_LARGEST = 1 << 20


class Kernel:
    """Of one namespace. Its methods raise OSError with the kernel's own number."""

    def __init__(self) -> None:
        """In the namespace that the process is in."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        try:
            self._socket.settimeout(30)
            self._socket.bind((0, 0))
        except OSError:
            self._socket.close()
            raise

    def close(self) -> None:
        """The socket; what was set stays."""
        self._socket.close()

    def link(self, name: str) -> wire.Device | None:
        """None if there is none of that name."""
        try:
            answers = self._ask(wire.get_link(name))
        except OSError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return next((wire.device(body) for body in answers), None)

    def links(self) -> list[wire.Device]:
        """All."""
        return [wire.device(body) for body in self._ask(wire.get_link(""))]

    def change(self, link: wire.Device, change: wire.Change) -> None:
        """Set what is to change of a link."""
        self._ask(wire.set_link(link.number, change))

    def add_address(self, link: wire.Device, network: Network) -> None:
        """EEXIST if it has it."""
        self._ask(wire.add_address(link.number, network))

    def add_route(self, link: wire.Device, route: Route) -> None:
        """EEXIST if there is such a one."""
        self._ask(wire.add_route(link.number, route))

    def addresses(self, link: wire.Device) -> list[Network]:
        """All that it has, link-local ones too."""
        found = (wire.address(body) for body in self._ask(wire.dump(wire.GETADDRESS)))
        return [network for index, network in found if index == link.number]

    def routes(self, link: wire.Device) -> list[tuple[Network, bytes]]:
        """Of all tables: destination and gateway."""
        found = (wire.way(body) for body in self._ask(wire.dump(wire.GETROUTE)))
        return [(network, via) for index, network, via in found if index == link.number]

    def _ask(self, message: bytes) -> list[bytes]:
        self._socket.send(message)
        found: list[bytes] = []
        while True:
            for kind, body in wire.messages(self._socket.recv(_LARGEST)):
                if kind == wire.DONE:
                    return found
                if kind == wire.ERROR:
                    number = -struct.unpack_from("=i", body)[0]
                    if number:
                        raise OSError(number, os.strerror(number))
                    return found
                found.append(body)


@contextmanager
def entered(namespace: int) -> Iterator[None]:
    """This process in the namespace of that file descriptor, and back. OSError: it is none."""
    home = os.open(HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def is_here(namespace: int) -> bool:
    """Whether it is the namespace that the process is in."""
    here, there = os.stat(HERE), os.fstat(namespace)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _enter(namespace: int) -> None:
    # os.setns comes with Python 3.12.
    import ctypes  # noqa: PLC0415 - start-up time: who only wants addresses needs none of it

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"setns: {os.strerror(number)}")
