"""Path probes: when a VTEP counts as down and as up, which underlay paths lose, what a frame looks like."""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether

from controller.agent.paths import ENTROPY, INTERVAL, LIMIT, RATE, RECOVERY, TIMEOUT, Paths, probe, read
from model.addresses import PROBE_REPLY_MAC, PROBE_REQUEST_MAC, Address, format_mac
from model.ids import Mac

TOKEN = 0x1234567890ABCDEF
A, B = ip_address("192.0.2.2"), ip_address("192.0.2.3")
SOURCE = Mac(0x0E52C0000201)


class Net:
    """A clock, and VTEPs that answer or not: `dead`, or on some source ports only (`broken`)."""

    def __init__(self, *vteps: Address) -> None:
        self.paths, self.now = Paths(TOKEN), 100.0
        self.dead: set[Address] = set()
        self.broken: set[int] = set()
        self.paths.want(vteps, self.now)

    def run(self, probes: int) -> None:
        for _ in range(probes):
            for vtep, number in self.paths.send(self.now):
                if vtep not in self.dead and number % ENTROPY not in self.broken:
                    self.paths.hear(int(vtep), answer(number))
            self.now += max(self.paths.interval(), TIMEOUT)
            self.paths.expire(self.now)


def answer(number: int, token: int = TOKEN) -> bytes:
    frame = probe(SOURCE, token, number)
    return PROBE_REPLY_MAC.to_bytes(6, "big") + frame[6:]


def test_one_that_stops_is_down_after_some_and_up_after_some() -> None:
    net = Net(A, B)
    net.run(3)
    assert net.paths.down() == frozenset()
    net.dead = {A}
    net.run(LIMIT - 1)
    assert net.paths.down() == frozenset()
    net.run(1)
    assert net.paths.down() == {A}
    net.dead = set()
    net.run(RECOVERY - 1)
    assert net.paths.down() == {A}
    net.run(1)
    assert net.paths.down() == frozenset()


def test_one_that_never_answered_is_no_news() -> None:
    net = Net(A, B)
    net.dead = {A}
    net.run(20)
    assert net.paths.down() == frozenset()


def test_who_answers_nothing_is_named_even_if_it_never_did() -> None:
    net = Net(A, B)
    net.dead = {A}
    net.run(LIMIT - 1)
    assert net.paths.unanswered() == frozenset()
    net.run(1)
    assert net.paths.unanswered() == {A} and net.paths.down() == frozenset()
    net.dead = set()
    net.run(1)
    assert net.paths.unanswered() == frozenset()


def test_if_nobody_answers_it_is_this_host() -> None:
    net = Net(A, B)
    net.run(2)
    net.dead = {A, B}
    net.run(LIMIT)
    assert net.paths.down() is None
    net.dead = {A}
    net.run(RECOVERY)
    assert net.paths.down() == {A}


def test_a_broken_underlay_path_is_named_by_its_ports() -> None:
    net = Net(A)
    net.broken = {3, 11}
    net.run(4 * ENTROPY)
    assert net.paths.down() == frozenset()
    lost, sent, ports = net.paths.losses()[A]
    assert (lost, sent, ports) == (4, 32, (49152 + 3, 49152 + 11))


def test_answers_count_from_the_right_vtep_in_time_and_once() -> None:
    net = Net(A, B)
    sent = dict(net.paths.send(net.now))
    net.paths.hear(int(B), answer(sent[A]))
    net.paths.hear(int(A), answer(sent[A], TOKEN + 1))
    net.paths.hear(int(A), answer(99))
    net.paths.expire(net.now + TIMEOUT)
    net.paths.hear(int(A), answer(sent[A]))
    assert [path.misses for path in net.paths._paths.values()] == [1, 1]


def test_a_pause_says_nothing() -> None:
    net = Net(A, B)
    net.run(2)
    for _ in range(3 * LIMIT):
        net.paths.send(net.now)
        net.paths.pause()
        net.now += 2 * TIMEOUT
        net.paths.expire(net.now)
    assert net.paths.down() == frozenset()


def test_many_vteps_are_asked_more_seldom() -> None:
    few, many = Paths(TOKEN), Paths(TOKEN)
    few.want([A], 0.0)
    many.want([ip_address(0x0A000000 + n) for n in range(1000)], 0.0)
    assert (few.interval(), many.interval()) == (INTERVAL, 1000 / RATE)


def test_forgotten_ones_leave_nothing() -> None:
    net = Net(A, B)
    net.paths.send(net.now)
    net.paths.want([], net.now)
    assert (net.paths._paths, net.paths._numbers, net.paths.due()) == ({}, {}, None)


def test_a_probe_is_a_sound_packet_with_its_own_source_port() -> None:
    ports = set()
    for number in range(ENTROPY):
        frame = Ether(probe(SOURCE, TOKEN, number))
        assert (frame.dst, frame.src) == (format_mac(PROBE_REQUEST_MAC), format_mac(SOURCE))
        checksum = frame[IP].chksum
        del frame[IP].chksum
        assert Ether(bytes(frame))[IP].chksum == checksum
        ports.add(frame[UDP].sport)
    assert len(ports) == ENTROPY


@given(st.binary(max_size=120))
def test_no_bytes_raise(data: bytes) -> None:
    assert read(data, TOKEN) is None
