"""Two partners with clocks that differ, delays anywhere and a store that comes and goes: never do both let
pass.

The real Leasing of each runs against a store and two switches in simulated time. Each step of it (a request
on its way, its effect, the answer on its way back) may take as long as drawn: an agent that is stopped in
between.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from controller.agent import lease
from controller.agent.lease import LEAST, Act, Standing, Timing
from controller.agent.leasing import Leased, Leasing
from controller.store.leases import Lease
from model.errors import Fault, RingfenceError, Unavailable
from model.ids import HostName

NAMES = (HostName("dpu-a"), HostName("dpu-b"))
DRIFT = 0.01
SLACK = 0.8
"""Seconds after its timeout for which Open vSwitch may still have a flow; measured: 0.1."""
END = 40.0
DELAYS = st.sampled_from([0.0, 0.0, 0.0, 0.001, 0.02, 0.2, 0.9, 1.7, 2.9, 6.0, 15.0])


class Ended(Exception):
    """The simulated time is over."""


class World:
    """True time. Agents take turns: each waits in `sleep` until it is the earliest."""

    def __init__(self) -> None:
        self.now = 0.0
        self.row: Lease | None = None
        self._queue: list[tuple[float, int, threading.Semaphore]] = []
        self._ticket = itertools.count()
        self._idle = threading.Semaphore(0)

    def sleep(self, seconds: float) -> None:
        turn = threading.Semaphore(0)
        heapq.heappush(self._queue, (self.now + seconds, next(self._ticket), turn))
        self._idle.release()
        turn.acquire()
        if self.now > END:
            raise Ended

    def run(self, bodies: list[Callable[[], None]]) -> None:
        threads = [threading.Thread(target=self._body, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
            self._idle.acquire()
        while self._queue:
            self.now, _, turn = heapq.heappop(self._queue)
            turn.release()
            self._idle.acquire()
        for thread in threads:
            thread.join()

    def _body(self, body: Callable[[], None]) -> None:
        try:
            self.sleep(0.0)
            body()
        except Ended:
            self._idle.release()


@dataclass
class Switch:
    """The fence of one host: there until `expires` (true time), and letting pass or not."""

    expires: float = 0.0
    opened: float | None = None
    seconds: float = 0.0
    passed: list[tuple[float, float]] = field(default_factory=list)

    def arm(self, now: float, seconds: float) -> None:
        self._close(now)
        self.expires, self.seconds = now + seconds, seconds

    def renew(self, now: float) -> bool:
        if now >= self.expires:
            return False
        self.opened = now if self.opened is None else self.opened
        self.expires = now + self.seconds
        return True

    def _close(self, now: float) -> None:
        if self.opened is not None:
            self.passed.append((self.opened, min(now, self.expires)))
        self.opened = None

    def shut(self, now: float) -> None:
        self._close(now)
        self.expires = now


class Reviving(Switch):
    """What a fence would be whose renewal adds its flows again."""

    def renew(self, now: float) -> bool:
        if now >= self.expires:
            self._close(now)
            self.expires = now + self.seconds
        return super().renew(now)


class Dpu:
    """One host: hands of its Leasing, that take time."""

    def __init__(
        self, world: World, name: HostName, rate: float, delays: Iterator[float], switch: Switch
    ) -> None:
        self.world, self.name, self.rate = world, name, rate
        self.delays, self.switch = delays, switch
        self.events: list[tuple[float, int]] = []
        self.outages: list[tuple[float, float]] = []
        self.fit = True
        self.leasing = Leasing(name, Timing(LEAST), self, lambda _: self.rows(), self.hear, self.clock)

    def clock(self) -> float:
        return self.world.now * self.rate + 1000.0 * self.rate

    def hear(self, event: Leased) -> None:
        self.events.append((self.world.now, event.term))
        self.leasing.released()

    def rows(self) -> Rows:
        return Rows(self)

    def step(self) -> None:
        self.world.sleep(next(self.delays))

    def arm(self, seconds: int) -> None:
        self.step()
        self.switch.arm(self.world.now, (seconds + SLACK) / self.rate)
        self.step()

    def renew(self) -> bool:
        self.step()
        found = self.switch.renew(self.world.now)
        self.step()
        return found

    def shut(self) -> None:
        self.step()
        self.switch.shut(self.world.now)
        self.step()

    def close(self) -> None: ...

    def live(self, partner: HostName) -> None:
        """As Leasing's own thread does it."""
        while True:
            try:
                self.leasing.round(partner, fit=self.fit)
            except RingfenceError as error:
                self.leasing._fail(str(error))
            self.world.sleep(self.leasing._timing.pause)


