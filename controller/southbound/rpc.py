"""One JSON-RPC 1.0 call over a unix socket, with a deadline.

Place: under `unixctl` (commands of ovs-vswitchd) and `ovsdb` (the schema). Must not keep connections.
Source: ovsdb-server(7), RFC 7047 section 3.1; ovs-appctl speaks the same.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from model.errors import Fault, Invalid, Unavailable

LONGEST: Final = 64 << 20
"""Octets of an answer that nobody has reason to exceed."""


def unavailable(path: Path, message: str) -> Unavailable:
    """The other side does not answer."""
    return Unavailable(
        Fault(f"socket {path}", "ovs-unavailable", message, "see that ovsdb-server and ovs-vswitchd run")
    )


def call(
    path: Path,
    method: str,
    params: Sequence[object],
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> object:
    """The `result` of the answer. Unavailable without one in `timeout` seconds, Invalid if it is an error."""
    deadline = clock() + timeout
    request = json.dumps({"id": 0, "method": method, "params": list(params)}).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(request)
            answer = _receive(connection, path, deadline, clock)
    except OSError as error:
        raise unavailable(path, f"no answer to {method}: {error}") from error
    if answer.get("error") is not None:
        raise Invalid(
            Fault(
                f"command {method}", "ovs-refuses-command", str(answer["error"]).strip(), "see its arguments"
            )
        )
    return answer.get("result")


def _receive(
    connection: socket.socket, path: Path, deadline: float, clock: Callable[[], float]
) -> dict[str, object]:
    """One JSON object; its end is found by bracket depth outside strings, so each octet is looked at once."""
    pieces: list[bytes] = []
    depth, quoted, escaped, size = 0, False, False, 0
    while True:
        left = deadline - clock()
        if left <= 0:
            raise unavailable(path, "no answer before the deadline")
        connection.settimeout(left)
        piece = connection.recv(1 << 18)
        if not piece:
            raise unavailable(path, "hung up before the end of its answer")
        size += len(piece)
        if size > LONGEST:
            raise unavailable(path, f"answers more than {LONGEST} octets")
        pieces.append(piece)
        for octet in piece:
            if escaped:
                escaped = False
            elif quoted:
                escaped, quoted = octet == 0x5C, octet != 0x22
            elif octet == 0x22:
                quoted = True
            else:
                depth += (octet in b"{[") - (octet in b"}]")
        if depth == 0 and not quoted:
            return _parse(b"".join(pieces), path)


def _parse(text: bytes, path: Path) -> dict[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise unavailable(path, f"answers something else than JSON: {error}") from error
    if not isinstance(value, dict):
        raise unavailable(path, "answers something else than a JSON object")
    return value
