"""Conservation: whatever the order of readings, restarts and faults, intervals add up to what was counted.

A model switch forwards known bytes; agents come, go and forget; vswitchd dies. Afterwards each series'
intervals must equal what was sent, and what is missing must be covered by gaps whose bounds hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounting.bounds import Wire
from accounting.count import advance, fold, recover
from accounting.encode import billable, parse_state, parse_step, plain, state_bytes, step_bytes
from accounting.records import Cause, Gap, Interval, Run
from accounting.state import Reading, State, Step
from model.ids import ClassId, HostName, PortKey
from tests.unit.accounting.examples import Names

PORTS, CLASSES = (1, 2), (0, 1)
HEADER = 14
FOREVER = 1 << 62


@dataclass
class World:
    """The truth: `sent` by (port, class), `wire` by port, `flows` as OVS would show them.

    `lag_ms`: a flow's counter shows a packet only this long after it passed, as OVS does.
    """

    flows: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)
    epochs: dict[int, int] = field(default_factory=dict)
    sent: dict[tuple[int, int], int] = field(default_factory=dict)
    wire: dict[int, int] = field(default_factory=dict)
    start: int = 1
    name: int = 1
    now: int = 10_000
    lag_ms: int = 0
    late: list[tuple[int, tuple[int, int, int], int, int]] = field(default_factory=list)

    def credit(self, until: int) -> None:
        """Show in the flows what passed until then: a revalidator's work."""
        for at, key, packets, size in self.late:
            if at <= until and key in self.flows:
                self.flows[key][0] += packets
                self.flows[key][1] += size
        self.late = [entry for entry in self.late if entry[0] > until]

    def reading(self) -> Reading:
        self.credit(self.now - self.lag_ms if self.lag_ms else FOREVER)
        run = Run(HostName(f"hv{self.name}"), "boot", f"start-{self.start}")
        counters = {
            (PortKey(p), ClassId(c), e): (packets, size) for (p, c, e), (packets, size) in self.flows.items()
        }
        wires = {PortKey(p): Wire(f"eth{p}#1", size) for p, size in self.wire.items()}
        return Reading(run, self.now, "netdev", counters, wires)

    def program(self, port: int) -> None:
        if any(p == port for p, _, _ in self.flows):
            return
        for class_id in CLASSES:
            self.flows[(port, class_id, self.epochs.get(port, 0))] = [0, 0]

    def send(self, port: int, class_id: int, packets: int, payload: int) -> None:
        size = packets * (payload + HEADER)
        key = (port, class_id, self.epochs.get(port, 0))
        self.wire[port] = self.wire.get(port, 0) + size
        if key in self.flows:
            self.late.append((self.now, key, packets, size))
            self.sent[(port, class_id)] = self.sent.get((port, class_id), 0) + packets * payload


SEND = st.tuples(
    st.just("send"),
    st.sampled_from(PORTS),
    st.sampled_from(CLASSES),
    st.integers(1, 2**20),
    st.integers(20, 9_000),
)
OPERATIONS = st.one_of(
    SEND,
    SEND,
    SEND,
    st.tuples(st.just("read"), st.sampled_from([0, 1, 400, 998, 1_000, 3_000])),
    st.tuples(st.just("read"), st.integers(0, 3_000)),
    st.tuples(st.just("read"), st.integers(-5_000_000, 5_000_000)),
    st.tuples(st.just("refused"), st.integers(1, 3_000)),
    st.tuples(st.just("restart_agent")),
    st.tuples(st.just("checkpoint")),
    st.tuples(st.just("unbind"), st.sampled_from(PORTS)),
    st.tuples(st.just("rebind_same_epoch"), st.sampled_from(PORTS)),
    st.tuples(st.just("restart_vswitchd")),
    st.tuples(st.just("rename_host")),
    st.tuples(st.just("program"), st.sampled_from(PORTS)),
    st.tuples(st.just("kill_vswitchd")),
    st.tuples(st.just("clear_flow"), st.sampled_from(PORTS), st.sampled_from(CLASSES)),
    st.tuples(st.just("steal_flow"), st.sampled_from(PORTS), st.sampled_from(CLASSES)),
)


FAULTS = {"kill_vswitchd", "restart_vswitchd", "clear_flow", "steal_flow"}
A, B = ("send", 1, 0, 1, 100), ("send", 1, 0, 5, 1_000)


