"""UFM Enterprise's REST API for partitions, as its guide and those who use it describe it; with faults.

Place: imported by tests. What it does: GUIDs are added to a partition, which comes into being by that; with
its last GUID it goes; one that is not there is `{}`; a GUID that no device has is taken as well; the default
partition can't be changed; it asks for a name and a password, or a token under a path of its own. Faults: see
`Mischief`. Holds no rule of the product.
"""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ipam.fabric.https import Address, Answer, Trouble, Unanswered

USER, PASSWORD, TOKEN = "ringfence", "correct horse battery", "c0ffeec0ffeec0ffeec0ffee"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
MANAGEMENT = 0x7FFF
_PATH = re.compile(r"/ufmRest(?:V3)?/resources/pkeys(?:/(0x[0-9a-fA-F]{1,4})(?:/guids/([^/?]+))?)?(\?.*)?")
_GUID = re.compile(r"(?:0x)?[0-9a-fA-F]{16,20}")

State = dict[int, dict[str, tuple[str, bool]]]
"""Key -> GUID -> membership, index 0."""


class Mischief(Enum):
    """BEFORE: dead without having done it. AFTER: done, then dead. HALF: half of the GUIDs, then an error.
    LATE: dead, and done some requests later. SLOW: 202, done some requests later. STALE: this answer is of
    some requests ago. BUSY: 503. REFUSE: 400. AWAY: nobody listens. GARBLED: half of an answer.
    """

    BEFORE = "before"
    AFTER = "after"
    HALF = "half"
    LATE = "late"
    SLOW = "slow"
    STALE = "stale"
    BUSY = "busy"
    REFUSE = "refuse"
    AWAY = "away"
    GARBLED = "garbled"


CHANGING = (
    Mischief.BEFORE,
    Mischief.AFTER,
    Mischief.HALF,
    Mischief.LATE,
    Mischief.SLOW,
    Mischief.BUSY,
    Mischief.AWAY,
)
READING = (Mischief.BEFORE, Mischief.STALE, Mischief.BUSY, Mischief.AWAY, Mischief.GARBLED)
LATER = 3
"""Requests."""


