"""Counted UDP: numbered datagrams at a steady pace, and exactly what became of each.

Place: byte-exact accounting tests and "nothing was lost while ..." tests. Must not send faster than a veth's
receiver drains: above 3,000 packets/s the loss is the lab's own.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType

from topologies.errors import LabError
from topologies.traffic.endpoint import SO_RCVBUFFORCE, Endpoint, family_of, open_socket

RATE_LIMIT = 3000
SIZE_LIMIT = 1402
"""Largest payload that fits MTU 1450 with IPv6 and UDP headers."""
_NUMBER = struct.Struct("!Q")
_HEADERS = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
_LATE = 0.02
"""Seconds of a stall of this machine that are made up for by a burst. What a longer one would send at once
belongs to no steady pace, and queues of the kernel hold about 90 frames where nobody has widened them."""
_QUIET = 5.0
_POLL = 0.1
_BUFFER = 8 << 20
_JOIN_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class UdpResult:
    """What was sent and what arrived. `size`: payload bytes of each; `headers`: its IP + UDP header bytes.

    `longest_gap`: the longest time in seconds between two arrivals. `refused`: sends that the kernel refused.
    """

    sent: int
    received: int
    duplicates: int
    refused: int
    size: int
    headers: int
    longest_gap: float
    lost_numbers: tuple[int, ...]

    @property
    def lost(self) -> int:
        """Datagrams that never came."""
        return self.sent - self.received

    @property
    def layer3_bytes(self) -> int:
        """Bytes sent, with IP and UDP headers, without Ethernet: the unit of the bill."""
        return self.sent * (self.size + self.headers)


class UdpStream:
    """A stream in the background: enter to start, `stop()` for the result."""

    def __init__(
        self,
        source: Endpoint,
        target: Endpoint,
        address: str,
        rate: int = 1000,
        size: int = 100,
        port: int = 9999,
        limit: int | None = None,
    ) -> None:
        """`address`: the target's; `rate` packets/s; `size` payload bytes, 8 to 1402; `limit` datagrams."""
        if not 0 < rate <= RATE_LIMIT:
            raise LabError(f"rate {rate}: 1 to {RATE_LIMIT} packets/s")
        if not _NUMBER.size <= size <= SIZE_LIMIT:
            raise LabError(f"size {size}: {_NUMBER.size} to {SIZE_LIMIT} bytes")
        self._family = family_of(address)
        self._goal, self._rate, self._size, self._limit = (address, port), rate, size, limit
        self._sender = open_socket(source, self._family, socket.SOCK_DGRAM)
        self._receiver = open_socket(target, self._family, socket.SOCK_DGRAM)
        self._receiver.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        self._receiver.bind(("", port))
        self._receiver.settimeout(_POLL)
        self._halt, self._sent_all = threading.Event(), threading.Event()
        self._sent = self._refused = self._duplicates = 0
        self._numbers: set[int] = set()
        self._longest = 0.0
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._receive, self._send)]

    def __enter__(self) -> UdpStream:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def sent(self) -> int:
        """Datagrams sent so far."""
        return self._sent

    @property
    def received(self) -> int:
        """Different datagrams received so far."""
        return len(self._numbers)

    def finish(self) -> UdpResult:
        """Wait until `limit` datagrams are sent, then stop."""
        if self._limit is None:
            raise LabError("a stream without a limit never finishes by itself")
        self._sent_all.wait(self._limit / self._rate + _JOIN_TIMEOUT)
        return self.stop()

    def stop(self) -> UdpResult:
        """Stop sending, wait until all came or nothing came for a second, and count."""
        self._halt.set()
        for thread in self._threads:
            thread.join(_JOIN_TIMEOUT)
        self._sender.close()
        self._receiver.close()
        missing = tuple(n for n in range(self._sent) if n not in self._numbers)
        return UdpResult(
            self._sent,
            len(self._numbers),
            self._duplicates,
            self._refused,
            self._size,
            _HEADERS[self._family],
            self._longest,
            missing,
        )

    def _send(self) -> None:
        padding = bytes(self._size - _NUMBER.size)
        started = time.monotonic()
        while not self._halt.is_set() and (self._limit is None or self._sent < self._limit):
            pause = started + (self._sent + self._refused) / self._rate - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            elif pause < -_LATE:
                started -= pause + _LATE
            try:
                self._sender.sendto(_NUMBER.pack(self._sent) + padding, self._goal)
            except OSError:
                self._refused += 1
                if self._limit is not None and self._refused > self._limit:
                    break
            else:
                self._sent += 1
        self._sent_all.set()

    def _receive(self) -> None:
        last = time.monotonic()
        while True:
            try:
                data = self._receiver.recv(2048)
            except TimeoutError:
                if self._over() and time.monotonic() - last > _QUIET:
                    return
                continue
            now = time.monotonic()
            if self._numbers:
                self._longest = max(self._longest, now - last)
            last = now
            self._take(_NUMBER.unpack_from(data)[0])
            if self._over() and len(self._numbers) == self._sent:
                return

    def _take(self, number: int) -> None:
        if number in self._numbers:
            self._duplicates += 1
        self._numbers.add(number)

    def _over(self) -> bool:
        return self._sent_all.is_set()


def count_udp(
    source: Endpoint,
    target: Endpoint,
    address: str,
    packets: int,
    size: int = 100,
    rate: int = 1000,
    port: int = 9999,
) -> UdpResult:
    """Send exactly `packets` datagrams of `size` payload bytes, and count what arrives."""
    with UdpStream(source, target, address, rate, size, port, packets) as stream:
        return stream.finish()
