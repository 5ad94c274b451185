"""Requests and replies matched by transaction id, several under way at once.

Place: between `stream` (bytes) and `channel` (flows). Must not know what a flow is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from controller.southbound.openflow.stream import ERROR, HEADER, Message, Stream
from controller.southbound.openflow.templates import ATOMIC_ORDERED

MULTIPART_REQUEST: Final = 18
MULTIPART_REPLY: Final = 19
BARRIER_REQUEST: Final = 20
BARRIER_REPLY: Final = 21
BUNDLE_CONTROL: Final = 33
_BUNDLE_CONTROL: Final = struct.Struct("!IHH")
_MULTIPART: Final = struct.Struct("!HHI")
_MORE: Final = 1
_ERROR: Final = struct.Struct("!HH")
_LAST_XID: Final = (1 << 31) - 1


class Step(Enum):
    """ofp_bundle_ctrl_type (OpenFlow 1.4.1 section 7.3.9.2)."""

    OPEN = 0
    COMMIT = 4
    DISCARD = 6


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error message of the switch (section 7.5.4): `type` and `code` name the reason."""

    type: int
    code: int

    def __str__(self) -> str:
        return f"error type {self.type} code {self.code} ({name(self.type, self.code)})"


@dataclass(slots=True)
class _Inbox:
    """What arrived and nobody took yet, by xid."""

    replies: set[int] = field(default_factory=set)
    errors: dict[int, Refusal] = field(default_factory=dict)
    parts: dict[int, list[bytes]] = field(default_factory=dict)


class Conversation:
    """One connection's requests under way."""

    def __init__(self, stream: Stream, timeout: float, clock: Callable[[], float]) -> None:
        self._stream = stream
        self._timeout = timeout
        self._clock = clock
        self._inbox = _Inbox()
        self._next = 1

    def take(self, count: int) -> int:
        """The first of `count` unused consecutive transaction ids."""
        if self._next + count > _LAST_XID:
            self._next = 1
        first = self._next
        self._next += count
        return first

    def write(self, output: bytes) -> None:
        """Send; replies that arrive meanwhile are kept."""
        self._stream.exchange(output, self._keep, lambda: True, self._deadline())

    def barrier(self) -> tuple[int, bytes]:
        """(xid, bytes) of a request that is answered when all before it is done."""
        xid = self.take(1)
        return xid, HEADER.pack(self._stream.version, BARRIER_REQUEST, HEADER.size, xid)

    def bundle(self, step: Step, bundle: int) -> tuple[int, bytes]:
        """(xid, bytes) of a bundle control message."""
        xid = self.take(1)
        body = _BUNDLE_CONTROL.pack(bundle, step.value, ATOMIC_ORDERED)
        return xid, HEADER.pack(self._stream.version, BUNDLE_CONTROL, HEADER.size + len(body), xid) + body

    def wait(self, xid: int) -> Refusal | None:
        """Till the reply to `xid` is there; the error, if that is the reply."""
        inbox = self._inbox
        self._stream.exchange(
            b"", self._keep, lambda: xid in inbox.replies or xid in inbox.errors, self._deadline()
        )
        inbox.replies.discard(xid)
        return inbox.errors.pop(xid, None)

    def errors(self, first: int, count: int) -> dict[int, Refusal]:
        """Take the errors of a range of transaction ids."""
        errors = self._inbox.errors
        if not errors:
            return {}
        return {xid: errors.pop(xid) for xid in sorted(errors) if first <= xid < first + count}

    def multipart(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of all replies to one multipart request (section 7.3.5)."""
        xid = self.take(1)
        request = _MULTIPART.pack(kind, 0, 0) + body
        self.write(
            HEADER.pack(self._stream.version, MULTIPART_REQUEST, HEADER.size + len(request), xid) + request
        )
        refusal = self.wait(xid)
        parts = self._inbox.parts.pop(xid, [])
        if refusal is not None:
            raise ValueError(f"multipart request {kind} refused: {refusal}")
        return parts

    def _deadline(self) -> float:
        return self._clock() + self._timeout

    def _keep(self, message: Message) -> None:
        if message.type == ERROR and len(message.body) >= _ERROR.size:
            self._inbox.errors[message.xid] = Refusal(*_ERROR.unpack_from(message.body))
        elif message.type == MULTIPART_REPLY and len(message.body) >= _MULTIPART.size:
            self._inbox.parts.setdefault(message.xid, []).append(message.body[_MULTIPART.size :])
            if not _MULTIPART.unpack_from(message.body)[1] & _MORE:
                self._inbox.replies.add(message.xid)
        elif message.type in (BARRIER_REPLY, BUNDLE_CONTROL):
            self._inbox.replies.add(message.xid)


_NAMES: Final = {
    (2, 0): "bad action type",
    (2, 4): "bad output port",
    (2, 5): "bad action argument",
    (2, 9): "bad action length or order",
    (2, 10): "actions inconsistent with the match",
    (2, 13): "bad set-field type",
    (2, 15): "bad set-field argument",
    (3, 0): "unknown instruction",
    (3, 2): "bad table to go to",
    (4, 4): "bad length of match field",
    (4, 6): "bad field in match",
    (4, 7): "bad value in match",
    (4, 8): "bad mask in match",
    (4, 9): "a field's prerequisite is missing in the match",
    (4, 10): "field twice in match",
    (5, 1): "table full",
    (5, 2): "bad table",
    (5, 3): "overlapping flow",
    (12, 1): "meter exists",
    (12, 2): "bad meter id",
    (12, 3): "unknown meter",
    (12, 5): "bad rate of a meter",
    (12, 6): "bad burst of a meter",
    (12, 11): "no room for another meter",
    (17, 3): "bundle is closed",
    (17, 15): "a message of the bundle failed",
}


def name(kind: int, code: int) -> str:
    """The meaning of an error (ofp_error_msg, section 7.5.4) in words."""
    return _NAMES.get((kind, code), "see OpenFlow 1.4.1 section 7.5.4")
