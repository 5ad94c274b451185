"""First packets of TCP connections, each with ports of its own, as fast as one core sends them.

Place: run by `policies` inside of a VM: `python -m tests.bench.hail INTERFACE PID COUNT`, with one SYN on
standard input, hexadecimal. PID: a process in the receiver's namespace. Prints how many a second came out
there, from the first one until no more came.
"""

from __future__ import annotations

import socket
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PORT, _SUM = 34, 50
"""Where a SYN over IPv4 without options has its source port, and its checksum."""
_FIRST, _LAST = 1024, 65_000
_QUIET = 0.3


def main() -> None:
    """Send; look at the other end until it is quiet."""
    interface, pid, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    frames = tuple(_each(bytearray.fromhex(sys.stdin.read().strip()), count))
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((interface, 0))
    before, began = received(pid, interface), time.perf_counter()
    for frame in frames:
        try:
            link.send(frame)
        except OSError:
            pass  # its queue is full: that is the point
    known, last = received(pid, interface), time.perf_counter()
    while time.perf_counter() - last < _QUIET:
        time.sleep(0.005)
        if (now := received(pid, interface)) != known:
            known, last = now, time.perf_counter()
    print((known - before) / (last - began))


def _each(frame: bytearray, count: int) -> Iterator[bytes]:
    """With source ports in a row; the checksum follows from what changed (RFC 1624)."""
    (port, total) = (struct.unpack_from("!H", frame, at)[0] for at in (_PORT, _SUM))
    if count > _LAST - _FIRST:
        raise ValueError(f"at most {_LAST - _FIRST} connections")
    for number in range(_FIRST, _FIRST + count):
        changed = (~total & 0xFFFF) + (~port & 0xFFFF) + number
        while changed >> 16:
            changed = (changed & 0xFFFF) + (changed >> 16)
        struct.pack_into("!H", frame, _PORT, number)
        struct.pack_into("!H", frame, _SUM, ~changed & 0xFFFF)
        yield bytes(frame)


def received(pid: int, interface: str) -> int:
    """Packets that an interface received, of the namespace of a process."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            return int(counts.split()[1])
    raise RuntimeError(f"no interface {interface}")


if __name__ == "__main__":
    main()
