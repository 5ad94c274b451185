"""Bounds of what a port loses when its interface is pulled out: the rules, and the view of interfaces."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field

import pytest
from immutables import Map

from accounting.bounds import LAG_MS, Departure, Sighting, Wire, at_departure, sights, since_reading
from accounting.count import advance, fold
from accounting.encode import parse_state, parse_step, state_bytes, step_bytes
from accounting.records import Cause, Gap
from accounting.state import Reading, State
from accounting.turns import whole
from controller.agent.vantage import Track, Vantage
from controller.southbound.netlink import counters
from controller.southbound.netlink.counters import Count, LinkCounters, Look
from model.errors import Fault, Unavailable
from model.ids import ClassId, HostName, NetworkKey, PortKey, Uid
from model.intent import Port
from model.inventory import Interface, Switch
from model.snapshot import Snapshot, with_port
from tests.unit.accounting.examples import RUN, Names

PORT = PortKey(7)
SERIES = (PORT, ClassId(1), 1)


def wire(count: int, identity: str = "eth7#3") -> Wire:
    return Wire(identity, count)


def test_the_tightest_of_what_sightings_allow_is_the_bound():
    sighting = Sighting(wire(1_000), wire(3_000), 5_000, counted=500)
    # 4,000 passed since `older`, of which 500 and 2,900 are counted
    assert at_departure(Departure(wire(2_000), wire(5_000)), sighting, 2_900) == 600
    assert at_departure(Departure(wire(4_900), wire(5_000)), sighting, 2_900) == 100
    assert at_departure(Departure(None, wire(5_000)), None, 9_999) == 5_000


def test_what_cannot_be_told_is_unknown():
    sighting = Sighting(wire(1_000), wire(3_000), 5_000)
    assert at_departure(Departure(wire(2_000), None), sighting, 0) is None
    assert at_departure(Departure(wire(2_000), wire(5_000, "eth7#9")), sighting, 0) is None
    assert at_departure(Departure(wire(2_000), wire(100)), sighting, 0) is None
    assert since_reading(sighting, wire(2_999), 0) is None


def test_a_blind_reading_moves_no_sighting_and_keeps_what_it_counted():
    before = {PORT: Sighting(wire(0), wire(1_000), 0, counted=10)}
    after = whole(sights(before, {}, {PORT: 200}, 10 * LAG_MS, frozenset({PORT})))
    assert after == {PORT: Sighting(wire(0), wire(1_000), 0, counted=210)}
    after = whole(sights(before, {PORT: wire(1_200)}, {PORT: 200}, 10 * LAG_MS, frozenset()))
    assert after == {PORT: Sighting(wire(1_000), wire(1_200), 10 * LAG_MS)}


def test_a_clock_that_was_stepped_back_holds_no_sighting_for_hours():
    before = {PORT: Sighting(wire(1_000), wire(2_000), 7_200_000, counted=10)}
    after = whole(sights(before, {PORT: wire(3_000)}, {PORT: 200}, 5_000, frozenset()))
    assert after == {PORT: Sighting(wire(1_000), wire(2_000), 5_000, counted=210)}, "nothing is sure yet"
    after = whole(sights(after, {PORT: wire(4_000)}, {PORT: 300}, 5_000 + LAG_MS - 1, frozenset()))
    assert after[PORT] == Sighting(wire(1_000), wire(2_000), 5_000, counted=510)
    after = whole(sights(after, {PORT: wire(5_000)}, {PORT: 400}, 5_000 + LAG_MS, frozenset()))
    assert after == {PORT: Sighting(wire(2_000), wire(5_000), 5_000 + LAG_MS)}


def gaps_of(departure: Departure) -> list[tuple[Cause, int | None]]:
    state = State(next_sequence=1)
    for at, counter, count in ((1_000, None, 0), (10_000, (10, 1_000), 1_000), (20_000, (20, 2_000), 2_000)):
        counts = {SERIES: counter} if counter else {}
        step = advance(state, Reading(RUN, at, "netdev", counts, {PORT: wire(count)}), Names())
        state = parse_state(state_bytes(fold(state, parse_step(step_bytes(step)))))
    last = Reading(RUN, 21_000, "netdev", {SERIES: (25, 2_500)}, {}, {PORT: departure}, frozenset({PORT}))
    step = advance(state, last, Names(), frozenset({SERIES}))
    assert parse_step(step_bytes(step)) == step
    state = fold(state, step)
    again = advance(state, last, Names(), frozenset({SERIES}))
    assert not [r for r in again.records if isinstance(r, Gap)], "told twice"
    return [(r.cause, r.bound) for r in step.records if isinstance(r, Gap)]


def test_a_port_pulled_out_leaves_a_gap_only_if_something_can_have_been_pending():
    assert gaps_of(Departure(wire(2_900), wire(2_900))) == []
    assert gaps_of(Departure(wire(2_000), wire(2_900))) == [(Cause.PORT_REMOVED, 900)]
    assert gaps_of(Departure(wire(2_000), None)) == [(Cause.PORT_REMOVED, None)]


def test_a_count_is_sure_once_it_is_old_enough():
    track = Track(wire(0))
    for at, count in ((0, 100), (500, 200), (1_000, 300), (1_400, 400)):
        track = track.after(at, wire(count))
    assert track.sure == wire(100)
    assert track.after(1_500, wire(500)).sure == wire(200)
    assert track.after(1_500, wire(5, "eth7#4")).sure == wire(0, "eth7#4")


@dataclass
class Kernel:
    """Links as a test wants them."""

    received: int = 0
    index: int = 3
    left: dict[int, int | None] = field(default_factory=dict)
    present: tuple[str, ...] = ("eth7", "lo")
    broken: bool = False

    def look(self) -> Look:
        if self.broken:
            raise Unavailable(Fault("interfaces", "gone", "no answer", "wait"))
        return Look(tuple(Count(n, self.index, self.received) for n in self.present), dict(self.left))

    def close(self) -> None:
        self.present = ()


@dataclass
class Watch:
    """A vantage, its kernel and a clock."""

    kernel: Kernel = field(default_factory=Kernel)
    now: float = 100.0

    def __post_init__(self) -> None:
        self.vantage = Vantage(self.kernel, lambda: self.now)  # type: ignore[arg-type]

    def look(self, ofport: int = 1, started: str = "s1") -> None:
        interfaces = {Uid("p"): Interface("eth7", Uid("p"), ofport)} if ofport else {}
        snapshot = Snapshot(HostName("hv1"), switch=Switch("netdev", 1, started), interfaces=Map(interfaces))
        self.vantage.look(with_port(snapshot, Port(Uid("p"), NetworkKey(1), "vm", PORT, 2, (), ())))

    def count(self, received: int) -> frozenset[PortKey]:
        self.kernel.received = received
        self.now += 0.6
        return self.vantage.sight()

    def departures(self) -> dict[PortKey, Departure]:
        self.vantage.wires()
        return dict(self.vantage.departures())


@pytest.fixture
def watch() -> Watch:
    made = Watch()
    made.look()
    for received in (100, 200, 300, 400):
        assert made.count(received) == {PORT}
    return made


@pytest.mark.parametrize("ofport", [0, 2])
def test_an_interface_that_vanished_or_sits_elsewhere_was_pulled_out(watch: Watch, ofport: int):
    watch.look(ofport)
    watch.kernel.received = 450
    assert watch.departures() == {PORT: Departure(wire(200), wire(450))}
    watch.vantage.settle(watch.departures())
    assert not watch.vantage.pending


@pytest.mark.parametrize("closed", [False, True])
def test_an_agents_next_life_asks_for_old_interfaces_of_those_only_that_it_counted(closed: bool):
    """A port that was closed comes back to the host, by another interface: nothing of it can be missing."""
    state = State(next_sequence=1)
    first = Reading(RUN, 1_000, "netdev", {})
    counting = Reading(RUN, 2_000, "netdev", {SERIES: (1, 100)}, {PORT: wire(100, "eth7#2")})
    for reading in (first, counting):
        step = advance(state, reading, Names(), frozenset({SERIES} if closed else ()))
        state = fold(state, step)
    watch = Watch()
    watch.vantage.recall(state, Snapshot(HostName("hv1")))
    watch.look()
    assert state.sightings and watch.count(100) == ({PORT} if closed else frozenset())
    assert watch.vantage.pending is not closed


def test_a_new_vswitchd_may_number_its_ports_anew(watch: Watch):
    watch.look(9, "s2")
    assert watch.departures() == {}


def test_what_the_kernel_told_at_the_parting_wins_over_later_counts(watch: Watch):
    watch.kernel.left = {3: 420}
    assert watch.count(999) == frozenset(), "no longer surely here"
    watch.look(0)
    assert watch.departures() == {PORT: Departure(wire(200), wire(420))}


@pytest.mark.parametrize("left", [{}, {3: None}])
def test_an_interface_that_died_unseen_has_no_last_count(watch: Watch, left):
    watch.kernel.present, watch.kernel.left = (), left
    watch.look(0)
    assert watch.departures() == {PORT: Departure(wire(200), None)}


def test_an_interface_made_anew_before_anybody_said_so_was_pulled_out(watch: Watch):
    watch.kernel.index = 4
    assert watch.count(0) == frozenset()
    assert watch.departures() == {PORT: Departure(wire(200), None)}


def test_two_departures_before_a_reading_are_not_told_apart(watch: Watch):
    watch.look(2)
    watch.look(3)
    assert watch.departures() == {PORT: Departure(None, None)}


def test_a_kernel_that_does_not_answer_proves_nothing(watch: Watch):
    watch.kernel.broken = True
    assert watch.vantage.sight() == frozenset()
    with pytest.raises(Unavailable):
        watch.vantage.wires()
    watch.look(0)
    assert watch.vantage.departures() == {PORT: Departure(wire(200), None)}


def message(kind: int, index: int, flags: int, received: int, promiscuity: int, driver: bytes) -> bytes:
    """rtnetlink(7): nlmsghdr, ifinfomsg, and the attributes that are read."""

    def attribute(number: int, body: bytes) -> bytes:
        head = struct.pack("=HH", 4 + len(body), number)
        return head + body + b"\0" * (-len(body) % 4)

    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 1, index, flags, 0)
    body += attribute(3, b"eth7\0") + attribute(30, struct.pack("=I", promiscuity))
    body += attribute(23, struct.pack("=24Q", 0, 0, received, *[0] * 21))
    body += attribute(18 | 0x8000, attribute(1, driver + b"\0"))
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


NEW, DELETED, UP = 16, 17, 1


@pytest.mark.parametrize(
    ("told", "left"),
    [
        ([(NEW, UP, 10, 1, b"veth")], {}),
        ([(NEW, UP, 10, 0, b"veth")], {}),
        ([(NEW, UP, 10, 1, b"veth"), (NEW, UP, 50, 0, b"veth")], {3: 50}),
        ([(NEW, UP, 10, 1, b"veth"), (NEW, UP, 50, 0, b"veth"), (NEW, UP, 60, 1, b"veth")], {}),
        ([(NEW, UP, 10, 1, b"veth"), (NEW, 0, 0, 0, b"veth"), (DELETED, 0, 0, 0, b"veth")], {3: None}),
        ([(NEW, UP, 10, 1, b"veth"), (DELETED, 0, 0, 1, b"veth")], {3: None}),
        ([(NEW, UP, 10, 1, b"tun"), (DELETED, 0, 70, 1, b"tun")], {3: 70}),
    ],
)
def test_the_last_count_of_an_interface_that_a_switch_let_go(told, left):
    links = LinkCounters()
    for kind, flags, received, promiscuity, driver in told:
        data = message(kind, 3, flags, received, promiscuity, driver)
        for parsed in counters._parsed(data + data[:7]):
            links._note(parsed)
    assert links._left == left


def test_the_counts_are_those_of_the_kernel():
    links = LinkCounters()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        before = {c.name: c for c in links.look().counts}["lo"]
        sender.sendto(bytes(100), ("127.0.0.1", 9))
    after = {c.name: c for c in links.look().counts}["lo"]
    links.close()
    assert after.received - before.received >= 100 + 28
    assert after.index == socket.if_nametoindex("lo")
