"""Our ping against a kernel, and against one that answers late: late is not lost, and lost is not late."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.contract.ovs import WAIT, eventually
from topologies.process import Outcome
from topologies.traffic.endpoint import open_socket
from topologies.traffic.ping import ping

LATE = 1.0
"""Seconds: ten intervals, and far more than the first answer takes."""
LOCAL = {4: "127.0.0.1", 6: "::1"}


@dataclass(frozen=True, slots=True)
class Place:
    """A network namespace with nothing in it but `lo`."""

    name: str
    pid: int

    def attempt(self, command: object, timeout: float) -> Outcome:
        raise AssertionError(f"{self.name}: ping runs {command} for {timeout} s")

    def run(self, *words: str) -> None:
        subprocess.run(["nsenter", f"--net=/proc/{self.pid}/ns/net", *words], check=True, timeout=WAIT)


@pytest.fixture
def place() -> Iterator[Place]:
    process = subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sleep", "infinity"])
    own = os.readlink("/proc/self/ns/net")
    try:
        eventually(lambda: os.readlink(f"/proc/{process.pid}/ns/net") != own, "no network namespace")
        made = Place("place", process.pid)
        made.run("ip", "link", "set", "lo", "up")
        yield made
    finally:
        process.kill()
        process.wait(WAIT)


@pytest.fixture(params=(4, 6))
def answerer(
    place: Place, request: pytest.FixtureRequest
) -> Iterator[Callable[[Callable[[int], float | None]], str]]:
    """Begin to answer instead of the kernel, each number after so many seconds or never; at which address."""
    six = request.param == 6
    setting = "net.ipv6.icmp.echo_ignore_all=1" if six else "net.ipv4.icmp_echo_ignore_all=1"
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    ended, threads = threading.Event(), list[threading.Thread]()
    link = open_socket(place, family, socket.SOCK_RAW, protocol)
    link.settimeout(0.1)

    def begin(after: Callable[[int], float | None]) -> str:
        place.run("sysctl", "-qw", setting)

        def answer(message: bytes, number: int) -> None:
            delay = after(number)
            if delay is None or (delay and ended.wait(delay)):
                return
            # type 8 or 128 becomes 0 or 129; a checksum over words changes by as much (RFC 1624)
            total = int.from_bytes(message[2:4], "big") + 0x0800
            total = (total & 0xFFFF) + (total >> 16)
            head = b"\x81\0\0\0" if six else b"\0\0" + total.to_bytes(2, "big")
            link.sendto(head + message[4:], (LOCAL[request.param], 0))

        def work() -> None:
            while not ended.is_set():
                try:
                    packet = link.recv(2048)
                except TimeoutError:
                    continue
                message = packet if six else packet[4 * (packet[0] & 15) :]
                if message[0] == (128 if six else 8):
                    number = int.from_bytes(message[6:8], "big")
                    threads.append(threading.Thread(target=answer, args=(message, number)))
                    threads[-1].start()

        threads.append(threading.Thread(target=work))
        threads[0].start()
        return LOCAL[request.param]

    yield begin
    ended.set()
    for thread in tuple(threads):
        thread.join(WAIT)
    link.close()


@pytest.mark.parametrize("address", LOCAL.values())
def test_a_kernel_answers_all(place: Place, address: str) -> None:
    found = ping(place, address, 20, interval=0.005)
    assert found.complete and len(found.times) == 20


def test_a_late_answer_is_an_answer(answerer: Callable[..., str], place: Place) -> None:
    """The first comes at once: the program ping would wait for no more than an interval then."""
    address = answerer(lambda number: LATE if number else 0)
    assert ping(place, address, 3, wait=WAIT).complete


def test_what_is_never_answered_is_lost(answerer: Callable[..., str], place: Place) -> None:
    address = answerer(lambda number: None if number == 1 else 0)
    found = ping(place, address, 3, wait=LATE)
    assert (found.sent, found.received) == (3, 2) and found.reached and not found.complete


def test_nobody_answers(answerer: Callable[..., str], place: Place) -> None:
    address = answerer(lambda _: None)
    found = ping(place, address, 2, wait=LATE / 4)
    assert (found.sent, found.received) == (2, 0) and not found.reached


@pytest.mark.parametrize("address", ["10.1.2.3", "fd00::1"])
def test_without_a_route_nothing_is_sent(place: Place, address: str) -> None:
    found = ping(place, address, 2, wait=LATE / 4)
    assert found.sent == 0 and not found.reached and not found.complete
