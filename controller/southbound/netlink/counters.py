"""Counters: what came in from interfaces by the kernel's counters, also of those that just left the switch.

Place: asked by the agent's metering twice a second, for the bounds of gaps. Open vSwitch makes an interface
promiscuous while it holds it and stops when it lets go; the kernel tells of that, with the counters as of
then (rtnetlink(7), RTM_NEWLINK), and of a tap's last ones when it is deleted (RTM_DELLINK). Must not change a
link.

Reads the messages itself: the general parser needs 250 ms of CPU for 1,000 links, this one 15.
"""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from model.errors import Fault, Unavailable

REMEMBERED: Final = 4_096
"""Interfaces that left, of which the last counters are kept."""
_MESSAGE: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, sender
_LINK: Final = struct.Struct("=BxHiII")  # ifinfomsg: family, type, index, flags, changed
_ATTRIBUTE: Final = struct.Struct("=HH")
_DONE, _ERROR, _NEWLINK, _DELLINK, _GETLINK = 3, 2, 16, 17, 18
_REQUEST_DUMP: Final = 0x301
_GROUP_LINK: Final = 1
_IFNAME, _LINKINFO, _STATS64, _PROMISCUITY, _KIND = 3, 18, 23, 30, 1
_NESTED: Final = 0x3FFF
_UP: Final = 1
_RX_BYTES: Final = 16
_BUFFER: Final = 1 << 18
_TIMEOUT: Final = 2.0


@dataclass(frozen=True, slots=True)
class Count:
    """An interface's received layer-2 bytes since it was made. `index` is new when it is made anew."""

    name: str
    index: int
    received: int


@dataclass(frozen=True, slots=True)
class Look:
    """`counts`: of all links, now. `left`: of those that a switch held and let go, by index.

    The last count of such a one, taken when it was let go or later; None = not known.
    """

    counts: tuple[Count, ...]
    left: dict[int, int | None]


@dataclass(frozen=True, slots=True)
class _Told:
    kind: int
    index: int
    flags: int
    name: str
    received: int
    promiscuity: int
    driver: str


class LinkCounters:
    """Of the network namespace in which it is first asked. One thread calls it."""

    def __init__(self) -> None:
        self._asking: socket.socket | None = None
        self._events: socket.socket | None = None
        self._held: set[int] = set()
        self._left: dict[int, int | None] = {}

    def look(self) -> Look:
        """Take in what the kernel told since the last look, and read all links. Unavailable if refused."""
        try:
            if self._asking is None or self._events is None:
                self._events = _opened(_GROUP_LINK)
                self._asking = _opened(0)
            for told in _news(self._events):
                self._note(told)
            found = list(_dump(self._asking))
        except OSError as error:
            self.close()
            raise _unavailable(error) from error
        for told in found:
            self._note(told)
        for index in self._held - {told.index for told in found}:
            self._held.discard(index)
            self._left.setdefault(index, None)
        while len(self._left) > REMEMBERED:
            del self._left[next(iter(self._left))]
        return Look(tuple(Count(t.name, t.index, t.received) for t in found), dict(self._left))

    def close(self) -> None:
        """Give the sockets back; a later look opens them again."""
        for opened in (self._asking, self._events):
            if opened is not None:
                opened.close()
        self._asking = self._events = None

    def _note(self, told: _Told) -> None:
        if told.kind == _DELLINK:
            if told.index in self._held:
                # a veth has lost its counters by then: it had them from its peer
                self._left[told.index] = told.received if told.driver == "tun" else None
                self._held.discard(told.index)
        elif told.promiscuity:
            self._held.add(told.index)
            self._left.pop(told.index, None)
        elif told.index in self._held:
            self._held.discard(told.index)
            # down may mean that it is being deleted
            self._left[told.index] = told.received if told.flags & _UP else None


def _opened(groups: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, groups))
        opened.settimeout(0.0 if groups else _TIMEOUT)
    except OSError:
        opened.close()
        raise
    return opened


def _news(events: socket.socket) -> Iterator[_Told]:
    """What was told since. Lost messages (ENOBUFS) are made up for by the dump that follows."""
    while True:
        try:
            data = events.recv(_BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            continue
        for told in _parsed(data):
            if told is not None:
                yield told


def _dump(asking: socket.socket) -> Iterator[_Told]:
    body = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
    asking.send(_MESSAGE.pack(_MESSAGE.size + len(body), _GETLINK, _REQUEST_DUMP, 0, 0) + body)
    while True:
        for told in _parsed(asking.recv(_BUFFER)):
            if told is None:
                return
            yield told


def _parsed(data: bytes) -> Iterator[_Told | None]:
    """The links of one datagram; None where a dump ends."""
    offset = 0
    while offset + _MESSAGE.size <= len(data):
        length, kind, *_ = _MESSAGE.unpack_from(data, offset)
        if kind == _DONE:
            yield None
        elif kind == _ERROR:
            raise OSError("the kernel refuses to list links")
        elif kind in (_NEWLINK, _DELLINK):
            family, _, index, flags, _ = _LINK.unpack_from(data, offset + _MESSAGE.size)
            start = offset + _MESSAGE.size + _LINK.size
            told = _link(kind, index, flags, dict(_attributes(data, start, offset + length)))
            if family == socket.AF_UNSPEC and told is not None:
                yield told
        offset += (max(length, _MESSAGE.size) + 3) & ~3


def _link(kind: int, index: int, flags: int, said: dict[int, bytes]) -> _Told | None:
    if not {_IFNAME, _STATS64, _PROMISCUITY} <= said.keys():
        return None
    (received,) = struct.unpack_from("=Q", said[_STATS64], _RX_BYTES)
    (promiscuity,) = struct.unpack_from("=I", said[_PROMISCUITY])
    info = said.get(_LINKINFO, b"")
    driver = dict(_attributes(info, 0, len(info))).get(_KIND, b"")
    return _Told(kind, index, flags, _text(said[_IFNAME]), received, promiscuity, _text(driver))


def _attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    while start + _ATTRIBUTE.size <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < _ATTRIBUTE.size:
            return
        yield kind & _NESTED, data[start + _ATTRIBUTE.size : start + length]
        start += (length + 3) & ~3


def _text(raw: bytes) -> str:
    return raw.rstrip(b"\0").decode(errors="replace")


def _unavailable(error: OSError) -> Unavailable:
    return Unavailable(
        Fault(
            "interfaces",
            "link-unavailable",
            f"their counters can't be read: {error}",
            "look at `ip -s link show` on this host",
        )
    )