class Agent:
    """State in memory, steps on disk; restarting keeps the disk only, as bytes."""

    def __init__(self) -> None:
        self.state = State(next_sequence=1)
        self.checkpoint = state_bytes(self.state)
        self.disk: list[bytes] = []
        self.steps: list[Step] = []

    def read(self, reading: Reading, closed: int = 0) -> None:
        closing = frozenset(series for series in reading.counters if series[0] == closed)
        self.write(advance(self.state, reading, Names(), closing))

    def write(self, step: Step) -> None:
        self.disk.append(step_bytes(step))
        self.steps.append(step)
        self.state = fold(self.state, step)

    def restart(self) -> None:
        self.state = recover(parse_state(self.checkpoint), map(parse_step, self.disk))

    def rotate(self) -> None:
        self.checkpoint, self.disk = state_bytes(self.state), []

    def records(self, kind):
        return [r for step in self.steps for r in step.records if isinstance(r, kind)]


def _perform(world: World, agent: Agent, operation: tuple) -> None:
    match operation:
        case ("send", port, class_id, packets, payload):
            world.send(port, class_id, packets, payload)
        case ("read", milliseconds):
            world.now = max(1, world.now + milliseconds)
            agent.read(world.reading())
        case ("refused", milliseconds):
            world.now += milliseconds
            advance(agent.state, world.reading(), Names())
        case ("restart_agent",):
            before = agent.state
            agent.restart()
            assert agent.state == before
        case ("checkpoint",):
            agent.rotate()
        case ("unbind", port):
            world.credit(FOREVER)
            agent.read(world.reading(), port)
            world.flows = {k: v for k, v in world.flows.items() if k[0] != port}
            world.epochs[port] = world.epochs.get(port, 0) + 1
        case ("rebind_same_epoch", port):
            # Allowed only since a reading without the flows stands between: as when 12 bits have wrapped.
            world.credit(FOREVER)
            agent.read(world.reading(), port)
            world.flows = {k: v for k, v in world.flows.items() if k[0] != port}
            agent.read(world.reading())
            world.program(port)
        case ("restart_vswitchd",):
            # Killed and programmed again before the next reading: same cookies, other counters.
            world.start += 1
            world.flows, world.late = {}, []
            for port in PORTS:
                world.program(port)
        case ("rename_host",):
            world.name += 1
        case ("program", port):
            world.program(port)
        case ("kill_vswitchd",):
            world.start += 1
            world.flows, world.late = {}, []
        case ("clear_flow", port, class_id):
            key = (port, class_id, world.epochs.get(port, 0))
            if key in world.flows:
                world.flows[key] = [0, 0]
                world.late = [entry for entry in world.late if entry[1] != key]
        case ("steal_flow", port, class_id):
            key = (port, class_id, world.epochs.get(port, 0))
            world.flows.pop(key, None)
            world.late = [entry for entry in world.late if entry[1] != key]


