"""Frames as fast as one core sends them, or once each; and how many came out at the other end.

Place: run by `packets` inside of the switch's network namespace: `python -m tests.bench.flood SECONDS OUT
IN`, with the frames on standard input, hexadecimal, one a line. SECONDS 0: each frame once, without haste.
Prints the frames that IN received in a second (or received, with 0).
"""

from __future__ import annotations

import itertools
import socket
import sys
import time
from pathlib import Path

_WARM = 0.3
_GENTLY = 0.001
_CHUNK = 256


def main() -> None:
    """Send; count at the other end by the kernel's own counters."""
    seconds, out, end = float(sys.argv[1]), sys.argv[2], sys.argv[3]
    frames = [bytes.fromhex(line) for line in sys.stdin.read().split()]
    link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    link.bind((out, 0))
    if not seconds:
        before = _received(end)
        for frame in frames:
            link.send(frame)
            time.sleep(_GENTLY)
        time.sleep(_WARM)
        print(_received(end) - before)
        return
    _send(link, frames, _WARM)
    before, began = _received(end), time.perf_counter()
    _send(link, frames, seconds)
    print((_received(end) - before) / (time.perf_counter() - began))


def _send(link: socket.socket, frames: list[bytes], seconds: float) -> None:
    over, wheel, send = time.perf_counter() + seconds, itertools.cycle(frames), link.send
    while time.perf_counter() < over:
        for frame in itertools.islice(wheel, _CHUNK):
            try:
                send(frame)
            except OSError:
                pass  # its queue is full: that is the point


def _received(interface: str) -> int:
    for line in Path("/proc/self/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == interface:
            return int(counts.split()[1])
    raise RuntimeError(f"no interface {interface}")


if __name__ == "__main__":
    main()
