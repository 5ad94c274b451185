"""Wire: a blocking JSON-RPC client of ovsdb-server (RFC 7047) for writes, one-shot reads and raw monitors.

Place: under `writer` and `cache`. Threads may share a Connection: one request at a time. Every call has a
deadline. Must not repeat a write whose answer was lost: that is the writer's decision.
"""

from __future__ import annotations

import json
import logging
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

from controller.store.calling import Caller
from controller.store.faults import Lost, interpret
from controller.store.framing import Fold, Framer
from controller.store.records import DATABASE
from controller.store.schema import VERSION, parse_version
from model.errors import Fault, Invalid, Unavailable

log = logging.getLogger(__name__)

TIMEOUT: Final = 10.0
"""Seconds that a call may take, connecting again included."""
_CONNECT: Final = 2.0
"""Seconds for one attempt to reach one remote, greeting included."""
_CONNECT_TLS: Final = 8.0
"""The same over TLS, whose handshake takes the server milliseconds: of a thousand that come back at once,
none shall give up and begin anew what was nearly through."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
_READ: Final = 1 << 18
_NOT_YET: Final = "database not available"
"""What ovsdb-server says of a database whose cluster it is still joining; it has done nothing."""

Operation = dict[str, Any]
_COMMIT: Final[Operation] = {"op": "commit", "durable": True}


class Seat(Enum):
    """Which member of a RAFT cluster will do: writers need the leader."""

    LEADER = "leader"
    ANY = "any"


class Connection:
    """A session with one of several servers.

    `remote`: `unix:PATH`, `tcp:HOST:PORT` or `ssl:HOST:PORT`, several joined by commas. `caller`: as whom
    to go to `ssl:`. `rng`: jitter of the pauses between attempts. `accept`: raises for schema versions that
    won't do. `fold`: what the objects of a message become (see `framing`); messages stay dictionaries.
    """

    def __init__(
        self,
        remote: str,
        seat: Seat = Seat.LEADER,
        caller: Caller | None = None,
        rng: random.Random | None = None,
        accept: Callable[[str], None] | None = None,
        fold: Fold | None = None,
    ) -> None:
        self._remotes = tuple(r.strip() for r in remote.split(",") if r.strip())
        self._seat = seat
        self._caller = caller
        self._rng = rng or random.Random()
        self._accept = accept or check_version
        self._lock = threading.RLock()
        self._socket: socket.socket | None = None
        self._fold = fold
        self._framer = Framer(fold)
        self._arrived: list[dict[str, Any]] = []
        self._next = 0
        self._turn = 0
        self._closed = threading.Event()

    def commit(
        self, database: str, operations: Sequence[Operation], timeout: float = TIMEOUT
    ) -> list[dict[str, Any]]:
        """Run the operations as one transaction that is on disk when this returns; results in their order.

        A standalone server syncs only if told to (`durable`). Raises what `faults.interpret` finds; Lost if
        the answer never came; Unavailable if nothing was sent.
        """
        return self._transact(database, [*operations, _COMMIT], timeout)[: len(operations)]

    def write_quickly(
        self, database: str, operations: Sequence[Operation], timeout: float = TIMEOUT
    ) -> list[dict[str, Any]]:
        """Like `commit`, but not forced to disk: for reports, which are rewritten anyway."""
        return self._transact(database, operations, timeout)

    def read(
        self, database: str, operations: Sequence[Operation], timeout: float = TIMEOUT
    ) -> list[dict[str, Any]]:
        """Run operations that change nothing; repeated if the connection is lost, until the deadline."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._transact(database, operations, max(deadline - time.monotonic(), 0.001))
            except Lost:
                if time.monotonic() >= deadline:
                    raise

    def call(self, method: str, params: Any, timeout: float = TIMEOUT) -> Any:
        """One request and its result. Raises Lost, Unavailable, or Invalid for an error answer."""
        with self._lock:
            deadline = time.monotonic() + timeout
            self._reach(min(deadline, time.monotonic() + TIMEOUT))
            return self._exchange(method, params, deadline)

    def notices(self, timeout: float) -> list[dict[str, Any]]:
        """Notifications (`update` of a monitor) that have come, waiting up to `timeout` seconds for the
        first.

        Raises Lost if the connection is gone: monitors went with it.
        """
        with self._lock:
            if self._socket is None:
                raise _lost("the connection is closed")
            if not self._arrived:
                self._receive(time.monotonic() + timeout)
            found = [m for m in self._arrived if m.get("method")]
            self._arrived = [m for m in self._arrived if not m.get("method")]
            return found

    def close(self) -> None:
        """Let go of the socket for good; a call that waits in another thread ends with an error."""
        self._closed.set()
        held = self._socket
        if held is not None:
            try:
                # Not TLS's own: that would let another thread go on in clear.
                socket.socket.shutdown(held, socket.SHUT_RDWR)
            except OSError:
                pass  # it is gone already
        with self._lock:
            self._drop()

    def _transact(self, database: str, operations: Sequence[Operation], timeout: float) -> list[Any]:
        results = self.call("transact", [database, *operations], timeout)
        error = interpret(operations, results)
        if error is not None:
            raise error
        return list(results)

    def _exchange(self, method: str, params: Any, deadline: float) -> Any:
        self._next += 1
        identity = self._next
        self._send({"id": identity, "method": method, "params": params}, deadline)
        while True:
            for message in self._arrived:
                if message.get("id") == identity and not message.get("method"):
                    self._arrived.remove(message)
                    if message.get("error") is not None:
                        raise _refused(method, message["error"])
                    return message["result"]
            if time.monotonic() >= deadline:
                self._drop()
                raise _lost(f"no answer to {method} in time")
            self._receive(deadline)

    def _send(self, message: dict[str, Any], deadline: float) -> None:
        assert self._socket is not None
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            self._socket.sendall(json.dumps(message, separators=(",", ":")).encode())
        except OSError as error:
            self._drop()
            raise _lost(str(error)) from error

    def _receive(self, deadline: float) -> None:
        """Take in what comes next, answering echoes; returns with nothing at the deadline."""
        assert self._socket is not None
        try:
            self._socket.settimeout(max(deadline - time.monotonic(), 0.001))
            data = self._socket.recv(_READ)
            if not data:
                raise ConnectionError("the server closed the connection")
            messages = self._framer.feed(data)
        except TimeoutError:
            return
        except (OSError, ValueError, RecursionError) as error:
            self._drop()
            raise _lost(str(error)) from error
        for message in messages:
            if message.get("method") == "echo":
                answer = {"id": message.get("id"), "result": message.get("params"), "error": None}
                self._send(answer, time.monotonic() + _CONNECT)
            else:
                self._arrived.append(message)

    def _reach(self, deadline: float) -> None:
        """Have a live connection. What came while nobody listened (echoes, the end) is taken in first."""
        try:
            while self._socket is not None and select.select([self._socket], [], [], 0)[0]:
                self._receive(time.monotonic() + _CONNECT)
        except Lost:
            pass  # dropped: connect again below
        pause = _FIRST_PAUSE
        while self._socket is None:
            if self._closed.is_set():
                raise _unreachable(self._remotes, "this connection was closed")
            remote = self._remotes[self._turn % len(self._remotes)]
            try:
                patience = _CONNECT_TLS if remote.startswith("ssl:") else _CONNECT
                self._connect(remote, min(deadline, time.monotonic() + patience))
                return
            except (OSError, Unavailable) as error:
                self._drop()
                if self._caller is not None and not self._closed.is_set():
                    self._caller.complain(remote, error)
                self._turn += 1
                if time.monotonic() + pause >= deadline:
                    raise _unreachable(self._remotes, str(error)) from error
            self._closed.wait(pause * self._rng.uniform(0.5, 1.0))
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _connect(self, remote: str, deadline: float) -> None:
        held = _open(remote, self._caller, max(deadline - time.monotonic(), 0.001))
        self._socket, self._framer, self._arrived = held, Framer(self._fold), []
        operation = {
            "op": "select",
            "table": "Database",
            "where": [["name", "==", DATABASE]],
            "columns": ["model", "leader", "connected", "schema"],
        }
        results = self._exchange("transact", ["_Server", operation], deadline)
        self._accept(_find_version(results[0].get("rows", []), self._seat))
        if self._caller is not None:
            self._caller.succeed()

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._framer, self._arrived = None, Framer(self._fold), []


