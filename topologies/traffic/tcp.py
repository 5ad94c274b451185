"""TCP: one transfer of known bytes, compared by digest.

Place: shows that checksums and segmentation are right, where a ping would not. Must not measure speed.
"""

from __future__ import annotations

import hashlib
import socket
import threading
from concurrent.futures import Future
from dataclasses import dataclass

from topologies.deadline import PATIENCE
from topologies.errors import LabError
from topologies.traffic.endpoint import Endpoint, family_of, open_socket

_CHUNK = bytes(range(256)) * 256


@dataclass(frozen=True, slots=True)
class TcpResult:
    """Bytes sent and received, and whether their SHA-256 digests agree. `error` is empty on success."""

    sent: int
    received: int
    intact: bool
    error: str = ""


def transfer(
    source: Endpoint, target: Endpoint, address: str, size: int, port: int = 9998, timeout: float = PATIENCE
) -> TcpResult:
    """Connect from source to target, send `size` bytes, close. A failure is a result, with its `error`."""
    family = family_of(address)
    arrived: Future[tuple[int, str]] = Future()
    with (
        open_socket(target, family, socket.SOCK_STREAM) as listener,
        open_socket(source, family, socket.SOCK_STREAM) as sender,
    ):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("", port))
        listener.listen(1)
        listener.settimeout(timeout)
        sender.settimeout(timeout)
        taking = threading.Thread(target=_take, args=(listener, timeout, arrived), daemon=True)
        taking.start()
        sent, digest, error = _send(sender, (address, port), size)
        listener.settimeout(timeout if not error else 0.0)
        if error:
            listener.shutdown(socket.SHUT_RDWR)
        try:
            received, seen = arrived.result(timeout)
        except (OSError, TimeoutError) as problem:
            return TcpResult(sent, 0, intact=False, error=error or str(problem) or "nothing arrived in time")
        finally:
            taking.join(timeout)
    return TcpResult(sent, received, intact=digest == seen and sent == received == size, error=error)


def _send(sender: socket.socket, goal: tuple[str, int], size: int) -> tuple[int, str, str]:
    digest, sent = hashlib.sha256(), 0
    try:
        sender.connect(goal)
        while sent < size:
            part = _CHUNK[: size - sent]
            sender.sendall(part)
            digest.update(part)
            sent += len(part)
        sender.shutdown(socket.SHUT_WR)
    except OSError as error:
        return sent, digest.hexdigest(), str(error) or type(error).__name__
    return sent, digest.hexdigest(), ""


def _take(listener: socket.socket, timeout: float, arrived: Future[tuple[int, str]]) -> None:
    try:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(timeout)
            digest, received = hashlib.sha256(), 0
            while part := connection.recv(1 << 16):
                digest.update(part)
                received += len(part)
        arrived.set_result((received, digest.hexdigest()))
    except (OSError, LabError) as error:
        arrived.set_exception(error)
