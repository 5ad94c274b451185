"""Devices past the switch: whatever they and the agent go through, nobody pays twice, or for another.

A model of VFs carries known bytes for known gangs; counters wrap, stop, are reset, tell zeros, vanish; VFs
change hands; agents die with and without a word on disk; hosts are started anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounting.bypass.count import Holding, Reading, State, Step, advance, fold, recover
from accounting.bypass.encode import parse_bypass, parse_state, state_bytes, step_bytes
from accounting.classes import INBOUND, UNCLASSIFIED
from accounting.encode import billable, parse_step, plain
from accounting.records import Gap, Interval, Owner
from model.ids import HostName, PortKey
from model.tally import FULL, Manner, Medium, Tally

HOST = HostName("hv1")
PLACES = ("0000:18:00.0/0", "0000:18:00.0/1")
SPEED = 300_000_000
"""Bytes a second: 32 bits last for 14 s of it."""
OUT, IN = UNCLASSIFIED, UNCLASSIFIED | INBOUND


@dataclass
class Device:
    """`holder`: generation; `stage`: of its gang in the store. `counts`: packets and bytes out, and in."""

    manner: Manner
    unit: int = 1
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0])
    life: int = 1
    holder: int = 0
    up: bool = False
    going: bool = False
    linked: bool = False
    there: bool = True
    zeros: bool = False
    spent_ms: int = 0

    def tally(self) -> Tally | None:
        if not self.there:
            return None
        told = [0, 0, 0, 0] if self.zeros else [self._told(count) for count in self.counts]
        return Tally(
            f"life {self.life}",
            Medium.VF,
            self.manner,
            self.unit,
            (told[0], told[1]),
            (told[2], told[3]),
            SPEED,
        )

    def _told(self, count: int) -> int:
        if self.manner is Manner.WIDE:
            return count
        return min(count, FULL) if self.manner is Manner.STICKS else count % (FULL + 1)


@dataclass
class World:
    """The truth: `carried` by (generation, class)."""

    devices: dict[str, Device]
    carried: dict[tuple[int, int], int] = field(default_factory=dict)
    boot: int = 1
    at_ms: int = 1_000_000_000
    up_ms: int = 50_000
    generations: int = 0

    def reading(self, settling: frozenset[str] = frozenset()) -> Reading:
        tallies = {place: t for place, each in self.devices.items() if (t := each.tally()) is not None}
        holdings = {
            place: Holding(PortKey(1 + index), each.holder, owner(each.holder), each.up, each.going)
            for index, (place, each) in enumerate(sorted(self.devices.items()))
            if each.holder
        }
        return Reading(HOST, f"boot-{self.boot}", self.at_ms, self.up_ms, tallies, holdings, settling)

    def send(self, place: str, out: int, got: int, size: int) -> None:
        """Packets of `size`, no faster than the device is."""
        device = self.devices[place]
        if not device.linked or not device.there:
            return
        for at, packets, number in ((0, out, OUT), (2, got, IN)):
            device.counts[at] += packets
            device.counts[at + 1] += packets * size
            key = (device.holder, number)
            self.carried[key] = self.carried.get(key, 0) + packets * size * device.unit
        self.wait(max(out, got) * size * device.unit * 1_000 // SPEED + 1)

    def wait(self, ms: int) -> None:
        self.at_ms, self.up_ms = self.at_ms + ms, self.up_ms + ms


def owner(generation: int) -> Owner:
    return Owner(f"p{generation}", "p", f"t{generation}", "t", f"g{generation}", "g")


class Agent:
    """State in memory; on disk, as bytes, only what the disk took."""

    def __init__(self) -> None:
        self.state = State(next_sequence=1)
        self.checkpoint = state_bytes(self.state)
        self.disk: list[bytes] = []
        self.held: list[Step] = []
        self.full = False

    def read(self, reading: Reading) -> None:
        step = advance(self.state, reading)
        self.held.append(step)
        self.state = fold(self.state, step)
        self.flush()

    def flush(self) -> None:
        if not self.full:
            self.disk += [step_bytes(step) for step in self.held]
            self.held = []

    def die(self) -> None:
        self.held = []
        self.state = recover(parse_state(self.checkpoint), map(parse_bypass, self.disk))

    def records(self, kind: Any) -> list[Any]:
        return [r for body in self.disk for r in parse_bypass(body).records if isinstance(r, kind)]


PLACE = st.sampled_from(PLACES)
SEND = st.tuples(
    st.just("send"), PLACE, st.integers(0, 400_000), st.integers(0, 400_000), st.integers(14, 9_000)
)
OPERATIONS = st.one_of(
    SEND,
    SEND,
    SEND,
    st.tuples(st.just("tick")),
    st.tuples(st.just("tick")),
    st.tuples(st.just("wait"), st.integers(0, 40_000)),
    st.tuples(st.just("take"), PLACE),
    st.tuples(st.just("take"), PLACE),
    st.tuples(st.just("give_back"), PLACE),
    st.tuples(st.just("settle"), PLACE),
    st.tuples(st.just("die")),
    st.tuples(st.just("full"), st.booleans()),
    st.tuples(st.just("reset"), PLACE),
    st.tuples(st.just("made_anew"), PLACE),
    st.tuples(st.just("vanish"), PLACE, st.booleans()),
    st.tuples(st.just("zeros"), PLACE, st.booleans()),
    st.tuples(st.just("reboot")),
)
A = PLACES[0]
UP = [("take", A), ("take", A)]
DOWN = [("give_back", A), ("settle", A)]
TICK = ("tick",)
LARGE, TINY = ("send", A, 400_000, 0, 9_000), ("send", A, 400_000, 0, 14)
HARMLESS = {"send", "tick", "wait", "take", "give_back", "settle"}
GO = ("send", A, 1_000, 10, 1_000)


def perform(world: World, agent: Agent, operation: tuple[Any, ...]) -> None:
    match operation:
        case ("send", place, out, got, size):
            world.send(place, out, got, size)
        case ("tick",):
            agent.flush()
            if not agent.held and not agent.state.recovered:
                agent.read(world.reading())
        case ("wait", ms):
            world.wait(ms)
        case ("take", place):
            _forward(world, agent, world.devices[place])
        case ("give_back", place):
            device = world.devices[place]
            if device.holder:
                device.going = True
                agent.read(world.reading())
        case ("settle", place):
            _park(world, agent, place)
        case ("die",):
            agent.die()
            agent.read(world.reading())
        case ("full", full):
            agent.full = full
            agent.flush()
        case ("reset", place):
            world.devices[place].counts = [0, 0, 0, 0]
        case ("made_anew", place):
            world.devices[place].counts = [0, 0, 0, 0]
            world.devices[place].life += 1
        case ("vanish", place, there):
            world.devices[place].there = there
        case ("zeros", place, zeros):
            world.devices[place].zeros = zeros
        case ("reboot",):
            world.boot += 1
            world.up_ms = 1_000
            for device in world.devices.values():
                device.counts, device.life = [0, 0, 0, 0], device.life + 1
            agent.die()
            agent.read(world.reading())


def _forward(world: World, agent: Agent, device: Device) -> None:
    """One step of a gang's life: named by the store, links raised after the agent knows."""
    if not device.holder:
        world.generations += 1
        device.holder, device.up, device.going = world.generations, False, False
    elif not device.up and not device.going:
        device.up = True
    agent.read(world.reading())
    device.linked = device.up and not device.going


