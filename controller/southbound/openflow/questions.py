"""Questions: what ports ask comes up here, and answers go down, on a connection of their own.

Place: under `controller.agent.answering`, beside session and bulk channel: a flood of questions delays
neither bundles nor what the session hands up, and neither delays an answer. Open vSwitch hands up here what
flows send to `Special.CONTROLLER_ASKED`, and nothing else. One thread. Must not know what is asked.

Source: OpenFlow 1.4.1 sections 7.3.2, 7.3.7 and 7.4.1; nicira-ext.h for the connection's id.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.southbound.openflow.stream import HEADER, VERSION, Message, Stream
from model.ids import ANSWERING

TIMEOUT: Final = 5.0
"""Seconds without progress after which the switch counts as gone."""
MOST: Final = 9_300
"""Octets of the longest frame that is handed down: of a network with the largest MTU."""
_EXPERIMENTER: Final = 4
_SET_CONFIG: Final = 9
_PACKET_IN: Final = 10
_PACKET_OUT: Final = 13
_NICIRA: Final = 0x2320
_SET_CONTROLLER_ID: Final = 20
_CONTROLLER_ID: Final = struct.Struct("!II6xH")
_CONFIG: Final = struct.Struct("!HH")
_WHOLE: Final = 0xFFFF
_IN: Final = struct.Struct("!IHBBQ")
_MATCH: Final = struct.Struct("!HH")
_TERM: Final = struct.Struct("!HBB")
_BASIC: Final = 0x8000
_IN_PORT: Final = 0
_OUT: Final = struct.Struct("!IIH6x")
_OUTPUT: Final = struct.Struct("!HHIH6x")
_NO_BUFFER: Final = 0xFFFFFFFF
_FROM_CONTROLLER: Final = 0xFFFFFFFD


@dataclass(frozen=True, slots=True)
class Question:
    """A frame, from its Ethernet header on, and the cookie of the flow that handed it up."""

    cookie: int
    in_port: int
    frame: bytes


class Line:
    """One connection. After an Unavailable it is closed and of no more use."""

    def __init__(
        self, path: Path, timeout: float = TIMEOUT, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._timeout, self._clock = timeout, clock
        self._heard: list[Question] = []
        self._stream = Stream(path, timeout, clock)
        named = _CONTROLLER_ID.pack(_NICIRA, _SET_CONTROLLER_ID, ANSWERING)
        # by default Open vSwitch hands such a connection nothing up
        whole = _CONFIG.pack(0, _WHOLE)
        self._write(_framed(_EXPERIMENTER, named) + _framed(_SET_CONFIG, whole))

    def close(self) -> None:
        """Hang up; harmless twice."""
        self._stream.close()

    def listen(self, wait: float) -> tuple[Question, ...]:
        """What was asked; empty if nothing is within `wait` seconds."""
        if not self._heard:
            self._stream.hear(self._take, wait)
        heard, self._heard = tuple(self._heard), []
        return heard

    def answer(self, port: int, frame: bytes) -> None:
        """Send a frame out of this OpenFlow port, and of no other."""
        if len(frame) > MOST:
            raise ValueError(f"a frame of {len(frame)} octets")
        action = _OUTPUT.pack(0, _OUTPUT.size, port, 0)
        self._write(
            _framed(_PACKET_OUT, _OUT.pack(_NO_BUFFER, _FROM_CONTROLLER, len(action)) + action + frame)
        )

    def _write(self, output: bytes) -> None:
        self._stream.exchange(output, self._take, lambda: True, self._clock() + self._timeout)

    def _take(self, message: Message) -> None:
        found = parse(message)
        if found is not None:
            self._heard.append(found)


def parse(message: Message) -> Question | None:
    """A packet-in; None for anything else, and for one that makes no sense."""
    body = message.body
    if message.type != _PACKET_IN or len(body) < _IN.size + _MATCH.size:
        return None
    cookie = _IN.unpack_from(body)[4]
    length = _MATCH.unpack_from(body, _IN.size)[1]
    start = _IN.size + -(-length // 8) * 8 + 2  # the match is padded to 8 octets, and 2 more follow
    port = _port(body[_IN.size + _MATCH.size : _IN.size + length])
    return None if port is None or start > len(body) else Question(cookie, port, body[start:])


def _port(terms: bytes) -> int | None:
    at = 0
    while at + _TERM.size <= len(terms):
        kind, field, length = _TERM.unpack_from(terms, at)
        at += _TERM.size
        if kind == _BASIC and field >> 1 == _IN_PORT and length == 4:
            return int.from_bytes(terms[at : at + length], "big")
        at += length
    return None


def _framed(kind: int, body: bytes) -> bytes:
    return HEADER.pack(VERSION, kind, HEADER.size + len(body), 0) + body
