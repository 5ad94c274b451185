"""A non-blocking stream socket with lines in and bytes out.

Place: inside the relay, for the agent and for ExaBGP's helper alike. Must not know what a line means.
"""

from __future__ import annotations

import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from bgp import wire

_CHUNK: Final = 1 << 16


@dataclass(slots=True)
class Link:
    """`waiting`: octets that the other end has not taken."""

    stream: socket.socket
    lines: wire.Lines = field(default_factory=wire.Lines)
    out: deque[bytes] = field(default_factory=deque)
    waiting: int = 0

    def say(self, data: bytes) -> None:
        """Queue bytes."""
        self.out.append(data)
        self.waiting += len(data)

    def hear(self) -> list[bytes] | None:
        """Lines that came; None at the end of the stream. OSError and wire.Broken end it too."""
        try:
            data = self.stream.recv(_CHUNK)
        except BlockingIOError:
            return []
        return self.lines.feed(data) if data else None

    def send(self) -> None:
        """Hand over as much as the other end takes now."""
        while self.out:
            first = self.out.popleft()
            try:
                sent = self.stream.send(first)
            except BlockingIOError:
                sent = 0
            self.waiting -= sent
            if sent < len(first):
                self.out.appendleft(first[sent:])
                return

    def close(self) -> None:
        """Close the socket."""
        self.stream.close()
