"""A BGP speaker of one purpose: it says prepared UPDATEs as fast as the other end takes them.

Place: started by `evpn` in a node of its lab (`python -m tests.bench.sender ASN ROUTER-ID SOCKET`), driven
over a unix socket by `Handle`: a JSON object a line, answered by one. It listens on port 179, dials who it is
told to, opens sessions by the book, answers keepalives, and counts what it hears. Must not know what a route
is: what it says are files of whole messages. Its clock is CLOCK_MONOTONIC, the same for all processes.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from bgp.codec import update

MARKER: Final = b"\xff" * 16
OPEN, UPDATE, NOTIFICATION, KEEPALIVE = 1, 2, 3, 4
PORT: Final = 179
HOLD: Final = 90
LONGEST: Final = 4096
"""Octets of a message (RFC 4271 section 4)."""
HEADER: Final = 19
_AT_ONCE: Final = 1 << 16
_PATIENCE: Final = 300.0


def framed(body: bytes) -> bytes:
    """An UPDATE with its header (RFC 4271 section 4.1)."""
    return _message(UPDATE, body)


def _message(kind: int, body: bytes = b"") -> bytes:
    return MARKER + (HEADER + len(body)).to_bytes(2, "big") + bytes([kind]) + body


@dataclass(slots=True)
class Session:
    """One peer. `heard`: UPDATEs; `announced`, `withdrawn`: NLRIs in them; `first`, `last`: their times."""

    link: socket.socket
    writing: threading.Lock = field(default_factory=threading.Lock)
    up: bool = False
    heard: int = 0
    announced: int = 0
    withdrawn: int = 0
    first: float = 0.0
    last: float = 0.0

    def run(self, asn: int, router_id: str) -> None:
        """Open and listen until the session ends."""
        # RFC 4271 section 4.2; capabilities: multiprotocol L2VPN EVPN, route refresh, four-octet AS
        capabilities = bytes.fromhex("0104001900460200" + "4104") + asn.to_bytes(4, "big")
        parameters = bytes([2, len(capabilities)]) + capabilities
        fixed = bytes([4]) + asn.to_bytes(2, "big") + HOLD.to_bytes(2, "big") + IPv4Address(router_id).packed
        with self.link:
            self._send(_message(OPEN, fixed + bytes([len(parameters)]) + parameters))
            try:
                while True:
                    self._take()
            except (OSError, EOFError):
                self.up = False

    def _take(self) -> None:
        head = self._exactly(HEADER)
        body = self._exactly(int.from_bytes(head[16:18], "big") - HEADER)
        kind = head[18]
        if kind == OPEN:
            self._send(_message(KEEPALIVE))
        elif kind == KEEPALIVE:
            self.up = True
            self._send(_message(KEEPALIVE))
        elif kind == UPDATE:
            parts = update.split(body)
            self.heard += 1
            self.announced += len(parts.reach)
            self.withdrawn += len(parts.unreach)
            self.last = time.monotonic()
            self.first = self.first or self.last
        elif kind == NOTIFICATION:
            raise EOFError

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self.link.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)

    def _send(self, data: bytes) -> None:
        with self.writing:
            self.link.sendall(data)

    def say(self, messages: bytes) -> tuple[float, float]:
        """Hand whole messages to the kernel; when that began and ended."""
        began, at = time.monotonic(), 0
        while at < len(messages):
            end = at
            while end < len(messages) and end - at < _AT_ONCE:
                end += int.from_bytes(messages[end + 16 : end + 18], "big")
            self._send(messages[at:end])  # keepalives may come in between
            at = end
        return began, time.monotonic()


class _Sender:
    def __init__(self, asn: int, router_id: str) -> None:
        self._own = asn, router_id
        self._sessions: dict[str, Session] = {}
        self._deaf: set[str] = set()

    def listen(self) -> None:
        with socket.create_server(("", PORT)) as server:
            while True:
                link, (peer, _) = server.accept()
                if peer in self._deaf:
                    link.close()
                else:
                    self._begin(peer, link)

    def _begin(self, peer: str, link: socket.socket) -> None:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        session = self._sessions[peer] = Session(link)
        threading.Thread(target=session.run, args=self._own, daemon=True).start()

    def answer(self, order: dict[str, Any]) -> dict[str, Any]:
        act: Callable[..., dict[str, Any]] = getattr(self, f"do_{order.pop('do')}")
        return act(**order)

    def do_dial(self, peer: str) -> dict[str, Any]:
        self._begin(peer, socket.create_connection((peer, PORT), timeout=_PATIENCE))
        self._sessions[peer].link.settimeout(None)
        return {}

    def do_state(self, peer: str) -> dict[str, Any]:
        one = self._sessions.get(peer)
        if one is None:
            return {"up": False}
        return {"up": one.up, "heard": one.heard, "announced": one.announced, "withdrawn": one.withdrawn,
                "first": one.first, "last": one.last}  # fmt: skip

    def do_say(self, peer: str, file: str) -> dict[str, Any]:
        began, ended = self._sessions[peer].say(Path(file).read_bytes())
        return {"began": began, "ended": ended}

    def do_drop(self, peer: str) -> dict[str, Any]:
        """End a session without a word, and take no other before `hear`."""
        self._deaf.add(peer)
        one = self._sessions.pop(peer)
        one.link.shutdown(socket.SHUT_RDWR)
        return {"at": time.monotonic()}

    def do_hear(self, peer: str) -> dict[str, Any]:
        self._deaf.discard(peer)
        return {}


@dataclass(slots=True)
class Handle:
    """The benchmark's end of the unix socket."""

    path: Path

    def ask(self, do: str, **fields: str) -> dict[str, Any]:
        """One order, to its end."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(_PATIENCE)
            link.connect(str(self.path))
            with link.makefile("rw") as lines:
                lines.write(json.dumps({"do": do, **fields}) + "\n")
                lines.flush()
                answer: dict[str, Any] = json.loads(lines.readline())
        if "fault" in answer:
            raise RuntimeError(f"sender: {do} {fields}: {answer['fault']}")
        return answer


def main(asn: int, router_id: str, path: str) -> None:
    """Serve until killed."""
    sender = _Sender(asn, router_id)
    threading.Thread(target=sender.listen, daemon=True).start()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        while True:
            link, _ = server.accept()
            with suppress(OSError), link, link.makefile("rw") as lines:  # who only knocked does not listen
                try:
                    answer = sender.answer(json.loads(lines.readline()))
                except Exception as fault:  # noqa: BLE001 - whoever asked is told
                    answer = {"fault": repr(fault)}
                lines.write(json.dumps(answer) + "\n")
                lines.flush()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
