"""OpenFlow messages over a unix socket of the local switch, with a deadline on everything.

Place: under `channel`. Frames messages, answers echo requests, agrees on OpenFlow 1.4. Must not know flows.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from model.errors import Fault, Unavailable

VERSION: Final = 5
HEADER: Final = struct.Struct("!BBHI")
"""version, type, length, xid (OpenFlow 1.4.1 section 7.1.1)."""
HELLO: Final = 0
ERROR: Final = 1
ECHO_REQUEST: Final = 2
ECHO_REPLY: Final = 3
_BITMAP: Final = struct.Struct("!HHI")  # the versions of a hello (section 7.5.1)
_BUFFER: Final = 4 << 20
_CHUNK: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class Message:
    """`body` is what follows the 8 octets of header."""

    type: int
    xid: int
    body: bytes


def unavailable(path: Path, message: str) -> Unavailable:
    """The switch does not answer: what the caller gets for every failure of the connection."""
    return Unavailable(
        Fault(
            f"switch {path}",
            "switch-unavailable",
            message,
            "see that ovs-vswitchd runs and that the bridge exists; then audit the flows",
        )
    )


class Stream:
    """One connection. After an Unavailable it is closed and of no more use."""

    def __init__(
        self, path: Path, timeout: float, clock: Callable[[], float], version: int = VERSION
    ) -> None:
        self._path = path
        self.version = version
        self._clock = clock
        self._buffer = bytearray()
        self._replies = bytearray()  # wait for the end of what is being written
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        deadline = clock() + timeout
        try:
            self._socket.settimeout(timeout)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            self._socket.connect(str(path))
            self._socket.setblocking(False)
        except OSError as error:
            self._socket.close()
            raise unavailable(path, f"cannot connect: {error}") from error
        self._greet(deadline)

    def close(self) -> None:
        """Give the socket back; harmless twice."""
        with suppress(OSError):
            self._socket.close()

    def exchange(
        self, output: bytes, seen: Callable[[Message], None], until: Callable[[], bool], deadline: float
    ) -> None:
        """Write `output` and hand every message that arrives to `seen`, till all is written and `until()`.

        Reads while it writes: a switch with 100 unread replies stops reading, and both would wait for ever.
        """
        rest = memoryview(output)
        while True:
            for message in self._framed():
                seen(message)
            if not rest and self._replies:
                rest = memoryview(bytes(self._replies))
                self._replies.clear()
            if not rest and until():
                return
            self._wait(bool(rest), deadline)
            if rest:
                rest = rest[self._write(rest) :]
            self._read()

    def hear(self, seen: Callable[[Message], None], wait: float) -> None:
        """Hand all that is there, or comes within `wait` seconds, to `seen`; silence is no failure."""
        if not self._poll(select.POLLIN, wait):
            return
        self._read()
        for message in self._framed():
            seen(message)
        if self._replies:
            self.exchange(b"", seen, lambda: True, self._clock() + 1.0)

    def alive(self) -> bool:
        """Take in what arrived while nobody read (echo requests); False if the switch hung up."""
        try:
            self._read()
            self.exchange(b"", lambda _: None, lambda: True, self._clock() + 1.0)
        except Unavailable:
            return False
        return True

    def _greet(self, deadline: float) -> None:
        body = _BITMAP.pack(1, _BITMAP.size, 1 << self.version)
        greeting = HEADER.pack(self.version, HELLO, HEADER.size + len(body), 0) + body
        heard: list[Message] = []
        self.exchange(greeting, heard.append, lambda: bool(heard), deadline)
        if heard[0].type != HELLO:
            raise self._broken(
                f"refuses OpenFlow 1.{self.version - 1} (message type {heard[0].type} instead of hello)"
            )

    def _broken(self, message: str) -> Unavailable:
        self.close()
        return unavailable(self._path, message)

    def _wait(self, writes: bool, deadline: float) -> None:  # noqa: FBT001 - private: what select is asked for
        left = deadline - self._clock()
        if left <= 0:
            raise self._broken("no answer before the deadline")
        self._poll(select.POLLIN | (select.POLLOUT if writes else 0), left)

    def _poll(self, events: int, wait: float) -> bool:
        """Whether anything happens within `wait` seconds."""
        poll = select.poll()
        try:
            poll.register(self._socket, events)
            return bool(poll.poll(wait * 1000))
        except (OSError, ValueError) as error:
            raise self._broken(f"connection lost: {error}") from error

    def _write(self, rest: memoryview) -> int:
        try:
            return self._socket.send(rest[:_CHUNK])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise self._broken(f"connection lost: {error}") from error

    def _read(self) -> None:
        try:
            data = self._socket.recv(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            raise self._broken(f"connection lost: {error}") from error
        if not data:
            raise self._broken("the switch closed the connection")
        self._buffer += data

    def _framed(self) -> list[Message]:
        """All whole messages in the buffer, echo requests left out: their replies are queued."""
        found: list[Message] = []
        buffer, at = self._buffer, 0
        while len(buffer) - at >= HEADER.size:
            version, kind, length, xid = HEADER.unpack_from(buffer, at)
            if length < HEADER.size:
                raise self._broken(f"a message of length {length} (version {version}, type {kind})")
            if len(buffer) - at < length:
                break
            body = bytes(buffer[at + HEADER.size : at + length])
            at += length
            if kind == ECHO_REQUEST:
                self._replies += HEADER.pack(self.version, ECHO_REPLY, length, xid) + body
            elif kind != ECHO_REPLY:
                found.append(Message(kind, xid, body))
        del buffer[:at]
        return found