def _park(world: World, agent: Agent, place: str) -> None:
    """Links down, a reading, off the driver (which may reset the counters), and gone from the store."""
    device = world.devices[place]
    if not device.going:
        return
    device.linked = False
    agent.read(world.reading(frozenset({place})))
    if world.at_ms % 2:
        device.counts = [0, 0, 0, 0]
    agent.read(world.reading())
    device.holder, device.up, device.going = 0, False, False
    agent.read(world.reading())


def run(operations: list[tuple[Any, ...]], manner: Manner, unit: int = 1) -> tuple[World, Agent]:
    world = World({place: Device(manner, unit) for place in PLACES})
    agent = Agent()
    agent.read(world.reading())
    for operation in operations:
        perform(world, agent, operation)
    for device in world.devices.values():
        device.there, device.zeros = True, False
    agent.full = False
    agent.flush()
    perform(world, agent, ("die",))
    perform(world, agent, ("tick",))
    return world, agent


def billed(agent: Agent) -> dict[tuple[int, int], int]:
    found: dict[tuple[int, int], int] = {}
    for record in agent.records(Interval):
        assert record.bytes >= 0 and record.packets >= 0 and record.from_ms <= record.to_ms
        assert record.owner.port_uid == f"p{record.series[2]}"
        key = (record.series[2], record.series[1])
        found[key] = found.get(key, 0) + record.bytes
    return found