@dataclass
class Rows:
    """The row in the store, seen from one host."""

    dpu: Dpu

    def _ask(self, work: Callable[[Lease | None], tuple[bool, Lease | None]]) -> Lease | bool | None:
        dpu, world = self.dpu, self.dpu.world
        dpu.step()
        if any(start <= world.now < end for start, end in dpu.outages):
            raise Unavailable(Fault("store", "cut-off", "no answer", "wait"))
        done, answer = work(world.row)
        if done:
            world.row = answer
        dpu.step()
        return answer if done else None

    def read(self) -> Lease | None:
        seen: list[Lease | None] = []
        self._ask(lambda row: (seen.append(row) is not None, row))
        return seen[0]

    def take(self, seen: Lease | None, wanted: Lease) -> bool:
        def work(row: Lease | None) -> tuple[bool, Lease | None]:
            return (_ground(row) == _ground(seen), wanted)

        return self._ask(work) is not None

    def renew(self, term: int, beat: int) -> Lease | None:
        return self._write(self.dpu.name, term, lambda row: replace(row, beat=beat))

    def give_back(self, term: int) -> Lease | None:
        return self._write(self.dpu.name, term, lambda row: replace(row, holder=HostName("")))

    def stand_by(self, seen: Lease, beat: int, *, fit: bool) -> Lease | None:
        change = lambda row: replace(row, standby_beat=beat, standby_fit=fit)  # noqa: E731
        return self._write(seen.holder, seen.term, change)

    def _write(self, holder: HostName, term: int, change: Callable[[Lease], Lease]) -> Lease | None:
        def work(row: Lease | None) -> tuple[bool, Lease | None]:
            mine = row is not None and (row.holder, row.term) == (holder, term)
            return (mine, change(row) if mine and row is not None else None)

        found = self._ask(work)
        assert not isinstance(found, bool)
        return found


def _ground(row: Lease | None) -> tuple[object, ...] | None:
    return None if row is None else (row.holder, row.term, row.beat)


def simulate(
    delays: tuple[list[float], list[float]],
    drifts: tuple[float, float] = (0.0, 0.0),
    outages: tuple[list[tuple[float, float]], list[tuple[float, float]]] = ([], []),
    kind: type[Switch] = Switch,
    unfit: HostName | None = None,
) -> tuple[World, tuple[Dpu, Dpu]]:
    world = World()
    dpus = tuple(
        Dpu(world, name, 1.0 + drift, itertools.chain(some, itertools.repeat(0.001)), kind())
        for name, drift, some in zip(NAMES, drifts, delays, strict=True)
    )
    one, other = dpus
    for dpu, cut in zip(dpus, outages, strict=True):
        dpu.outages = cut
        dpu.fit = dpu.name != unfit
    world.run([lambda: one.live(other.name), lambda: other.live(one.name)])
    for dpu in dpus:
        dpu.switch.shut(END)
    return world, (one, other)


def overlap(one: Switch, other: Switch) -> float:
    """Seconds in which both let pass."""
    every = itertools.product(one.passed, other.passed)
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a, b in every)


