"""Wider queues for a switch that waits: borrowed from a real process, which keeps what it lost before."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.contract.ovs import WAIT, eventually
from topologies.nodes.room import ROOM, keep_room, make_room

FRAMES, SIZE = 600, 1000
SLEEPER = f"""
import socket, sys
ours = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
ours.bind(("lo", 3))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
other.bind(("127.0.0.1", 0))
source = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    if line == "room\\n":
        print(*(s.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for s in (ours, other)), flush=True)
    elif line == "more\\n":
        later = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        print(later.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), flush=True)
    elif line == "later\\n":
        print(later.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), flush=True)
    else:
        ours.setblocking(False)
        for number in range({FRAMES}):
            source.sendto(bytes({SIZE}), other.getsockname())
        got = 0
        try:
            while True:
                got += len(ours.recv(2048)) >= {SIZE}
        except BlockingIOError:
            print(got, flush=True)
"""


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not read while frames come, in a network namespace with nothing but `lo`."""
    inner = f"ip link set lo up; exec {sys.executable} -c '{SLEEPER}'"
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-ec", inner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait(WAIT)
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()


def ask(process: subprocess.Popen[bytes], word: str) -> list[int]:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(f"{word}\n".encode())
    process.stdin.flush()
    return [int(n) for n in process.stdout.readline().split()]


def test_frames_that_nobody_reads_for_a_while_are_kept(sleeper: subprocess.Popen[bytes]) -> None:
    before = ask(sleeper, "burst")[0]
    assert 0 < before < FRAMES, "the queue was wide enough: this proves nothing"
    packets, datagrams = ask(sleeper, "room")
    known: set[str] = set()
    make_room(sleeper.pid, known)
    assert ask(sleeper, "room") == [2 * ROOM, datagrams], "packet sockets, and no others"
    assert packets < 2 * ROOM
    assert ask(sleeper, "burst")[0] > before
    assert len(known) >= 3
    seen = set(known)
    make_room(sleeper.pid, known)
    assert known == seen


def test_sockets_that_come_later_are_widened_too(sleeper: subprocess.Popen[bytes]) -> None:
    keep_room(sleeper)
    eventually(lambda: ask(sleeper, "room")[0] == 2 * ROOM, "not widened")
    ask(sleeper, "more")
    eventually(lambda: ask(sleeper, "later")[0] == 2 * ROOM, "what came later was not widened")


def test_a_process_that_has_ended_has_nothing_to_widen(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.kill()
    sleeper.wait(WAIT)
    with pytest.raises(ProcessLookupError):
        make_room(sleeper.pid, set())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own:
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) < 2 * ROOM
