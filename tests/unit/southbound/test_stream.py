"""The connection to a switch that behaves badly: late, silent, garbled, or asking for an echo in between."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from controller.southbound import rpc
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.openflow.stream import Stream
from model.errors import Invalid, Unavailable

HEADER = struct.Struct("!BBHI")
HELLO = HEADER.pack(5, 0, 8, 0)
AMPLE = 60.0
"""Seconds for what comes by itself, on a machine that is busy with other things."""


@contextmanager
def served(path: Path, talk: Callable[[socket.socket], None]) -> Iterator[Path]:
    """A server whose one connection is handed to `talk` in a thread."""
    with closing(socket.socket(socket.AF_UNIX)) as server:
        server.bind(str(path))
        server.listen(1)
        server.settimeout(AMPLE)

        def serve() -> None:
            with suppress(OSError):
                connection, _ = server.accept()
                with closing(connection):
                    connection.settimeout(AMPLE)
                    talk(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield path
        thread.join(AMPLE)
        assert not thread.is_alive()


def whole(connection: socket.socket) -> bytes:
    """One message; b"" if the other side has hung up."""
    head = exactly(connection, 8)
    return head + exactly(connection, HEADER.unpack(head)[2] - 8) if head else b""


def exactly(connection: socket.socket, size: int) -> bytes:
    """So many octets. MSG_WAITALL does not wait on a socket with a timeout: Python makes it non-blocking."""
    data = b""
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            return b""
        data += part
    return data


def clock() -> Callable[[], float]:
    """A clock that advances by a second whenever it is read: a deadline comes without waiting."""
    now = iter(range(1000))
    return lambda: float(next(now))


def test_a_switch_that_never_greets(tmp_path: Path) -> None:
    with served(tmp_path / "s", lambda c: c.recv(4096) and c.recv(4096)):
        with pytest.raises(Unavailable, match="no answer before the deadline"):
            Stream(tmp_path / "s", 0.2, clock())


def test_another_version(tmp_path: Path) -> None:
    """OFPET_HELLO_FAILED instead of a hello."""
    refusal = HEADER.pack(4, 1, 12, 0) + struct.pack("!HH", 0, 0)
    with served(tmp_path / "s", lambda c: whole(c) and c.sendall(refusal)):
        with pytest.raises(Unavailable, match=r"refuses OpenFlow 1\.4"):
            Channel(tmp_path / "s", Encoder()).active_tables()


def test_a_length_below_the_header(tmp_path: Path) -> None:
    with served(tmp_path / "s", lambda c: whole(c) and c.sendall(HELLO + HEADER.pack(5, 21, 3, 1))):
        with pytest.raises(Unavailable, match="length 3"):
            Channel(tmp_path / "s", Encoder()).active_tables()


def test_hangs_up_in_the_middle_of_an_answer(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        whole(connection)
        connection.sendall(HELLO)
        request = whole(connection)
        connection.sendall(HEADER.pack(5, 19, 400, HEADER.unpack(request[:8])[3]) + b"\0" * 20)

    with served(tmp_path / "s", talk):
        with pytest.raises(Unavailable, match=r"closed the connection|connection lost"):
            Channel(tmp_path / "s", Encoder()).active_tables()


def test_unreadable_statistics_close_the_connection(tmp_path: Path) -> None:
    def talk(connection: socket.socket) -> None:
        whole(connection)
        connection.sendall(HELLO)
        xid = HEADER.unpack(whole(connection)[:8])[3]
        body = struct.pack("!HHI", 1, 0, 0) + b"\xff" * 40
        connection.sendall(HEADER.pack(5, 19, 8 + len(body), xid) + body)

    with served(tmp_path / "s", talk):
        with pytest.raises(Unavailable, match="unreadable answer"):
            Channel(tmp_path / "s", Encoder()).dump(3)


def test_echo_is_answered_between_messages(tmp_path: Path) -> None:
    """Also while a large request is half written: the answer must not stand in its middle."""
    heard: list[bytes] = []
    large = b"".join(HEADER.pack(5, 14, 4096, n) + b"\0" * 4088 for n in range(4000))

    def talk(connection: socket.socket) -> None:
        whole(connection)
        connection.sendall(HELLO + HEADER.pack(5, 2, 12, 77) + b"ping")
        for _ in range(4001):
            heard.append(whole(connection))

    with served(tmp_path / "s", talk):
        import time

        stream = Stream(tmp_path / "s", AMPLE, time.monotonic)
        stream.exchange(large, lambda _: None, lambda: True, time.monotonic() + AMPLE)
    kinds = [message[1] for message in heard]
    assert kinds.count(14) == 4000 and kinds.count(3) == 1
    assert next(m for m in heard if m[1] == 3) == HEADER.pack(5, 3, 12, 77) + b"ping"
    stream.close()


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    def talk(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(answer)

    return talk


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "hung up"),
        (b'{"id": 0, "resu', "hung up"),
        (b"[1]", "JSON object"),
        (b"{]}", "hung up|something else than JSON"),
        (b"{nonsense}", "something else than JSON"),
    ],
)
def test_rpc_takes_no_nonsense(tmp_path: Path, answer: bytes, message: str) -> None:
    with served(tmp_path / "s", answering(answer)):
        with pytest.raises(Unavailable, match=message):
            rpc.call(tmp_path / "s", "list-commands", [], AMPLE)


def test_rpc_result_and_error(tmp_path: Path) -> None:
    with served(tmp_path / "a", answering(b'{"id":0,"result":"a \\"}{\\" b","error":null}')):
        assert rpc.call(tmp_path / "a", "m", [], AMPLE) == 'a "}{" b'
    with served(tmp_path / "b", answering(b'{"id":0,"result":null,"error":"no such thing\\n"}')):
        with pytest.raises(Invalid, match="no such thing"):
            rpc.call(tmp_path / "b", "m", [], AMPLE)


def test_rpc_without_server(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no answer to m"):
        rpc.call(tmp_path / "none", "m", [], AMPLE)