SLOW = st.lists(DELAYS, max_size=120)
CUTS = st.lists(
    st.tuples(st.floats(0, 30), st.floats(0.1, 12)).map(lambda cut: (cut[0], cut[0] + cut[1])), max_size=2
)


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(SLOW, SLOW),
    st.tuples(st.floats(-DRIFT, DRIFT), st.floats(-DRIFT, DRIFT)),
    st.tuples(CUTS, CUTS),
)
def test_never_do_both_let_pass(
    delays: tuple[list[float], list[float]],
    drifts: tuple[float, float],
    outages: tuple[list[tuple[float, float]], list[tuple[float, float]]],
) -> None:
    _, (one, other) = simulate(delays, drifts, outages)
    assert overlap(one.switch, other.switch) == 0.0
    terms = sorted(term for dpu in (one, other) for _, term in dpu.events if term)
    assert len(set(terms)) == len(terms), "no term twice"


def test_one_of_two_that_nothing_ails_holds_it_throughout() -> None:
    world, dpus = simulate(([], []))
    assert [term for dpu in dpus for _, term in dpu.events] == [1]
    assert world.row is not None and world.row.standby_fit
    passed = [span for dpu in dpus for span in dpu.switch.passed]
    assert len(passed) == 1 and passed[0][1] == END


def frozen_while_holding(kind: type[Switch]) -> tuple[Dpu, Dpu]:
    """The first is stopped for 20 s at each of many steps of its rounds, once it holds the lease."""
    quick = [0.0] * 40
    return simulate(([*quick, 20.0], []), kind=kind)[1]


def test_who_is_stopped_is_followed_by_the_other_and_finds_itself_fenced() -> None:
    one, other = frozen_while_holding(Switch)
    assert [term for _, term in one.events][:2] == [1, 0] and other.events[0][1] == 2
    assert overlap(one.switch, other.switch) == 0.0
    assert other.switch.passed[0][0] - one.switch.passed[0][1] > 0.0
    assert one.leasing.breaches() > 0, "what its ports sent last may not be counted"


def test_the_simulation_would_show_both() -> None:
    """A fence that renewals bring back lets pass beside the other at one step or another of a round."""
    spoiled = []
    for step in range(30, 50):
        _, (one, other) = simulate(([0.0] * step + [20.0], []), kind=Reviving)
        spoiled.append(overlap(one.switch, other.switch))
    assert max(spoiled) > 0.5 and min(spoiled) == 0.0


def test_who_is_cut_off_from_the_store_stops_before_the_other_begins() -> None:
    _, (one, other) = simulate(([], [0.1]), outages=([(10.0, 40.0)], []))
    assert [term for _, term in one.events] == [1, 0] and other.events[0][1] == 2
    assert one.events[1][0] < other.events[0][0], "told to be silent before the other speaks"
    assert one.switch.passed[0][1] < other.switch.passed[0][0]


def test_a_store_that_comes_back_changes_nothing() -> None:
    """Both were blind: who held it does so again, since the other begins to count anew."""
    _, (one, other) = simulate(([], [0.1]), outages=([(10.0, 20.0)], [(10.0, 20.0)]))
    assert [term for _, term in one.events] == [1, 0, 2] and not other.events


def test_who_does_not_reach_the_fabric_hands_over_to_one_that_does() -> None:
    _, (one, other) = simulate(([], [5.0]), unfit=NAMES[0])
    holders = sorted((at, dpu.name) for dpu in (one, other) for at, term in dpu.events if term)
    assert holders[-1][1] == other.name and len(holders) <= 2
    assert other.leasing.breaches() == 0
    assert one.leasing.breaches() == 0, "it closed its accounts before the fence closed"
    assert overlap(one.switch, other.switch) == 0.0


def test_who_gave_it_back_waits_only_until_the_other_has_it() -> None:
    """Handed back again later, it is taken at once: else each second switchover would take the patience."""
    free, theirs = Lease(HostName(""), 3), Lease(NAMES[1], 4, 1, LEAST)
    gave = lease.given_back(Standing(NAMES[0], NAMES[1], term=3))
    assert lease.decide(lease.observe(gave, free, 0.0), 0.1, fit=True) is Act.STAND_BY
    later = lease.observe(lease.observe(gave, free, 0.0), theirs, 1.0)
    again = lease.observe(later, replace(theirs, holder=HostName("")), 2.0)
    assert lease.decide(again, 2.0, fit=True) is Act.TAKE
