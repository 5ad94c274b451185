"""Echo over loopback: needs raw sockets, so it stands with the tests that need root."""

from __future__ import annotations

import os
import select
import socket
from contextlib import closing
from ipaddress import ip_address

from controller.southbound.probe import Prober, Verdict
from topologies.deadline import PATIENCE

HERE4, HERE6 = ip_address("127.0.0.1"), ip_address("::1")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_living_answer_and_the_silent_are_overdue() -> None:
    clock = Clock()
    with closing(Prober(0x1234567890ABCDEF, clock)) as prober:
        silent = ip_address("240.0.0.1")  # reserved (RFC 1112 section 4): no route leads there
        prober.send([HERE4, HERE6, silent], 5.0)
        assert prober.next_deadline() == 5.0
        found: list[Verdict] = []
        while len(found) < 2:
            assert select.select(prober.filenos(), [], [], PATIENCE)[0]
            found += prober.collect()
        assert {(v.address, v.alive) for v in found} == {(HERE4, True), (HERE6, True)}
        assert prober.collect() == ()
        clock.now = 5.0
        assert prober.collect() == (Verdict(silent, False),)
        assert prober.next_deadline() is None


def test_answers_to_others_and_forged_ones_are_passed_over() -> None:
    clock = Clock()
    with closing(Prober(1, clock)) as asker, closing(Prober(2, clock)) as other:
        asker.send([ip_address("127.0.0.3")], 1.0)
        other.send([HERE4], 1.0)
        with closing(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)) as forger:
            forger.sendto(b"\0\0\0\0\0\1\0\1" + b"\0" * 8, ("127.0.0.1", 0))
            forger.sendto(b"\0" * 8, ("127.0.0.1", 0))
        seen: list[Verdict] = []
        while not seen:
            assert select.select(asker.filenos(), [], [], PATIENCE)[0]
            seen += asker.collect()
        assert seen == [Verdict(ip_address("127.0.0.3"), True)]


def test_a_flood_of_other_messages_neither_wakes_nor_holds_it() -> None:
    """Only echo replies come in, and of these no more than a thousand are looked at in one go."""
    with closing(Prober(1, Clock())) as asker:
        with closing(socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)) as forger:
            forger.sendto(b"\3\0" + b"\0" * 14, ("127.0.0.1", 0))  # destination unreachable
            forger.sendto(b"\0\0" + b"\0" * 6 + MARK, ("127.0.0.1", 0))  # the control: an echo reply
            assert {kind for kind, _ in received(asker)} == {0}
            forger.sendto(b"\0\0" + b"\0" * 6 + MARK, ("127.0.0.1", 0))
            assert select.select(asker.filenos(), [], [], PATIENCE)[0]
        assert asker.collect() == ()


MARK = b"the last"


def received(prober: Prober) -> list[tuple[int, bytes]]:
    """Type and content of the ICMP messages that its socket for IPv4 takes, up to one that says MARK. Others
    of this machine may ping as well."""
    found: list[tuple[int, bytes]] = []
    number, _ = prober.filenos()
    while not found or found[-1][1] != MARK:
        assert select.select([number], [], [], PATIENCE)[0], found
        with closing(socket.socket(fileno=os.dup(number))) as taken:
            raw = taken.recv(2048)
        at = 4 * (raw[0] & 15)  # of the IP header
        found.append((raw[at], raw[at + 8 :]))
    return found