@settings(max_examples=250, deadline=None)
@given(st.lists(OPERATIONS, max_size=40), st.sampled_from(Manner), st.sampled_from([1, 4]))
@example([*UP, GO, TICK, ("zeros", A, True), TICK, ("zeros", A, False), GO, TICK], Manner.WIDE, 1)
@example([*UP, GO, TICK, ("full", True), *DOWN, *UP, GO, ("die",), GO, TICK], Manner.WIDE, 1)
@example([*UP, GO, TICK, ("full", True), ("wait", 1), *DOWN, *UP, GO, GO, ("die",), GO], Manner.WIDE, 1)
@example([*UP, LARGE, TICK, ("reset", A), TINY, TINY, TICK], Manner.WRAPS, 1)
@example([*UP, GO, TICK, *DOWN, *UP, GO, TICK], Manner.WIDE, 4)
@example([*UP, GO, TICK, *DOWN, ("wait", 1), *UP, GO, TICK, *DOWN, *UP, GO], Manner.WIDE, 1)
def test_nobody_pays_twice_or_for_another(operations: Any, manner: Manner, unit: int) -> None:
    world, agent = run(operations, manner, unit)
    for key, size in billed(agent).items():
        assert size <= world.carried.get(key, 0), "billed twice, or to the wrong gang"
    records = agent.records((Interval, Gap))
    assert len({r.sequence for r in records}) == len(records)
    if manner is Manner.WIDE and {operation[0] for operation in operations} <= HARMLESS:
        assert billed(agent) == {key: size for key, size in world.carried.items() if size}
        assert agent.records(Gap) == []


@settings(max_examples=250, deadline=None)
@given(
    st.lists(OPERATIONS.filter(lambda o: o[0] != "reset"), max_size=40),
    st.sampled_from([Manner.WIDE, Manner.STICKS]),
)
@example([*UP, GO, TICK, GO, ("reboot",), GO, ("wait", 9_000), TICK], Manner.WIDE)
@example([*UP, LARGE, LARGE, TICK, LARGE, TICK], Manner.STICKS)
def test_what_is_missing_lies_in_gaps_whose_bounds_hold(operations: Any, manner: Manner) -> None:
    """Of lives that are told apart (made anew, started anew), and of counters that stopped."""
    world, agent = run(operations, manner)
    known = billed(agent)
    for generation in range(1, world.generations + 1):
        keys = [(generation, number) for number in (OUT, IN)]
        missing = sum(world.carried.get(key, 0) - known.get(key, 0) for key in keys)
        gaps = [gap for gap in agent.records(Gap) if gap.owner.port_uid == f"p{generation}"]
        if not any(gap.bound is None for gap in gaps):
            assert missing <= sum(gap.bound for gap in gaps), "bytes went without a gap"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 400_000), st.integers(1_000, 9_000)), min_size=1, max_size=30))
def test_a_counter_of_32_bits_is_followed_round_once_its_packets_prove_it(sends: Any) -> None:
    """What can't be proven (the first rounds, of large packets) is a gap, and its bound holds."""
    operations = [("take", A)] * 2 + [
        each for out, size in sends for each in (("send", A, out, 0, size), ("tick",))
    ]
    world, agent = run(operations, Manner.WRAPS)
    missing = world.carried.get((1, OUT), 0) - billed(agent).get((1, OUT), 0)
    assert 0 <= missing <= sum(gap.bound for gap in agent.records(Gap))


@settings(max_examples=40, deadline=None)
@given(st.lists(OPERATIONS, max_size=25))
def test_records_survive_the_journal_and_the_upload(operations: Any) -> None:
    _, agent = run(operations, Manner.STICKS)
    for body in agent.disk:
        step = parse_bypass(body)
        assert parse_bypass(step_bytes(step)) == step
        assert parse_step(body).records == step.records
    for record in agent.records((Interval, Gap)):
        assert billable(HOST, plain(record)) == record
    assert parse_state(state_bytes(agent.state)) == replace(agent.state, recovered=True)
