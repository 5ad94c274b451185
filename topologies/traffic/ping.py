"""Ping: ICMP and ICMPv6 echo, counted.

Place: the demo's matrix and most tests. With a socket of its own: the program ping, once anything was
answered, waits for the rest only as long as answers took before, so that a machine that stood still for a
tenth of a second is a loss to it. Must not retry: what was lost is part of the result.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Final

from topologies.errors import LabError
from topologies.traffic.endpoint import Endpoint, family_of, open_socket

_HEAD: Final = struct.Struct("!BBHHH")
"""Type, code, checksum, identifier, sequence number: RFC 792, and RFC 4443 section 4."""
_MARK_SIZE: Final = 16
_PAYLOAD: Final = 56
"""Octets, as of the program ping."""
_UNREACHABLE: Final = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EADDRNOTAVAIL)
"""No route, one that refuses (ip-route(8): unreachable, prohibit), or no address to send from."""
_SNAP: Final = 2048


@dataclass(frozen=True, slots=True)
class PingResult:
    """Echo requests sent and answered; `times` in milliseconds, in the order of the requests."""

    sent: int
    received: int
    times: tuple[float, ...]

    @property
    def reached(self) -> bool:
        """At least one answer came."""
        return self.received > 0

    @property
    def complete(self) -> bool:
        """Every request was answered."""
        return 0 < self.sent == self.received


def ping(
    source: Endpoint, address: str, count: int = 3, interval: float = 0.1, wait: float = 5.0
) -> PingResult:
    """Send `count` echo requests, one each `interval` s; then wait up to `wait` s for what is not answered.

    To see that nobody answers, wait less: who is there is seen to answer at the first chance that comes.

    No route counts as nothing sent. LabError if the node is gone or the kernel refuses otherwise.
    """
    six = family_of(address) == socket.AF_INET6
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    with closing(open_socket(source, family, socket.SOCK_RAW, protocol)) as link:
        try:
            link.connect((address, 0))
        except OSError as error:
            if error.errno in _UNREACHABLE:
                return PingResult(0, 0, ())
            raise LabError(f"{source.name}: can't ping {address}: {error}") from error
        return _exchange(link, count, interval, wait, six=six)


def _exchange(link: socket.socket, count: int, interval: float, wait: float, *, six: bool) -> PingResult:
    mark, sent, came = os.urandom(_MARK_SIZE), dict[int, float](), dict[int, float]()
    start = time.monotonic()
    for number in range(count):
        # what a router said of the one before would have this one refused
        link.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        with suppress(OSError):  # a request that can't be sent is lost
            link.send(_request(number, mark, six=six))
        sent[number] = time.monotonic()
        last = number + 1 == count
        end = sent[number] + wait if last else start + (number + 1) * interval
        for answered, moment in _answers(link, mark, end, six=six):
            came.setdefault(answered, moment)
            if last and len(came) == count:
                break
    times = tuple((came[number] - sent[number]) * 1e3 for number in sorted(came))
    return PingResult(count, len(came), times)


def _answers(link: socket.socket, mark: bytes, end: float, *, six: bool) -> Iterator[tuple[int, float]]:
    """Numbers of requests that are answered until `end`, and when."""
    while (left := end - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            packet = link.recv(_SNAP)
        except TimeoutError:
            return
        except OSError:  # what a router says of a request (icmp(7)): it is not answered
            continue
        number = _answered(packet if six else packet[4 * (packet[0] & 15) :], mark, six=six)
        if number is not None:
            yield number, time.monotonic()


def _request(number: int, mark: bytes, *, six: bool) -> bytes:
    data = mark.ljust(_PAYLOAD, b"\0")
    identifier = int.from_bytes(mark[:2], "big")
    plain = _HEAD.pack(128 if six else 8, 0, 0, identifier, number & 0xFFFF) + data
    if six:  # the kernel writes it: RFC 3542 section 3.1
        return plain
    total = sum(struct.unpack(f"!{len(plain) // 2}H", plain))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return plain[:2] + struct.pack("!H", ~total & 0xFFFF) + plain[4:]


def _answered(message: bytes, mark: bytes, *, six: bool) -> int | None:
    """The number of the request that this answers; None if it is something else."""
    if len(message) != _HEAD.size + _PAYLOAD or message[0] != (129 if six else 0):
        return None
    if message[_HEAD.size : _HEAD.size + _MARK_SIZE] != mark:
        return None
    return int(_HEAD.unpack_from(message)[4])
