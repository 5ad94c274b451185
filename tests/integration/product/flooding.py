"""A flood out of one VM, as a process of its own in that VM's network, apart from what measures.

Place: run by `test_floods` as a program: it reads frames, or where to connect, from its standard input, and
floods until that ends; then it says how many. Must not be used outside of a lab's namespaces.

    flooding.py frames INTERFACE A_SECOND     hexadecimal frames, one a line, then an empty line
    flooding.py bent INTERFACE A_SECOND       the same, no two of them sent alike
    flooding.py connections A_SECOND          ADDRESS PORT, one a line, then an empty line
"""

from __future__ import annotations

import contextlib
import itertools
import random
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

HELD = 4_000
"""Connections that are kept open, or on their way, at once."""
_TURN = 0.005
_BENT = {
    b"\x08\x00": (15, 22, 31, 32, 33, *range(34, 38)),
    b"\x86\xdd": (15, 21, *range(40, 54), *range(54, 58)),
}
"""Where a frame of IPv4 or IPv6 has its class of service, its hops, its destination, and ports behind it."""


def flood(once: Callable[[], None], rate: float) -> int:
    """So many a second in the long run, until the input ends; how many."""
    count, start = 0, time.monotonic()
    while not select.select([sys.stdin], [], [], 0)[0]:
        due = int((time.monotonic() - start) * rate)
        for _ in range(count, due):
            once()
        count = max(count, due)
        time.sleep(_TURN)
    return count


def frames(interface: str, given: list[str], rate: float, form: Callable[[bytes], bytes]) -> int:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        endless = itertools.cycle([bytes.fromhex(line) for line in given])

        def once() -> None:
            with contextlib.suppress(OSError):  # a full queue: it is lost, as it would be on its way
                sender.send(form(next(endless)))

        return flood(once, rate)


def connections(given: list[str], rate: float) -> int:
    """Begun, and let go only when there are too many of them."""
    ends = itertools.cycle([(line.split()[0], int(line.split()[1])) for line in given])
    held: deque[socket.socket] = deque()

    def once() -> None:
        address, port = next(ends)
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        with contextlib.suppress(OSError):
            made.connect((address, port))
        held.append(made)
        while len(held) > HELD:
            held.popleft().close()

    return flood(once, rate)


def bent(frame: bytes) -> bytes:
    """To another address, with other ports, another TTL and another kind of service each time."""
    made, places = bytearray(frame), _BENT[frame[12:14]]
    for place, octet in zip(places, random.randbytes(len(places)), strict=True):
        made[place] = octet
    return bytes(made)


def main(kind: str, *words: str) -> None:
    given = [line.strip() for line in iter(sys.stdin.readline, "\n")]
    print("begun", flush=True)
    if kind == "connections":
        print(connections(given, float(words[0])), flush=True)
    else:
        print(frames(words[0], given, float(words[1]), bent if kind == "bent" else bytes), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
