"""Ports that are pulled out or change: in any order of events, billed <= sent <= billed + bounds of the gaps.

A model of Open vSwitch and the kernel: counts reach the flows late, and what is pending goes nowhere when the
interface leaves. Over it run the real metering, vantage and meter, with news that come late, agents that die
and come back, interfaces that are deleted, made anew and plugged again, and vswitchd killed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from immutables import Map

from accounting.encode import parse_step
from accounting.journal import Need, Recovery, Written
from accounting.records import Gap, Interval
from controller.agent import metering
from controller.agent.meter import Meter
from controller.agent.metering import Metering
from controller.agent.seating import Seat, Seating, Seats
from controller.agent.standstill import Stillness
from controller.agent.vantage import Vantage
from controller.southbound.netlink.counters import Count, Look
from model.ids import EVERYTHING_ELSE, HostName, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Network, Port, Tenant
from model.inventory import Interface, Switch
from model.snapshot import Snapshot, with_port
from pipelines import cookies

PORTS = (7, 8)
FRAME = 100
LAG_MS = 500
"""As Open vSwitch has it: a count is in the flow this long after its packet at the latest."""
NEWS_MS = 400
"""So long the switch database may take to say that an interface left."""
MINUTE = 60_000


@dataclass
class Device:
    index: int
    wire: int = 0
    ofport: int = 0
    """0 = not in the switch."""


@dataclass
class Columns:
    cookie: np.ndarray
    packets: np.ndarray
    octets: np.ndarray


class Kept(Seating):
    """In memory: what an agent wrote before it was killed."""

    def __init__(self) -> None:
        super().__init__()
        self.written: tuple[str, dict[Uid, Seat]] = ("", {})

    def load(self, started: str) -> dict[Uid, Seat] | None:
        return dict(self.written[1]) if started and started == self.written[0] else None

    def save(self, started: str, seats: Seats) -> bool:
        self.written = (started, dict(seats))
        return True


@dataclass
class World:
    """The truth. `pending`: (ms, port, frames) that the flows have not been told of."""

    talkative: bool
    """Whether the kernel tells when the switch lets an interface go."""
    now: int = 1_000_000
    devices: dict[int, Device] = field(default_factory=dict)
    left: dict[int, int | None] = field(default_factory=dict)
    flows: dict[int, int] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    programmed: dict[int, int] = field(default_factory=dict)
    """The OpenFlow port whose packets are taken for a port's."""
    pending: list[tuple[int, int, int]] = field(default_factory=list)
    sent: dict[int, int] = field(default_factory=dict)
    seating: Seating = field(default_factory=Seating)
    started: int = 1
    serial: int = 10
    proves: bool = True
    """Whether a standstill can be proven."""
    news_at: int | None = None
    """When the oldest news that the agent has not heard came up."""

    def look(self) -> Look:
        counts = tuple(Count(f"eth{p}", d.index, d.wire) for p, d in sorted(self.devices.items()))
        return Look(counts, dict(self.left))

    def close(self) -> None:
        """Nothing is open."""

    def number(self) -> int:
        self.serial += 1
        return self.serial

    def cookie(self, port: int) -> int:
        return cookies.account(PortKey(port), EVERYTHING_ELSE, self.epochs[port])

    def counters(self) -> Columns:
        rows = sorted(self.flows.items())
        columns = ([c for c, _ in rows], [n for _, n in rows], [n * FRAME for _, n in rows])
        return Columns(*(np.array(column, dtype=np.uint64) for column in columns))

    def slices(self):
        """One flow in each, read when it is asked for."""
        for cookie in sorted(self.flows) or [0]:
            count = self.flows.get(cookie)
            rows = [] if count is None else [count]
            columns = ([cookie] * len(rows), rows, [n * FRAME for n in rows])
            yield Columns(*(np.array(column, dtype=np.uint64) for column in columns))

    def clock(self) -> float:
        return self.now / 1e3

    def push(self, until: int) -> None:
        for at, port, frames in self.pending:
            if at <= until and self.cookie(port) in self.flows:
                self.flows[self.cookie(port)] += frames
        self.pending = [entry for entry in self.pending if entry[0] > until]

    def purge(self, rundir: Path) -> None:
        self.push(self.now)

    def still(self, rundir: Path, work: Callable[[], None], ready: Callable[[], None]) -> Stillness:
        """Proven: nothing was pending when the work was done."""
        ready()
        if self.proves:
            self.push(self.now)
        work()
        return Stillness.PROVEN if self.proves else Stillness.DOUBTFUL

    def shift(self, port: int, how: str) -> None:
        """The pass moves in which a port is counted; what is pending is told to where it would go now."""
        mine = [entry for entry in self.pending if entry[1] == port]
        if how == "lost":
            self.pending = [entry for entry in self.pending if entry[1] != port]
        elif how == "twice":
            self.pending += mine

    def close_links(self, links: tuple[str, ...]) -> tuple[str, ...]:
        assert not links
        return ()

    def send(self, port: int, frames: int, others: int) -> None:
        """`others` are never billed: ARP, refused frames."""
        device = self.devices.get(port)
        if device is None:
            return
        device.wire += (frames + others) * FRAME
        if device.ofport and device.ofport == self.programmed.get(port):
            self.pending.append((self.now, port, frames))
            self.sent[port] = self.sent.get(port, 0) + frames * FRAME

    def detach(self, port: int) -> None:
        device = self.devices.get(port)
        if device is None or not device.ofport:
            return
        self.pending = [entry for entry in self.pending if entry[1] != port]
        device.ofport = 0
        if self.talkative:
            self.left[device.index] = device.wire
        self.tell()

    def destroy(self, port: int) -> None:
        self.detach(port)
        device = self.devices.pop(port, None)
        if device is not None and not self.talkative:
            self.left.setdefault(device.index, None)

    def attach(self, port: int) -> None:
        device = self.devices.setdefault(port, Device(self.number()))
        if not device.ofport:
            device.ofport = self.number()
            self.left.pop(device.index, None)
            self.tell()

    def die(self) -> None:
        """ovs-vswitchd is killed and comes back; interfaces stay where they are."""
        self.started += 1
        self.flows, self.pending, self.programmed = {}, [], {}
        for device in self.devices.values():
            device.ofport = self.number() if device.ofport else 0
        self.tell()

    def tell(self) -> None:
        self.news_at = self.now if self.news_at is None else self.news_at

    def seen(self) -> dict[Uid, Interface]:
        return {
            Uid(f"p-{p}"): Interface(f"eth{p}", Uid(f"p-{p}"), d.ofport)
            for p, d in self.devices.items()
            if d.ofport
        }


