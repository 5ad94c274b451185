"""Balances against a model that knows the truth: a known figure is right, and every counted byte is in one.

Ports are bound and unbound, interfaces are made anew or not seen, ovs-vswitchd dies and the agent forgets.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from accounting.balance import layer2
from accounting.bounds import Wire
from accounting.count import advance, fold, recover
from accounting.encode import parse_state, parse_step, state_bytes, step_bytes
from accounting.records import HOUR, Balance, Interval, Run
from accounting.state import Reading, Standing, State
from model.ids import ClassId, HostName, PortKey
from tests.unit.accounting.examples import Names

PORTS, CLASSES = (1, 2), (0, 1, 256)
PORT = st.sampled_from(PORTS)
OPERATIONS = st.one_of(
    st.tuples(st.just("send"), PORT, st.sampled_from(CLASSES), st.integers(1, 50), st.integers(20, 9_000)),
    st.tuples(st.just("read"), st.sampled_from([1, 500, 60_000, HOUR, 3 * HOUR]), st.sampled_from(["", "1"])),
    st.tuples(st.just("read"), st.sampled_from([1, 500, 60_000, HOUR, 3 * HOUR]), st.just("12")),
    st.tuples(st.sampled_from(["refused", "renew", "unbind", "bind"]), PORT),
    st.tuples(st.sampled_from(["kill", "restart", "checkpoint"])),
)


@dataclass
class World:
    """`truth`: by moment of reading and port, its interface's identity and count."""

    flows: dict[tuple[int, int, int], list[int]] = field(default_factory=dict)
    wire: dict[int, Wire] = field(default_factory=lambda: {p: Wire(f"eth{p}#1", 77) for p in PORTS})
    epochs: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PORTS, 1))
    truth: dict[tuple[int, int], Wire] = field(default_factory=dict)
    start: int = 1
    now: int = 40 * HOUR

    def __post_init__(self) -> None:
        self.state = State(next_sequence=1)
        self.disk, self.first = [], state_bytes(self.state)
        self.counted: dict[int, int] = {}
        self.intervals: list[Interval] = []
        self.balances: list[Balance] = []
        self.read("12")

    def read(self, seen: str, closing: int = 0) -> None:
        self.now += 1
        counters = {(PortKey(p), ClassId(c), e): (n, size) for (p, c, e), (n, size) in self.flows.items()}
        wires = {PortKey(p): self.wire[p] for p in PORTS if str(p) in seen}
        self.truth |= {(self.now, p): self.wire[p] for p in PORTS}
        run = Run(HostName("hv1"), "boot", f"start-{self.start}")
        shut = frozenset(series for series in counters if series[0] == closing)
        step = advance(self.state, Reading(run, self.now, "netdev", counters, wires), Names(), shut)
        before = self.state.tallies
        for record in step.records:
            if isinstance(record, Interval) and not record.series[1] & 256:
                self.intervals.append(record)
                if record.series[0] in before and record.run == self.state.run:
                    self.counted[record.series[0]] = self.counted.get(record.series[0], 0) + layer2(record)
            if isinstance(record, Balance):
                self.balances.append(record)
        self.disk.append(step_bytes(step))
        self.state = fold(self.state, step)
        sending = {
            s[0] for s, b in self.state.baselines.items() if b.standing is Standing.OPEN and s[1] < 256
        }
        assert self.state.tallies.keys() == sending

    def perform(self, operation: tuple) -> None:
        match operation:
            case ("send", port, class_id, packets, payload):
                size = packets * (payload + 14)
                if class_id < 256:
                    self.take_in(port, size)
                flow = self.flows.get((port, class_id, self.epochs[port]))
                if flow is not None:
                    flow[0] += packets
                    flow[1] += size
            case ("refused", port):
                self.take_in(port, 60)
            case ("read", milliseconds, seen):
                self.now += milliseconds
                self.read(seen)
            case ("renew", port):
                name, _, number = self.wire[port].identity.partition("#")
                self.wire[port] = Wire(f"{name}#{int(number) + 1}", 0)
            case ("bind", port):
                for class_id in CLASSES:
                    self.flows.setdefault((port, class_id, self.epochs[port]), [0, 0])
            case ("unbind", port):
                self.read("12", port)
                self.flows = {k: v for k, v in self.flows.items() if k[0] != port}
                self.epochs[port] += 1
            case ("kill",):
                self.start, self.flows = self.start + 1, {}
            case ("checkpoint",):
                self.first, self.disk = state_bytes(self.state), []
            case ("restart",):
                before = self.state
                self.state = recover(parse_state(self.first), map(parse_step, self.disk))
                assert self.state == before

    def take_in(self, port: int, size: int) -> None:
        old = self.wire[port]
        self.wire[port] = Wire(old.identity, old.bytes + size)


SENT = ("send", 1, 0, 5, 100)


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, max_size=40))
@example([("bind", 1), ("read", 1, "12"), SENT, ("renew", 1), SENT, ("read", HOUR, "12"), SENT])
@example([("bind", 1), ("read", 1, "12"), SENT, ("read", HOUR, ""), SENT, ("read", HOUR, "12"), SENT])
@example([("bind", 1), ("read", 1, ""), SENT, ("read", 1, "12"), SENT])
@example([("bind", 1), ("read", 1, "12"), SENT, ("kill",), ("bind", 1), SENT, ("read", 1, "12"), SENT])
def test_known_figures_are_true_and_every_counted_byte_is_in_one_balance(operations):
    world = World()
    for operation in operations:
        world.perform(operation)
    for port in PORTS:
        world.perform(("unbind", port))
    world.read("12")
    assert world.state.tallies == {}
    told: dict[int, int] = {}
    for found in world.balances:
        begin, end = world.truth[found.from_ms, found.port], world.truth[found.to_ms, found.port]
        if found.wire_bytes is not None:
            assert begin.identity == end.identity
            assert found.wire_bytes == end.bytes - begin.bytes
        held = (
            layer2(i)
            for i in world.intervals
            if i.series[0] == found.port and i.run == found.run and found.from_ms < i.to_ms <= found.to_ms
        )
        assert found.counted_bytes == sum(held)
        told[found.port] = told.get(found.port, 0) + found.counted_bytes
    assert {p: n for p, n in told.items() if n} == {p: n for p, n in world.counted.items() if n}


@settings(max_examples=100, deadline=None)
@given(
    st.lists(OPERATIONS.filter(lambda o: o[0] in ("send", "refused", "checkpoint", "restart")), max_size=20)
)
def test_an_undisturbed_port_is_known_and_its_residual_is_what_was_refused(operations):
    world = World()
    for port in PORTS:
        world.perform(("bind", port))
    world.read("12")
    for operation in operations:
        world.perform(operation)
        world.perform(("read", 20 * 60_000, "12"))
    for port in PORTS:
        world.perform(("unbind", port))
    for port in PORTS:
        refused = 60 * sum(operation == ("refused", port) for operation in operations)
        residuals = [found.residual for found in world.balances if found.port == port]
        assert None not in residuals
        assert sum(residuals) == refused
