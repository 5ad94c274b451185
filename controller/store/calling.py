"""Calling: as whom a client of the store goes to it over TLS, and whom it takes for the store.

Place: one for all the connections of a process, made at the edge from flags. Files are looked at before each
connection. Must not speak to a server without the name that was called, and must not log a step: only what is
wrong, once.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from typing import Final

from controller.tls.endpoint import HEAD, Endpoint, parse_endpoint
from controller.tls.papers import Current, Papers, calling
from model.errors import Fault, Invalid, Unavailable

log = logging.getLogger(__name__)

_ANSWER: Final = 2.0
"""Seconds until a host says that it is there, before TLS begins."""


class Caller:
    """Threads may share it."""

    def __init__(self, papers: Papers) -> None:
        """Nothing is read yet: who has no certificate yet may have work that needs no store."""
        self._current = Current(papers, calling)
        self._lock = threading.Lock()
        self._said = ""

    def check(self) -> None:
        """Invalid: which file is wrong."""
        with self._lock:
            self._current.context()

    def connect(self, place: str, timeout: float) -> ssl.SSLSocket:
        """To `HOST:PORT`. OSError; Invalid: no such place; Unavailable: papers that may be right later."""
        endpoint = parse_place(place)
        deadline = time.monotonic() + timeout
        try:
            with self._lock:
                context = self._current.context()
        except Invalid as error:
            raise Unavailable(*error.faults) from error
        raw = socket.create_connection((endpoint.host, endpoint.port), min(timeout, _ANSWER))
        try:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            raw.settimeout(max(deadline - time.monotonic(), 0.001))
            return context.wrap_socket(raw, server_hostname=endpoint.host)
        finally:
            raw.close()  # of what was wrapped nothing is left here to close

    def complain(self, remote: str, error: Exception) -> None:
        """A server was not reached: why, unless that was the last thing said."""
        said = f"{remote}: {error}"
        with self._lock:
            if said == self._said:
                return
            self._said = said
        log.warning("store not reached remote=%s reason=%s", remote, error)

    def succeed(self) -> None:
        """A server was reached: what is wrong after that is said again."""
        with self._lock:
            self._said = ""


def parse_place(place: str) -> Endpoint:
    """Of a server: NAME:PORT, A.B.C.D:PORT, [IPv6]:PORT. Invalid."""
    try:
        return parse_endpoint(HEAD + place)
    except ValueError:
        message = f"ssl:{place} is no remote"
        raise Invalid(Fault("store", "remote", message, "Write ssl:HOST:PORT, IPv6 in brackets.")) from None
