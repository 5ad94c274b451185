"""Quiet: one port that asks now and then, for names, metadata and its address, and how long it waits.

Place: used by `neighbours`, in the namespace of what answers. Must not flood.
"""

from __future__ import annotations

import itertools
import os
import socket
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.southbound.openflow.stream import HEADER, HELLO, VERSION
from model.ids import PortKey
from model.serving import SERVED, alias
from pipelines import cookies
from pipelines.limits import QUESTION_BURST, QUESTION_RATE
from tests.bench.beside import Beside
from tests.bench.rig import await_that
from tests.bench.throng import MACS, QUIET
from tests.fakes import askers
from tests.fakes.tenants import question

ASKED: Final = ("UDP", "outside", "TCP", "metadata")
SECONDS: Final = 5.0
_PATIENCE: Final = 2.0
_PAUSE: Final = 0.01
_HOST: Final = str(alias(PortKey(QUIET), 0, 4))
_NAMES: Final = (str(SERVED[0]), 53)
_WEB: Final = (str(SERVED[2]), 80)
_GET: Final = b"GET /latest/meta-data/instance-id HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n"
_OWN: Final = f"p{QUIET}.t2.internal"
_fresh = itertools.count()
_PACKET_IN: Final = 10
_PACKET_OUT: Final = 13
_NOBODY: Final = 0xFFFFFFFF
_ENTRY: Final = 0x80000004
"""OXM of in_port."""
_OUT: Final = struct.Struct("!IIH6xHHI")


def await_answers() -> None:
    """Until names are served."""
    await_that(lambda: _wait("UDP") < _PATIENCE, "names are served", 60.0)


def ask() -> dict[str, list[float]]:
    """Milliseconds of each question, by what was asked; `_PATIENCE` for one that was not answered."""
    found: dict[str, list[float]] = {what: [] for what in ASKED}
    end = time.perf_counter() + SECONDS
    while time.perf_counter() < end or not all(found.values()):
        for what in ASKED:
            found[what].append(_wait(what) * 1e3)
            time.sleep(_PAUSE)
    return found


def _wait(what: str) -> float:
    stream = what in ("TCP", "metadata")
    began = time.perf_counter()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM) as link:
        link.settimeout(_PATIENCE)
        link.bind((_HOST, 0))
        try:
            link.connect(_WEB if what == "metadata" else _NAMES)
            name = f"quiet{os.getpid()}-{next(_fresh)}.test" if what == "outside" else _OWN
            wire = question(name)
            link.sendall(
                _GET if what == "metadata" else struct.pack("!H", len(wire)) + wire if stream else wire
            )
            if not link.recv(4096):
                return _PATIENCE
        except OSError:
            return _PATIENCE
    return min(time.perf_counter() - began, _PATIENCE)


def ask_addresses(flooding: int) -> dict[str, list[float]]:
    """The same of DHCP, from the agent's own thread; this process is the switch."""
    with tempfile.TemporaryDirectory(prefix="rfbench") as directory:
        path = str(Path(directory) / "br.mgmt")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(path)
            listener.listen()
            with Beside("throng", "answer", path, flooding):
                return {"DHCP": _Switch(listener.accept()[0], flooding).ask(flooding)}


class _Switch:
    """Hands questions up as meters let them through, and takes answers."""

    def __init__(self, link: socket.socket, flooding: int) -> None:
        self._link = link
        link.sendall(HEADER.pack(VERSION, HELLO, HEADER.size, 0))
        self._frames = {key: _handed_up(key) for key in range(1, max(flooding + 1, QUIET) + 1)}
        self._answered = threading.Event()
        self._whole = threading.Lock()  # two threads hand up, and each message has to be in one piece
        threading.Thread(target=self._listen, daemon=True).start()

    def _hand_up(self, key: int) -> None:
        with self._whole:
            self._link.sendall(self._frames[key])

    def ask(self, flooding: int) -> list[float]:
        ended = threading.Event()
        flood = threading.Thread(target=self._flood, args=(flooding, ended))
        flood.start()
        waited, end = [], time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            self._answered.clear()
            began = time.perf_counter()
            self._hand_up(QUIET)
            self._answered.wait(_PATIENCE)
            waited.append(min(time.perf_counter() - began, _PATIENCE) * 1e3)
            time.sleep(0.1)  # its own meter: ten a second
        ended.set()
        flood.join()
        self._link.close()
        return waited

    def _flood(self, count: int, ended: threading.Event) -> None:
        keys = [key for key in range(1, count + 2) if key != QUIET][:count]
        for _ in range(QUESTION_BURST if keys else 0):
            for key in keys:
                self._hand_up(key)
        began, sent = time.perf_counter(), 0
        wheel = itertools.cycle(keys)
        while keys and not ended.is_set():
            due = int((time.perf_counter() - began) * QUESTION_RATE * len(keys))
            for key in itertools.islice(wheel, due - sent):
                self._hand_up(key)
            sent = due
            time.sleep(0.005)

    def _listen(self) -> None:
        with suppress(OSError):
            for kind, body in _messages(self._link.recv):
                if kind == _PACKET_OUT and _OUT.unpack_from(body)[-1] == QUIET:
                    self._answered.set()


def _messages(read: Callable[[int], bytes]) -> Iterator[tuple[int, bytes]]:
    buffer = b""
    while data := read(1 << 16):
        buffer += data
        while len(buffer) >= HEADER.size:
            _, kind, length, _ = HEADER.unpack_from(buffer)
            if len(buffer) < length:
                break
            yield kind, buffer[HEADER.size : length]
            buffer = buffer[length:]


def _handed_up(port: int) -> bytes:
    """A DISCOVER of a port."""
    mac = MACS + port
    frame = askers.dhcp4(
        ("message-type", "discover"),
        ("param_req_list", askers.ALL),
        mac=":".join(f"{octet:02x}" for octet in mac.to_bytes(6, "big")),
        chaddr=mac.to_bytes(6, "big"),
    )
    body = struct.pack("!IHBBQ", _NOBODY, len(frame), 0, 0, cookies.asked(PortKey(port)))
    body += struct.pack("!HHIIxxxxxx", 1, 12, _ENTRY, port) + frame
    return HEADER.pack(VERSION, _PACKET_IN, HEADER.size + len(body), 0) + body
