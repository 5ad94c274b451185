"""OpenFlow sessions over a unix socket: what os-ken's own server does for TCP, with liveness and a clean end.

Place: under `session`. os-ken's native threads never report a lost connection and two of them stay behind
each time; here each connection ends whole: its DEAD event is sent, its threads return. Must not know flows.
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from os_ken.controller.controller import Datapath
from os_ken.lib import hub

from model.errors import Fault, Unavailable

ECHO_INTERVAL: Final = 2.0
"""Seconds between echo requests to the switch (OpenFlow 1.4.1 section 7.5.2)."""
ECHO_MISSES: Final = 3
"""Unanswered echo requests after which the switch counts as gone."""
ACCEPT_PAUSE: Final = 1.0
"""Seconds till the next try when a connection could not be taken."""
_log = logging.getLogger(__name__)


class UnixSocket:
    """A connected unix socket as os-ken wants it: TCP_NODELAY, which it always sets, means nothing here."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def setsockopt(self, level: int, option: int, value: int) -> None:
        """As of a socket; options of TCP are left out."""
        if level != socket.IPPROTO_TCP:
            self._connection.setsockopt(level, option, value)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class Session(Datapath):
    """One connection of the switch. Inherits, for os-ken's handlers want a Datapath."""

    def __init__(self, connection: UnixSocket, address: str) -> None:
        self._over = threading.Event()
        super().__init__(connection, address)

    def serve(self) -> None:
        """Talk till the connection ends, then leave nothing behind."""
        sending = hub.spawn(self._send_loop)
        watching = hub.spawn(self._watch)
        try:
            self.send_msg(self.ofproto_parser.OFPHello(self))
            self._recv_loop()
        finally:
            self._over.set()
            self.close()
            self._wake(sending)
            hub.joinall([sending, watching])
            self.is_active = False

    def hang_up(self) -> None:
        """End the connection from any thread: its receiving thread then ends the rest."""
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def _wake(self, sending: Any) -> None:
        """The sending thread sleeps on its queue: an empty last message makes it go."""
        while sending.is_alive():
            queue = self.send_q
            if queue is None:
                break
            with suppress(Exception):
                queue.put((b"", True), timeout=0.1)
            sending.join(0.1)

    def _watch(self) -> None:
        """Echo requests; a switch that answers none of the last few is gone."""
        while not self._over.wait(ECHO_INTERVAL):
            if len(self.unreplied_echo_requests) >= ECHO_MISSES:
                _log.warning("switch answers no echo requests: hanging up")
                self.hang_up()
                return
            request = self.ofproto_parser.OFPEchoRequest(self)
            self.unreplied_echo_requests.append(self.set_xid(request))
            self.send_msg(request)


class Listener:
    """Accepts the switch's connections on unix sockets. One at a time: a new one ends the old."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = tuple(paths)
        self._accepting: list[tuple[socket.socket, threading.Thread]] = []
        self._guard = threading.Lock()
        self._current: tuple[Session, threading.Thread] | None = None
        self._stopping = threading.Event()
        self._lock: int | None = None

    def claim(self) -> None:
        """Be the only agent of this switch; Unavailable beside another."""
        if self._lock is None:
            self._lock = _hold(self._paths[0].with_suffix(".lock"))

    def start(self) -> None:
        """Listen, after `claim`. A file that is left from an earlier life is replaced."""
        self.claim()
        for path in self._paths:
            server = _listen(path)
            self._accepting.append((server, hub.spawn(self._accept, server, path)))

    def stop(self) -> None:
        """Close, end the connection and wait for its threads."""
        if self._lock is None:
            return
        self._stopping.set()
        for server, thread in self._accepting:
            with suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            thread.join()
            server.close()
        with self._guard:
            self._end_current()
        for path in self._paths:
            path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _accept(self, server: socket.socket, path: Path) -> None:
        while not self._stopping.is_set():
            try:
                connection, _ = server.accept()
            except OSError as error:  # the end of this process, or a lack of files or memory that will pass
                if not self._stopping.is_set():
                    _log.warning("connection of the switch not taken path=%s: %s", path, error)
                self._stopping.wait(ACCEPT_PAUSE)
                continue
            with self._guard:
                self._end_current()
                session = Session(UnixSocket(connection), str(path))
                self._current = (session, hub.spawn(_serve, session))

    def _end_current(self) -> None:
        if self._current is not None:
            session, thread = self._current
            session.hang_up()
            thread.join()
        self._current = None


def _hold(path: Path) -> int:
    """The lock of this switch's agent. Two would take the switch from each other for ever."""
    held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        message, remedy = "another agent serves this Open vSwitch", "Stop it, or name another --ovs-rundir."
        raise Unavailable(Fault(f"lock {path}", "agent-running", message, remedy)) from None
    return held


def _listen(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    previous = os.umask(0o177)
    try:
        server.bind(str(path))
    finally:
        os.umask(previous)
    server.listen(8)
    return server


def _serve(session: Session) -> None:
    try:
        session.serve()
    except Exception:  # noqa: BLE001 - whatever a switch sends ends its own connection, nothing else
        _log.exception("OpenFlow session ended by an unreadable message")