@settings(max_examples=400, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
@example([A, ("read", 1), ("restart_vswitchd",), B, ("read", 1)])
@example([B, ("read", 1), ("restart_vswitchd",), A, ("read", 1)])
@example([A, ("read", 1), ("clear_flow", 1, 0), ("read", 1), B])
@example([A, ("rebind_same_epoch", 1), B])
@example([A, ("read", 1), ("rename_host",), B, ("read", 1)])
def test_nothing_is_counted_twice_and_what_is_lost_is_a_gap(operations):
    world, agent = World(), Agent()
    agent.read(world.reading())
    for port in PORTS:
        world.program(port)
    faults = False
    for operation in operations:
        faults = faults or operation[0] in FAULTS
        _perform(world, agent, operation)
    agent.restart()
    world.now += 5_000
    agent.read(world.reading())

    intervals, gaps = agent.records(Interval), agent.records(Gap)
    counted: dict[tuple[int, int], int] = {}
    for record in intervals:
        assert record.packets >= 0
        assert record.bytes >= 0
        assert record.from_ms <= record.to_ms
        place = (record.series[0], record.series[1])
        counted[place] = counted.get(place, 0) + record.bytes
    for place, size in counted.items():
        assert size <= world.sent.get(place, 0), "billed twice"
    if not faults:
        assert {k: v for k, v in counted.items() if v} == {k: v for k, v in world.sent.items() if v}
        assert not gaps
    sequences = [r.sequence for step in agent.steps for r in step.records if isinstance(r, (Interval, Gap))]
    assert len(sequences) == len(set(sequences))


def _leaves_evidence(operation: tuple) -> bool:
    stepped = operation[0] == "read" and not 0 <= operation[1] <= 3_000
    return operation[0] not in {"clear_flow", "steal_flow"} and not stepped


@settings(max_examples=500, deadline=None)
@given(st.lists(OPERATIONS.filter(_leaves_evidence), max_size=40), st.sampled_from([0, 500, 999]))
@example([A, ("read", 0), ("kill_vswitchd",)], 500)
@example([A, ("read", 500), ("read", 0), ("kill_vswitchd",)], 999)
@example([A, ("read", 3_000), B, ("read", 400), ("read", 400), ("kill_vswitchd",)], 999)
@example([A, ("read", 3_000), ("read", 3_000), B, ("restart_vswitchd",)], 0)
def test_the_bounds_of_gaps_hold(operations, lag_ms):
    """Faults that leave evidence (a killed vswitchd): every lost byte lies in a gap, and under its bound."""
    world, agent = World(lag_ms=lag_ms), Agent()
    agent.read(world.reading())
    for port in PORTS:
        world.program(port)
    # A flow that was never read leaves no evidence: the agent reads after it programs.
    agent.read(world.reading())
    for operation in operations:
        _perform(world, agent, operation)
        if operation[0] == "restart_vswitchd":
            _perform(world, agent, A)
        if operation[0] in {"program", "rebind_same_epoch", "kill_vswitchd", "restart_vswitchd"}:
            agent.read(world.reading())
    world.now += 5_000
    agent.read(world.reading())
    for port in PORTS:
        sent = sum(size for (p, _), size in world.sent.items() if p == port)
        billed = sum(r.bytes for r in agent.records(Interval) if r.series[0] == port)
        gaps = [r for r in agent.records(Gap) if r.port == port]
        if any(g.bound is None for g in gaps):
            continue
        assert sent - billed <= sum(g.bound for g in gaps)


@settings(max_examples=200, deadline=None)
@given(st.lists(OPERATIONS, max_size=25))
def test_records_survive_the_upload_form(operations):
    world, agent = World(), Agent()
    agent.read(world.reading())
    for operation in operations:
        _perform(world, agent, operation)
    for record in agent.records((Interval, Gap)):
        assert billable(record.run.host, plain(record)) == record


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from(PORTS), st.sampled_from(CLASSES), st.integers(0, 4095)),
        st.tuples(st.integers(1, 2**40), st.integers(14, 2**50)),
        min_size=1,
    )
)
def test_a_lost_journal_bills_nothing_that_ran_before_it(counters):
    """What is in the flows when a journal begins may be in the ledger already: a gap, and no byte."""
    reading = Reading(Run(HostName("hv1"), "b", "s"), 5, "netdev", counters)
    state = State(next_sequence=9)
    step = advance(state, reading, Names())
    assert sum(r.bytes + r.packets for r in step.records if isinstance(r, Interval)) == 0
    gaps = [r for r in step.records if isinstance(r, Gap)]
    assert {g.cause for g in gaps} == {Cause.JOURNAL_MISSING}
    for gap in gaps:
        assert gap.bound == sum(size for (port, _, _), (_, size) in counters.items() if port == gap.port)
    again = advance(fold(state, step), reading, Names())
    assert again.records == ()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50_000)), max_size=12))
def test_within_one_run_a_fall_is_a_new_beginning_and_never_negative(readings):
    """One series with any readings at all: intervals are the rises, each fall one gap."""
    run, series = Run(HostName("hv1"), "b", "s"), (PortKey(1), ClassId(1), 1)
    state = State(next_sequence=1)
    state = fold(state, advance(state, Reading(run, 1, "netdev", {}), Names()))
    packets = layer2 = falls = 0
    before = (0, 0)
    expected = (0, 0)
    for at, counter in enumerate(readings):
        step = advance(state, Reading(run, at, "netdev", {series: counter}), Names())
        state = fold(state, step)
        fell = counter[0] < before[0] or counter[1] < before[1]
        base = (0, 0) if fell else before
        expected = (expected[0] + counter[0] - base[0], expected[1] + counter[1] - base[1])
        falls += fell
        before = counter
        for record in step.records:
            if isinstance(record, Interval):
                assert min(record.packets, record.bytes) >= 0
                packets += record.packets
                layer2 += record.bytes + record.header_bytes * record.packets
            if isinstance(record, Gap):
                assert record.cause is Cause.COUNTER_FELL
                falls -= 1
    assert (packets, layer2) == expected
    assert falls == 0