class Memory:
    """A journal whose disk never fails."""

    def __init__(self) -> None:
        self.checkpoint: bytes | None = None
        self.steps: list[bytes] = []
        self.backlog = 0
        self.begins_segment = False

    @property
    def recovery(self) -> Recovery:
        return Recovery(self.checkpoint, tuple(self.steps))

    @property
    def newest(self) -> int:
        return len(self.steps)

    def append(self, body, checkpoint, need=Need.USUAL) -> Written:
        self.checkpoint = checkpoint() if self.checkpoint is None else self.checkpoint
        self.steps.append(body)
        return Written(len(self.steps))

    def records(self, kind):
        return [r for body in self.steps for r in parse_step(body).records if isinstance(r, kind)]


class Killed(Exception):
    """The agent, in the middle of a change."""


class Agent:
    """What the core and the loop do, as far as it matters here."""

    def __init__(self, world: World) -> None:
        self.world, self.journal = world, Memory()
        self.snapshot = Snapshot(
            HostName("hv1"),
            tenants=Map({TenantKey(1): Tenant(Uid("t"), "blue", TenantKey(1))}),
            networks=Map({NetworkKey(1): Network(Uid("n"), TenantKey(1), "net", NetworkKey(1), Vni(9))}),
        )
        for key in PORTS:
            port = Port(Uid(f"p-{key}"), NetworkKey(1), f"vm{key}", PortKey(key), 2, (), ())
            self.snapshot = with_port(self.snapshot, port)
        self.adopts = self.behind = False
        self.restart()

    def restart(self) -> None:
        world, vantage = self.world, Vantage(self.world, self.world.clock, self.world.seating)
        world.left = {}  # what the kernel told nobody
        meter = Meter(
            self.journal,
            world.counters,
            lambda: world.now,
            read_wires=vantage.wires,
            slices=world.slices,
            clock=world.clock,
        )
        self.metering = Metering(meter, vantage, world, None, self.journal, Path("."), "boot", world.clock)
        self.snapshot = replace(self.snapshot, switch=None)
        self.metering.notice(self.snapshot, None)
        world.tell()

    def hear(self, delay: int = 0, only: tuple[int, ...] = PORTS) -> None:
        """All news, or those of some ports while others wait in the queue (then nothing is sighted).

        The store has bound every port here, so who is plugged is programmed.
        """
        world, before, waiting = self.world, self.snapshot, self.world.news_at
        seen = world.seen()
        for port in PORTS:
            uid = Uid(f"p-{port}")
            if port not in only:
                seen.pop(uid, None)
                seen |= {uid: before.interfaces[uid]} if uid in before.interfaces else {}
        self.snapshot = replace(before, switch=Switch("netdev", 1, f"s{world.started}"), interfaces=Map(seen))
        self.behind = only != PORTS
        world.news_at = waiting if self.behind else None
        world.now += delay
        gone = set(before.interfaces) - set(self.snapshot.interfaces)
        left = tuple(p for p in PORTS if f"p-{p}" in gone)
        if left and before.switch == self.snapshot.switch:
            self.metering.close(before, tuple(PortKey(p) for p in left), ())
        for port in left:
            world.flows.pop(world.cookie(port), None)
            world.programmed.pop(port, None)
        fresh = False
        for port in PORTS:
            here = f"p-{port}" in self.snapshot.interfaces
            adopted = self.adopts and port in world.epochs and world.cookie(port) in world.flows
            if here and f"p-{port}" not in before.interfaces and not adopted:
                world.push(world.now - LAG_MS)
                world.flows.pop(world.cookie(port), None) if port in world.epochs else None
                world.pending = [entry for entry in world.pending if entry[1] != port]
                world.epochs[port] = world.epochs.get(port, 0) + 1
            if here:
                world.programmed[port] = seen[Uid(f"p-{port}")].ofport
            if here and world.cookie(port) not in world.flows:
                world.flows[world.cookie(port)] = 0
                fresh = True
        self.adopts = False
        self.metering.notice(self.snapshot, None)
        if fresh:
            self.metering.read(self.snapshot)

    def take_turns(self, count: int) -> None:
        while count and self.metering.busy:
            self.metering.go_on(self.snapshot, 0.0)
            count -= 1
        while self.metering.writing:  # a journal that answers at once, on a thread of its own
            self.metering.go_on(self.snapshot, 0.0)

    def shift(self, port: int, how: str, then: str) -> None:
        self.world.proves = then == "proven"
        unsure: list[frozenset[PortKey]] = []

        def work() -> None:
            assert not self.metering.busy, "nothing is read while it goes on"
            self.world.shift(port, how)
            unsure.extend(parse_step(body).unsure for body in self.journal.steps[-1:])
            if then == "killed":
                raise Killed

        try:
            self.metering.shift(self.snapshot, (PortKey(port),), work)
        except Killed:
            self.restart()
            self.hear()
        assert PortKey(port) in unsure[0], "it is on disk before"

    def sight(self) -> None:
        if not self.behind:
            self.metering.sight(self.snapshot)


