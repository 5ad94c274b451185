"""A change in doubt: whatever is credited twice, elsewhere or nowhere then, nobody pays a byte too much.

A model switch forwards known bytes, and now and then miscredits what waits to be counted, as it does when the
pass moves in which a port is counted. Readings go as `controller.agent.metering` has them made.
"""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounting.count import advance, foreseen
from accounting.records import Cause, Gap, Interval
from accounting.state import Reading, State, Step
from accounting.turns import whole
from controller.agent.sheet import Sheet
from model.ids import PortKey
from pipelines.cookies import account
from tests.property.accounting.test_count import CLASSES, FOREVER, HEADER, PORTS, SEND, Agent, World
from tests.unit.accounting.examples import Names

SHIFT = st.tuples(
    st.just("shift"),
    st.sampled_from(PORTS),
    st.sampled_from(["twice", "lost", "elsewhere", "right"]),
    st.integers(0, 5_000),
    st.sampled_from(["read", "refused", "killed"]),
)
"""What happens to what is pending; how many packets come out of nothing besides; how it
goes on: with a reading, one that a full disk refuses, or another life of an agent that was killed."""
OPERATIONS = st.one_of(
    SEND,
    SEND,
    SHIFT,
    st.tuples(st.just("read"), st.integers(0, 3_000)),
    st.tuples(st.just("kill_vswitchd")),
    st.tuples(st.just("restart_agent")),
    st.tuples(st.just("unbind"), st.sampled_from(PORTS)),
)


class Turning:
    """An agent that looks only at counters that have moved, as one that counts in turns does."""

    def __init__(self) -> None:
        self.agent, self.sheet = Agent(), Sheet()
        self.restart, self.records = self.agent.restart, self.agent.records

    @property
    def state(self) -> State:
        return self.agent.state

    def read(self, reading: Reading, closed: int = 0) -> None:
        rows = [(account(*series), *reading.counters[series]) for series in sorted(reading.counters)]
        columns = np.array(rows, np.uint64).reshape(-1, 3).T
        parts = [
            SimpleNamespace(cookie=part[0], packets=part[1], octets=part[2])
            for part in np.array_split(columns, 3, axis=1)
        ]
        page, counters, moved = whole(self.sheet.compare(parts, self.state, reading.run))
        self.agent.read(replace(reading, counters=counters, moved=moved), closed)
        self.sheet.keep(page, self.state)

    def write(self, step: Step) -> None:
        before = self.state
        self.agent.write(step)
        self.sheet.follow(before, self.state)


def _miscredit(world: World, port: int, how: str, extra: int) -> None:
    mine = [entry for entry in world.late if entry[1][0] == port]
    world.late = [entry for entry in world.late if entry[1][0] != port]
    for at, (_, class_id, epoch), packets, size in mine:
        other = (port, CLASSES[1 - CLASSES.index(class_id)], epoch)
        places = {
            "twice": [(port, class_id, epoch)] * 2,
            "lost": [],
            "elsewhere": [other],
            "right": [(port, class_id, epoch)],
        }[how]
        world.late.extend((at, place, packets, size) for place in places)
    for key, counter in world.flows.items():
        if key[0] == port:
            counter[0] += extra
            counter[1] += extra * (100 + HEADER)


def _shift(world: World, agent: Agent | Turning, port: int, how: str, extra: int, then: str) -> None:
    agent.read(world.reading())
    unsure = frozenset({PortKey(port)})
    step = foreseen(agent.state, unsure)
    assert step is not None
    agent.write(step)
    _miscredit(world, port, how, extra)
    world.now += 5
    world.send(port, CLASSES[0], 2, 100)
    world.credit(FOREVER)
    if then == "killed":
        agent.restart()
        unsure = agent.state.unsure
    doubtful = replace(world.reading(), doubted=unsure, withheld=unsure)
    if then == "refused":
        advance(agent.state, doubtful, Names())
        world.now += 700
        world.send(port, CLASSES[1], 3, 200)
        doubtful = replace(world.reading(), doubted=unsure, withheld=unsure)
    agent.read(doubtful)


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, max_size=30), st.sampled_from([0, 500, 999]), st.sampled_from([Agent, Turning]))
@example([("send", 1, 0, 5, 100), ("shift", 1, "twice", 7, "read")], 500, Turning)
@example([("send", 1, 0, 5, 100), ("shift", 1, "elsewhere", 0, "read"), ("send", 1, 1, 1, 50)], 999, Turning)
@example([("send", 1, 0, 5, 100), ("shift", 1, "twice", 9, "killed")], 500, Turning)
@example([("send", 1, 0, 5, 100), ("shift", 1, "lost", 0, "refused"), ("kill_vswitchd",)], 500, Turning)
def test_nobody_pays_a_byte_too_much_and_bounds_hold_what_is_missing(operations, lag_ms, counting):
    world, agent = World(lag_ms=lag_ms, wire=dict.fromkeys(PORTS, 0)), counting()
    agent.read(world.reading())
    for port in PORTS:
        world.program(port)
    agent.read(world.reading())
    for operation in operations:
        match operation:
            case ("send", port, class_id, packets, payload):
                world.send(port, class_id, packets, payload)
            case ("shift", port, how, extra, then):
                _shift(world, agent, port, how, extra, then)
            case ("read", milliseconds):
                world.now += milliseconds
                agent.read(world.reading())
            case ("restart_agent",):
                agent.restart()
            case ("kill_vswitchd",):
                world.start += 1
                world.flows, world.late = {}, []
                for port in PORTS:
                    world.program(port)
                agent.read(world.reading())
            case ("unbind", port):
                world.credit(FOREVER)
                agent.read(world.reading(), port)
                world.flows = {k: v for k, v in world.flows.items() if k[0] != port}
                world.epochs[port] = world.epochs.get(port, 0) + 1
                world.program(port)
                agent.read(world.reading())
    world.now += 5_000
    agent.read(world.reading())
    billed: dict[tuple[int, int], int] = {}
    for record in agent.records(Interval):
        place = (record.series[0], record.series[1])
        billed[place] = billed.get(place, 0) + record.bytes
    for place, size in billed.items():
        assert size <= world.sent.get(place, 0), "billed twice, or in another class"
    for port in PORTS:
        gaps = [record for record in agent.records(Gap) if record.port == port]
        missing = sum(world.sent.get((port, c), 0) - billed.get((port, c), 0) for c in CLASSES)
        assert all(gap.bound is not None for gap in gaps)
        assert missing <= sum(gap.bound for gap in gaps)
    if not any(operation[0] in ("shift", "kill_vswitchd") for operation in operations):
        assert not agent.records(Gap)


def test_the_control_where_what_is_in_doubt_is_billed():
    """The same without the rule: a gap alone keeps nobody from paying twice."""
    world, agent = World(), Agent()
    agent.read(world.reading())
    world.program(1)
    world.send(1, CLASSES[0], 5, 100)
    _miscredit(world, 1, "twice", 0)
    agent.read(replace(world.reading(), doubted=frozenset({PortKey(1)})))
    assert sum(record.bytes for record in agent.records(Interval)) == 2 * world.sent[(1, CLASSES[0])]
    assert [gap.cause for gap in agent.records(Gap)] == [Cause.PASS_MOVED]