def check_version(found: str) -> None:
    """Raises Invalid if the database is newer than this code, Unavailable if it is older."""
    if parse_version(found) > parse_version(VERSION):
        raise Invalid(
            Fault(
                f"database {DATABASE}",
                "store-newer",
                f"its schema is {found}, newer than this program's {VERSION}",
                "Upgrade this program; the database can't be taken back.",
            )
        )
    if parse_version(found) < parse_version(VERSION):
        raise Unavailable(
            Fault(
                f"database {DATABASE}",
                "store-older",
                f"its schema is {found}, older than this program's {VERSION}",
                "Let the store's server of this version start once: it upgrades the database.",
            )
        )


def _find_version(rows: Sequence[dict[str, Any]], seat: Seat) -> str:
    if not rows or rows[0]["schema"] in ("", ["set", []]):
        raise Unavailable(
            Fault("store", "store-unavailable", f"the server has no database {DATABASE}", "Try again later.")
        )
    row = rows[0]
    if row["model"] == "clustered" and (not row["connected"] or (seat is Seat.LEADER and not row["leader"])):
        raise Unavailable(Fault("store", "not-leader", "this member does not lead", "Ask another member."))
    return str(json.loads(row["schema"])["version"])


def _open(remote: str, caller: Caller | None, timeout: float) -> socket.socket:
    kind, _, rest = remote.partition(":")
    opener: dict[str, Callable[[], socket.socket]] = {
        "unix": lambda: _open_unix(rest, timeout),
        "tcp": lambda: _open_tcp(rest, timeout),
        "ssl": lambda: _open_tls(rest, caller, timeout),
    }
    if kind not in opener:
        raise Invalid(
            Fault("store", "remote", f"{remote!r} is no remote", "Write unix:PATH, tcp:HOST:PORT or ssl:...")
        )
    return opener[kind]()