def act(world: World, agent: Agent, operation: tuple) -> None:
    match operation:
        case ("send", port, frames, others):
            world.send(port, frames, others)
        case ("wait", milliseconds):
            pass_time(world, agent, milliseconds)
        case ("sight",):
            agent.sight()
        case ("read",):
            agent.sight()
            agent.metering.read(agent.snapshot)
        case ("begin",):
            agent.sight()
            agent.metering.begin(agent.snapshot)
        case ("turns", count):
            agent.take_turns(count)
        case ("shift", port, how, then):
            agent.shift(port, how, then)
        case ("read_amid_news",):
            agent.metering.read(agent.snapshot)
        case ("hear", milliseconds):
            agent.hear(milliseconds)
        case ("hear_part", port, milliseconds):
            if agent.snapshot.switch == Switch("netdev", 1, f"s{world.started}"):
                agent.hear(milliseconds, (port,))
        case ("lose_snapshot", port):
            world.detach(port)
            agent.snapshot = replace(agent.snapshot, interfaces=Map())
            agent.restart()
            agent.adopts = True
            agent.hear()
        case ("restart_agent",):
            agent.restart()
            agent.hear()
        case ("absence", port, milliseconds):
            # pulled out, and perhaps plugged again, while no agent runs
            world.detach(port)
            world.now += milliseconds
            if milliseconds % 2:
                world.attach(port)
            agent.restart()
            agent.hear()
        case ("detach", port):
            world.detach(port)
        case ("destroy", port):
            world.destroy(port)
        case ("attach", port):
            world.attach(port)
        case ("replug", port):
            world.detach(port)
            world.attach(port)
        case ("remake", port):
            world.destroy(port)
            world.attach(port)
        case ("die",):
            world.die()
            agent.hear()
        case ("push",):
            world.push(world.now)


def pass_time(world: World, agent: Agent, milliseconds: int) -> None:
    """Counts are late by LAG_MS at most, and news by NEWS_MS."""
    end = world.now + milliseconds
    if world.news_at is not None and world.news_at + NEWS_MS <= end:
        world.now = max(world.now, world.news_at + NEWS_MS)
        world.push(world.now - LAG_MS)
        agent.hear()
    world.now = max(world.now, end)
    world.push(world.now - LAG_MS)


