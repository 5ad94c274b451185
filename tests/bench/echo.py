"""How long a switch leaves others waiting: echo requests on a connection and in a process of their own.

Place: started by `flows` around what it measures (`Beside`), so that neither Python nor the other connection
stands between question and answer. As a program (`python -m tests.bench.echo SOCKET`) it asks until its
standard input ends, and prints the times as JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time

from tests.bench.beside import begun, over

_HEADER = struct.Struct("!BBHI")
_VERSION, _HELLO, _REQUEST, _REPLY = 5, 0, 2, 3
_PAUSE = 0.0005


def seconds(told: str) -> tuple[float, ...]:
    """The times of all answers, in order, of what it printed."""
    return tuple(json.loads(told))


def main() -> None:
    """Ask, wait for the answer, again."""
    asked = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    asked.connect(sys.argv[1])
    asked.settimeout(30)
    asked.sendall(_HEADER.pack(_VERSION, _HELLO, _HEADER.size, 1))
    ended = over()
    times: list[float] = []
    while not ended.is_set():
        began = time.perf_counter()
        asked.sendall(_HEADER.pack(_VERSION, _REQUEST, _HEADER.size, 2))
        while _next(asked) != _REPLY:
            pass
        times.append(time.perf_counter() - began)
        if len(times) == 1:
            begun()
        time.sleep(_PAUSE)
    print(json.dumps(times))


def _next(stream: socket.socket) -> int:
    """The type of the next message; an echo request of the switch is answered."""
    _, kind, length, xid = _HEADER.unpack(_exactly(stream, _HEADER.size))
    body = _exactly(stream, length - _HEADER.size)
    if kind == _REQUEST:
        stream.sendall(_HEADER.pack(_VERSION, _REPLY, length, xid) + body)
    return int(kind)


def _exactly(stream: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        more = stream.recv(size - len(data))
        if not more:
            raise ConnectionError("the switch hung up")
        data += more
    return data


if __name__ == "__main__":
    main()
