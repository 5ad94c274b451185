"""Traffic: the numbered datagrams of all streams at a steady pace, and two witnesses of them.

Place: between the layout and the verdict. What *left* a port is counted by the kernel of its VM, where it
goes out of the interface; what *came* is counted datagram by datagram where it was sent to. Must not know of
faults: who moves is told to it. Two threads for all, as the machine is small.
"""

from __future__ import annotations

import heapq
import re
import selectors
import socket
import struct
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.torture.layout import Stream
from tests.torture.verdict import NOTHING, Amount
from topologies.traffic.endpoint import SO_RCVBUFFORCE, Endpoint, open_socket

RATE = 8.0
"""Datagrams a second of each stream."""
_NUMBER = struct.Struct("!Q")
_BUFFER = 4 << 20
_TABLE = "witness"
_COUNTED = re.compile(r"udp dport (\d+) counter packets (\d+) bytes (\d+)")
_STRAY = re.compile(r"ether type != arp counter packets (\d+) bytes (\d+)")


@dataclass(slots=True)
class Tally:
    """Of one stream. `numbers`: a bit for each datagram that came."""

    sent: int = 0
    came: int = 0
    twice: int = 0
    refused: int = 0
    left: int = 0
    numbers: bytearray = field(default_factory=bytearray)

    def take(self, number: int) -> None:
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self.numbers):
            self.numbers.extend(bytes(place - len(self.numbers) + 1024))
        if self.numbers[place] & bit:
            self.twice += 1
        else:
            self.numbers[place] |= bit
            self.came += 1


@dataclass(slots=True)
class _End:
    stream: Stream
    address: str
    tally: Tally = field(default_factory=Tally)
    out: socket.socket | None = None
    into: socket.socket | None = None
    held: bool = False


class Traffic:
    """`begin`, tell who moves, `stop`, then ask. Streams that are `still` wait for `resume`."""

    def __init__(self) -> None:
        self._ends: dict[int, _End] = {}
        self._guard = threading.RLock()
        self._selector = selectors.DefaultSelector()
        self._halt, self._silent = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=f, daemon=True) for f in (self._send, self._receive)]
        self._stray: dict[str, Amount] = {}

    def add(self, stream: Stream, source: Endpoint, target: Endpoint, address: str) -> None:
        """Before `begin`; `attend` the sources yourself."""
        self._ends[stream.number] = _End(stream, address, held=stream.way.still)
        self.send_from(stream, source)
        self.receive_at(stream, target)

    def begin(self) -> None:
        for thread in self._threads:
            thread.start()

    def send_from(self, stream: Stream, source: Endpoint | None) -> None:
        """From now on it is sent there (None: by nobody)."""
        made = None if source is None else open_socket(source, _family(stream), socket.SOCK_DGRAM)
        with self._guard:
            end = self._ends[stream.number]
            old, end.out = end.out, made
        if old is not None:
            old.close()

    def receive_at(self, stream: Stream, target: Endpoint) -> None:
        """From now on it is received there too; a former place is given up."""
        made = open_socket(target, _family(stream), socket.SOCK_DGRAM)
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, _BUFFER)
        made.bind(("", stream.udp))
        made.setblocking(False)
        with self._guard:
            end = self._ends[stream.number]
            if end.into is not None:
                self._drain(end)
                self._selector.unregister(end.into)
                end.into.close()
            end.into = made
            self._selector.register(made, selectors.EVENT_READ, end)

    def hold(self, streams: Iterable[Stream]) -> None:
        """Send none of these any more."""
        with self._guard:
            for stream in streams:
                self._ends[stream.number].held = True

    def resume(self, streams: Iterable[Stream]) -> None:
        with self._guard:
            for stream in streams:
                self._ends[stream.number].held = False

    def tally(self, stream: Stream) -> Tally:
        return self._ends[stream.number].tally

    def stop(self, quiet: float = 2.0) -> None:
        """Stop sending; go on receiving until nothing has come for a while."""
        self._silent.set()
        self._threads[0].join(10)
        came, since = -1, time.monotonic()
        while time.monotonic() - since < quiet:
            now = sum(end.tally.came for end in self._ends.values())
            if now != came:
                came, since = now, time.monotonic()
            self._halt.wait(0.1)
        self._halt.set()
        self._threads[1].join(10)
        for end in self._ends.values():
            for one in (end.out, end.into):
                if one is not None:
                    one.close()

    def attend(self, vm: Endpoint, streams: Iterable[Stream]) -> None:
        """Count in a VM's kernel what leaves its interface: each stream, and the rest but ARP."""
        rules = "\n".join(f"  udp dport {stream.udp} counter accept" for stream in streams)
        text = (
            f"table netdev {_TABLE} {{\n chain out {{\n  type filter hook egress device eth0 priority 0;\n"
            f"{rules}\n  ether type != arp counter\n }}\n}}\n"
        )
        vm.run(["nft", "-f", "-"], stdin=text.encode())

    def dismiss(self, vm: Endpoint, port: str) -> None:
        """Take a VM's counts to the port's account, once: before its interface goes, and at the end."""
        text = vm.run(["nft", "list", "table", "netdev", _TABLE])
        counted = {int(udp): int(packets) for udp, packets, _ in _COUNTED.findall(text)}
        ends = {end.stream.udp: end for end in self._ends.values()}
        for udp, packets in counted.items():
            ends[udp].tally.left += packets
        (stray,) = _STRAY.findall(text)
        self._stray[port] = self.stray(port) + Amount(int(stray[0]), int(stray[1]))
        vm.run(["nft", "delete", "table", "netdev", _TABLE])

    def stray(self, port: str) -> Amount:
        """Frames besides the streams that left a port."""
        return self._stray.get(port, NOTHING)

    def _send(self) -> None:
        step = 1.0 / RATE
        began = time.monotonic()
        due = [(began + step * n / len(self._ends), number) for n, number in enumerate(sorted(self._ends))]
        heapq.heapify(due)
        while not self._silent.is_set():
            at, number = due[0]
            now = time.monotonic()
            if at > now:
                time.sleep(min(at - now, 0.05))
                continue
            heapq.heapreplace(due, (max(at + step, now), number))
            self._one(self._ends[number])

    def _one(self, end: _End) -> None:
        tally, stream = end.tally, end.stream
        with self._guard:
            if end.held or end.out is None:
                return
            try:
                end.out.sendto(
                    _NUMBER.pack(tally.sent) + bytes(stream.size - _NUMBER.size), (end.address, stream.udp)
                )
            except OSError:
                tally.refused += 1
            else:
                tally.sent += 1

    def _receive(self) -> None:
        while not self._halt.is_set():
            for key, _ in self._selector.select(0.1):
                with self._guard:
                    if key.data.into is key.fileobj:
                        self._drain(key.data)

    def _drain(self, end: _End) -> None:
        assert end.into is not None
        with suppress(BlockingIOError):
            while True:
                end.tally.take(_NUMBER.unpack_from(end.into.recv(2048))[0])


def _family(stream: Stream) -> int:
    return socket.AF_INET if stream.family == 4 else socket.AF_INET6