@dataclass
class Fake:
    """`mischief`: for the next requests, in order; None = none. `base`: membership of the management
    partition, None = an older UFM does not say. `reading`: the account may only read. `disliked`: GUIDs that
    it refuses. `keeps`: partitions stay when they are empty. `puts`: who was put where, and what was there.
    """

    state: State = field(default_factory=dict)
    base: str | None = "limited"
    reading: bool = False
    disliked: frozenset[str] = frozenset()
    keeps: bool = False
    mischief: list[Mischief | None] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    past: list[State] = field(default_factory=list)
    late: list[tuple[int, Callable[[], object]]] = field(default_factory=list)
    puts: list[tuple[int, list[str], State]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, method: str, path: str, authorization: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and body. Unanswered where a client would see none."""
        with self.lock:
            self.asked.append((method, path))
            self.bodies.append(body or b"")
            self.past.append(deepcopy(self.state))
            for due, deed in self.late[:]:
                if due <= len(self.asked):
                    self.late.remove((due, deed))
                    deed()
            fault = self.mischief.pop(0) if self.mischief else None
            if fault is Mischief.AWAY:
                raise Unanswered(Trouble.AWAY, "refused")
            if authorization != (f"Basic {TOKEN}" if path.startswith("/ufmRestV3/") else BASIC):
                return 401, b"<html>log in</html>"
            match = _PATH.fullmatch(path)
            if match is None:
                return 404, b"<html>nothing here</html>"
            key = None if match[1] is None else int(match[1], 16)
            if method == "GET":
                return self._read(key, "guids_data=true" in (match[3] or ""), fault)
            return self._change(method, key, match[2], body, fault)

    def _read(self, key: int | None, guids: bool, fault: Mischief | None) -> tuple[int, bytes]:
        if fault in (Mischief.BEFORE, Mischief.AFTER, Mischief.LATE):
            raise Unanswered(Trouble.LOST, "timed out")
        if fault is Mischief.BUSY:
            return 503, b"UFM is starting"
        state = self.past[-min(LATER, len(self.past))] if fault is Mischief.STALE else self.state
        if key is None and not guids:
            return 200, json.dumps([hex(k) for k in (*sorted(state), MANAGEMENT)]).encode()
        told = {hex(k): self._partition(k, seats, guids) for k, seats in sorted(state.items())}
        management: dict[str, Any] = {"guids": [], "ip_over_ib": True, "partition": "management"}
        if self.base is not None:
            management |= {"membership": self.base, "index0": False}
        told[hex(MANAGEMENT)] = {**management, **told.get(hex(MANAGEMENT), {})}
        text = json.dumps(told if key is None else told.get(hex(key), {})).encode()
        return 200, text[: len(text) // 2] if fault is Mischief.GARBLED else text

    @staticmethod
    def _partition(key: int, seats: dict[str, tuple[str, bool]], guids: bool) -> dict[str, Any]:
        found: dict[str, Any] = {"partition": f"api_pkey_{key:#x}", "ip_over_ib": True}
        if guids:
            found["guids"] = [
                {"guid": guid, "membership": level, "index0": first}
                for guid, (level, first) in sorted(seats.items())
            ]
        return found

    def _change(
        self, method: str, key: int | None, guids: str | None, body: bytes | None, fault: Mischief | None
    ) -> tuple[int, bytes]:
        if self.reading:
            return 403, b'{"error": "the role of the user is not sufficient"}'
        if fault is Mischief.BEFORE:
            raise Unanswered(Trouble.LOST, "timed out")
        if fault is Mischief.BUSY:
            return 503, b"UFM is starting"
        if fault is Mischief.REFUSE:
            return 400, b"no"
        told: dict[str, Any] = {}
        if method == "POST" and key is None:
            told = json.loads(body or b"")
            key, names, level = int(told["pkey"], 16), list(told["guids"]), told.get("membership", "full")
            if level not in ("full", "limited") or not names:
                return 400, b"bad or missing parameters"
        elif method == "DELETE" and key is not None:
            names = [] if guids is None else guids.split(",")
            if key not in self.state:
                return 404, f"PKey {key:#x} was not found".encode()
        else:
            return 405, b""
        if not 0 < key < MANAGEMENT:
            return 400, b"PKey must be between 0x0 and 0x7fff, exclusive"
        if not all(_GUID.fullmatch(name) for name in names):
            return 400, b"a GUID has 16 to 20 digits"
        if any(name in self.disliked for name in names):
            return 400, b"a GUID that I do not like"
        if fault is Mischief.HALF:
            names = names[: len(names) // 2]

        def deed() -> None:
            if method == "POST":
                self.put(key, names, level, told.get("index0", False))
            elif guids is None and fault is not Mischief.HALF:
                self.state.pop(key, None)
            else:
                self.take(key, names)

        if fault in (Mischief.LATE, Mischief.SLOW):
            self.late.append((len(self.asked) + LATER, deed))
            if fault is Mischief.LATE:
                raise Unanswered(Trouble.LOST, "timed out")
            return 202, b""
        deed()
        if fault is Mischief.AFTER:
            raise Unanswered(Trouble.LOST, "timed out")
        return (500, b"Internal Server Error") if fault is Mischief.HALF else (200, b"{}")

    def put(self, key: int, names: list[str], level: str, first: bool) -> None:
        self.puts.append((key, names, deepcopy(self.state)))
        seats = self.state.setdefault(key, {})
        seats |= dict.fromkeys(names, (level, first))
        if not seats:
            del self.state[key]

    def take(self, key: int, names: list[str]) -> None:
        seats = self.state.get(key, {})
        for name in names:
            seats.pop(name, None)
        if not seats and not self.keeps:
            self.state.pop(key, None)

    def changes(self) -> list[tuple[str, str]]:
        return [asked for asked in self.asked if asked[0] != "GET"]


@dataclass
class Wire:
    """To it without a network: stands where an `https.Server` does. `wait`: before each request."""

    fake: Fake
    address: Address = field(default_factory=lambda: Address("ufm.example", 443))
    wait: Callable[[], None] = lambda: None

    def ask(
        self, method: str, path: str, authorization: str, body: bytes | None = None, most: int = 1 << 20
    ) -> Answer:
        self.wait()
        assert len(f"{method} {path} HTTP/1.1") < 8190, "a web server would refuse it"
        return Answer(*self.fake.answer(method, path, authorization, body))


@dataclass
class Manners:
    """What a server does on the wire instead of answering. `drip`: seconds between its bytes."""

    raw: bytes | None = None
    drip: float = 0.0
    headers: tuple[tuple[str, str], ...] = ()
    status: int | None = None


@contextmanager
def serve(fake: Fake, manners: Manners, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """The port of loopback where it answers, in threads that end with it."""
    over = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            size = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(size) if size else None
            try:
                said = fake.answer(self.command, self.path, self.headers.get("Authorization", ""), body)
            except Unanswered:
                self.close_connection = True
                return
            if manners.raw is not None:
                for byte in manners.raw:
                    self.wfile.write(bytes((byte,)))
                    if manners.drip and over.wait(manners.drip):
                        break
                self.close_connection = True
                return
            status, text = said
            self.send_response(manners.status or status)
            for name, value in (("Content-Length", str(len(text))), *manners.headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_DELETE = _any

        def log_message(self, *_: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            pass

        def finish_request(self, request: Any, address: Any) -> None:
            # The handshake in the thread of the connection: one that fails must not keep the next one out.
            wrapped = context.wrap_socket(request, server_side=True) if context is not None else request
            self.RequestHandlerClass(wrapped, address, self)  # type: ignore[call-arg]
            if context is not None:
                wrapped.close()

    server = Quiet(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        over.set()
        server.shutdown()
        thread.join(10)
        server.server_close()


@dataclass
class Ticks:
    """A clock that only sleeping moves."""

    at: float = 0.0

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds


def deadline(seconds: float = 10.0) -> Callable[[], bool]:
    """Whether time is over."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