PORT = st.sampled_from(PORTS)
SEND = st.tuples(st.just("send"), PORT, st.integers(1, 50), st.sampled_from([0, 0, 1, 7]))
WAIT = st.tuples(st.just("wait"), st.sampled_from([0, 10, 100, 399, 499, 500, 600, 1_000, 1_001, 3_000]))
THEN = st.sampled_from(["proven", "doubtful", "doubtful", "killed"])
OPERATIONS = st.one_of(
    SEND,
    SEND,
    SEND,
    WAIT,
    WAIT,
    st.just(("sight",)),
    st.just(("read",)),
    st.just(("begin",)),
    st.just(("begin",)),
    st.tuples(st.just("turns"), st.sampled_from([1, 2, 3, 5, 100])),
    st.tuples(st.just("turns"), st.sampled_from([1, 2, 3, 5, 100])),
    st.tuples(st.just("shift"), PORT, st.sampled_from(["twice", "lost", "right"]), THEN),
    st.tuples(st.just("shift"), PORT, st.sampled_from(["twice", "lost", "right"]), THEN),
    st.just(("read_amid_news",)),
    st.tuples(st.just("hear"), st.sampled_from([0, 5, 300])),
    st.tuples(st.just("hear_part"), PORT, st.sampled_from([0, 300, 2_000])),
    st.tuples(st.just("lose_snapshot"), PORT),
    st.just(("restart_agent",)),
    st.tuples(st.just("absence"), PORT, st.sampled_from([10, 11, 5_000, 5_001])),
    st.tuples(st.sampled_from(["detach", "destroy", "attach", "replug", "remake"]), PORT),
    st.just(("die",)),
    st.just(("push",)),
)
FIRST = ("send", 7, 10, 0)
AMID = [("shift", 7, "right", "proven"), FIRST, ("read",), FIRST, ("shift", 7, "twice", "doubtful")]
"""Bytes that wait to be told twice."""


def run(operations: list[tuple], talkative: bool, seated: bool = True) -> tuple[World, Memory]:
    """Everything, from plugging to the last reading."""
    world = World(talkative, seating=Kept() if seated else Seating())
    with (
        patch.object(metering.unixctl, "revalidate_purge", world.purge),
        patch.object(metering, "still", world.still),
    ):
        agent = Agent(world)
        agent.hear()
        agent.metering.read(agent.snapshot)
        for port in PORTS:
            world.attach(port)
        agent.hear()
        for operation in operations:
            act(world, agent, operation)
        for _ in range(3):
            pass_time(world, agent, MINUTE)
            act(world, agent, ("read",))
    return world, agent.journal


@settings(max_examples=1_000, deadline=None)
@given(st.lists(OPERATIONS, max_size=40), st.booleans(), st.booleans())
@example([FIRST, ("detach", 7)], True, True)
@example([FIRST, ("read",), ("wait", 1_001), ("read",), FIRST, ("replug", 7), ("hear", 0)], False, True)
@example([FIRST, ("read",), ("absence", 7, 5_001)], False, True)
@example([FIRST, ("remake", 7), ("sight",)], False, True)
@example([FIRST, ("lose_snapshot", 7)], False, True)
@example([FIRST, ("lose_snapshot", 7)], False, False)
@example([FIRST, ("replug", 7), ("lose_snapshot", 8)], False, True)
@example([FIRST, ("read",), ("detach", 7), ("detach", 8), ("hear_part", 8, 2_000), ("hear", 0)], False, True)
@example([FIRST, ("detach", 7), ("attach", 7), ("die",)], True, True)
@example(
    [FIRST, ("begin",), ("turns", 2), ("detach", 7), ("wait", 100), ("turns", 100), ("hear", 0)], False, True
)
@example([FIRST, ("begin",), ("turns", 2), ("shift", 7, "twice", "doubtful"), ("turns", 100)], False, True)
@example([*AMID, ("begin",), ("turns", 100)], False, True)
@example([FIRST, ("begin",), ("turns", 3), ("shift", 7, "twice", "killed"), ("begin",)], False, True)
@example(
    [FIRST, ("begin",), ("turns", 1), ("wait", 1_000), FIRST, ("turns", 100), ("detach", 7)], False, True
)
def test_what_is_billed_and_the_bounds_cover_what_was_sent(operations, talkative, seated):
    world, journal = run(operations, talkative, seated)
    for port in PORTS:
        intervals = [r for r in journal.records(Interval) if r.series[0] == port]
        billed = sum(r.bytes + r.header_bytes * r.packets for r in intervals)
        gaps = [r for r in journal.records(Gap) if r.port == port]
        sent = world.sent.get(port, 0)
        assert billed <= sent, "billed twice"
        if all(gap.bound is not None for gap in gaps):
            assert sent <= billed + sum(gap.bound for gap in gaps), "a silent loss"
