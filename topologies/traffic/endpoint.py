"""Endpoints: where traffic starts and ends; sockets opened inside another network namespace.

Place: under all traffic. A socket belongs for good to the namespace in which it was made
(network_namespaces(7)), so no program has to run there. Must not leave a thread in a foreign namespace.
"""

from __future__ import annotations

import ctypes
import os
import socket
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Protocol

from topologies.errors import LabError
from topologies.process import Outcome

SO_RCVBUFFORCE = 33
"""socket(7); Python does not name it."""
_CLONE_NEWNET = 0x40000000
_TIMEOUT = 60.0


class Endpoint(Protocol):
    """A node of a lab, in this process or in the holder's. `pid`: any process in its network namespace."""

    name: str
    pid: int

    def attempt(self, command: str | Sequence[str], timeout: float) -> Outcome: ...


def open_socket(endpoint: Endpoint, family: int, kind: int, protocol: int = 0) -> socket.socket:
    """A socket in the endpoint's network namespace. LabError if the node is gone."""
    answer: Future[socket.socket] = Future()

    def work() -> None:
        try:
            _enter(endpoint)
            answer.set_result(socket.socket(family, kind, protocol))
        except (OSError, LabError) as error:
            answer.set_exception(error)

    # A thread of its own that ends here: the caller's threads stay where they are.
    threading.Thread(target=work, name="lab-socket", daemon=True).start()
    return answer.result(_TIMEOUT)


def family_of(address: str) -> int:
    """AF_INET or AF_INET6 by the form of the address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _enter(endpoint: Endpoint) -> None:
    try:
        namespace = os.open(f"/proc/{endpoint.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise LabError(f"{endpoint.name} is gone: no process {endpoint.pid}") from error
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.setns(namespace, _CLONE_NEWNET) != 0:
            raise LabError(f"{endpoint.name}: can't enter its namespace: {os.strerror(ctypes.get_errno())}")
    finally:
        os.close(namespace)