def _open_unix(path: str, timeout: float) -> socket.socket:
    held = socket.socket(socket.AF_UNIX)
    try:
        held.settimeout(timeout)
        held.connect(path)
    except OSError:
        held.close()
        raise
    return held


def _open_tcp(place: str, timeout: float) -> socket.socket:
    host, _, port = place.rpartition(":")
    held = socket.create_connection((host.strip("[]"), int(port)), timeout)
    held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return held


def _open_tls(place: str, caller: Caller | None, timeout: float) -> socket.socket:
    if caller is None:
        message = f"ssl:{place}: no certificate is named with which to go there"
        remedy = "Name --store-cert, --store-key and --store-ca."
        raise Invalid(Fault("store", "store-uncertified", message, remedy))
    return caller.connect(place, timeout)


def _lost(why: str) -> Lost:
    return Lost(
        Fault("store", "connection-lost", f"the connection to the store was lost: {why}", "Try again.")
    )


def _refused(method: str, error: Any) -> Invalid | Unavailable:
    if isinstance(error, dict) and error.get("error") == _NOT_YET:
        message = f"the store does not do {method} yet: {error.get('details')}"
        return Unavailable(
            Fault("store", "store-unavailable", message, "Wait until this member has joined its cluster.")
        )
    message = f"the store refused {method}: {error}"
    return Invalid(Fault("store", "store-refused", message, "Report this with the message."))


def _unreachable(remotes: Sequence[str], why: str) -> Unavailable:
    message = f"no server answers at {', '.join(remotes)}: {why}"
    return Unavailable(
        Fault("store", "store-unavailable", message, "Start the store, or correct its remote.")
    )
