"""Kernel: questions and orders to the kernel's routing part, one message at a time: netlink(7), rtnetlink(7).

Place: under `links` and `ways`. A library for all of netlink took 11 MB and 0.1 s of an agent's start for the
four messages that are sent here. Must not dump: `counters` does that in its own way.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Final

_MESSAGE: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, sender
_ATTRIBUTE: Final = struct.Struct("=HH")  # rtattr: length, type
_CODE: Final = struct.Struct("=i")
_ERROR: Final = 2
_REQUEST: Final = 0x1
_ACKNOWLEDGE: Final = 0x4
_NESTED: Final = 0x3FFF
_BUFFER: Final = 1 << 16
_TIMEOUT: Final = 2.0


class Kernel:
    """A socket in the network namespace of the caller; a context manager. Not shared between threads."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._sequence = 0

    def __enter__(self) -> Kernel:
        self._socket.bind((0, 0))
        self._socket.settimeout(_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def order(self, kind: int, body: bytes) -> None:
        """Until it is done; OSError with the kernel's number if it refuses."""
        self._exchange(kind, _REQUEST | _ACKNOWLEDGE, body)

    def ask(self, kind: int, body: bytes) -> bytes:
        """What the answer holds behind its header; OSError with the kernel's number if there is none."""
        return self._exchange(kind, _REQUEST, body)

    def _exchange(self, kind: int, flags: int, body: bytes) -> bytes:
        self._sequence += 1
        self._socket.send(_MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, self._sequence, 0) + body)
        while True:
            data = self._socket.recv(_BUFFER)
            length, answer, _, sequence, _ = _MESSAGE.unpack_from(data)
            if sequence != self._sequence:
                continue  # of a question that was given up
            if answer != _ERROR:
                return data[_MESSAGE.size : length]
            code = -_CODE.unpack_from(data, _MESSAGE.size)[0]
            if not code:
                return b""
            raise OSError(code, os.strerror(code))


def attribute(kind: int, value: bytes) -> bytes:
    """As it stands in a message, filled up to four octets."""
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The values by their kinds."""
    found: dict[int, bytes] = {}
    at = 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        if length < _ATTRIBUTE.size:
            break
        found[kind & _NESTED] = data[at + _ATTRIBUTE.size : at + length]
        at += (length + 3) & ~3
    return found
