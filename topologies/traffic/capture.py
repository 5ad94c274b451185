"""Captures: every frame of an interface, and proof that an empty capture means silence.

Place: the negative half of isolation tests. Must not report "nothing leaked" before it has seen a control
frame twice: once before the attack (it can see), once after (what was under way has arrived).
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType

from topologies.deadline import PATIENCE
from topologies.errors import LabError
from topologies.traffic.endpoint import SO_RCVBUFFORCE, Endpoint, family_of, open_socket

_ETH_P_ALL = 3
_SOL_PACKET = 263
_PACKET_STATISTICS = 6
_OUTGOING = 4
_BUFFER = 16 << 20
_POLL = 0.1
_SNAP = 65536
_REPEAT = 0.3
_JOIN_TIMEOUT = 60.0


class Direction(Enum):
    """As seen from the node: received, or sent by it."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Frame:
    """A whole Ethernet frame; `seconds` on the monotonic clock."""

    raw: bytes
    direction: Direction
    seconds: float


Test = Callable[[Frame], bool]


def contains(marker: bytes) -> Test:
    """Frames, either way, that hold these bytes anywhere."""
    return lambda frame: marker in frame.raw


def incoming(test: Test) -> Test:
    """Only frames that the node received."""
    return lambda frame: frame.direction is Direction.IN and test(frame)


class Capture:
    """A capture of one interface of a node; a context manager."""

    def __init__(self, endpoint: Endpoint, interface: str = "eth0") -> None:
        self.name = f"{endpoint.name}/{interface}"
        self._socket = open_socket(endpoint, socket.AF_PACKET, socket.SOCK_RAW)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        self._socket.settimeout(_POLL)
        self._socket.bind((interface, _ETH_P_ALL))
        self._frames: list[Frame] = []
        self._changed = threading.Condition()
        self._halt, self._halted = threading.Event(), 0.0
        self._controls = 0
        self._dropped = 0
        self._thread = threading.Thread(target=self._read, name=f"capture-{self.name}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Capture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop reading; frames stay readable."""
        if self._halt.is_set():
            return
        self._halted = time.monotonic()
        self._halt.set()
        self._thread.join(_JOIN_TIMEOUT)
        self._dropped += self._drops()
        self._socket.close()

    def frames(self) -> tuple[Frame, ...]:
        """All frames so far, in order."""
        with self._changed:
            return tuple(self._frames)

    def matching(self, test: Test) -> tuple[Frame, ...]:
        """Frames so far for which `test` holds."""
        return tuple(f for f in self.frames() if test(f))

    def await_frame(self, test: Test, timeout: float = PATIENCE, start: int = 0) -> Frame:
        """The first frame from index `start` on for which `test` holds; LabError after `timeout` s."""
        found = self._find(test, time.monotonic() + timeout, start)
        if found is None:
            raise LabError(
                f"{self.name}: no such frame within {timeout:g} s (of {len(self._frames)} frames seen)"
            )
        return found

    def confirm(self, send: Callable[[], None], test: Test, timeout: float = PATIENCE) -> None:
        """Positive control: call `send` (again each 0.3 s) until a new frame satisfies `test`.

        LabError if none comes: then this capture proves nothing.
        """
        end = time.monotonic() + timeout
        start = len(self.frames())
        while time.monotonic() < end:
            send()
            if self._find(test, min(time.monotonic() + _REPEAT, end), start) is not None:
                self._controls += 1
                return
        raise LabError(
            f"{self.name}: the control frame was not seen within {timeout:g} s: it would see nothing"
        )

    def leaks(self, test: Test) -> tuple[Frame, ...]:
        """Frames for which `test` holds, of a capture that was confirmed before and after the attack.

        LabError if it was confirmed less than twice, or if the kernel dropped frames of it.
        """
        if self._controls < 2:
            raise LabError(f"{self.name}: confirm it before and after the attack, or silence means nothing")
        if not self._halt.is_set():
            self._dropped += self._drops()
        if self._dropped:
            raise LabError(
                f"{self.name}: the kernel dropped {self._dropped} frames: it may have missed a leak"
            )
        return self.matching(test)

    def _find(self, test: Test, end: float, start: int) -> Frame | None:
        with self._changed:
            position = start
            while True:
                while position < len(self._frames):
                    position += 1
                    if test(self._frames[position - 1]):
                        return self._frames[position - 1]
                left = end - time.monotonic()
                if left <= 0:
                    return None
                self._changed.wait(left)

    def _read(self) -> None:
        while True:
            try:
                raw, source = self._socket.recvfrom(_SNAP)
            except TimeoutError:
                if self._halt.is_set():
                    return
                continue
            except OSError:
                return  # The interface went away; what was seen stays.
            direction = Direction.OUT if source[2] == _OUTGOING else Direction.IN
            now = time.monotonic()
            with self._changed:
                self._frames.append(Frame(raw, direction, now))
                self._changed.notify_all()
            if self._halt.is_set() and now > self._halted + _POLL:
                return  # Traffic goes on for ever; what was under way at the end has been read.

    def _drops(self) -> int:
        """Frames that did not fit the socket's buffer since the last call (packet(7), PACKET_STATISTICS)."""
        try:
            raw = self._socket.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        except OSError:
            return 0
        return int(struct.unpack("=II", raw)[1])


def beacon(source: Endpoint, address: str, marker: bytes, port: int = 9) -> Callable[[], None]:
    """A sender for `confirm`: each call sends one UDP datagram that holds `marker`."""

    def send() -> None:
        with open_socket(source, family_of(address), socket.SOCK_DGRAM) as sender:
            sender.sendto(marker, (address, port))

    return send
