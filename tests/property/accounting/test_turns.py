"""What makes counting cheap makes no difference: comparing arrays, turns, readings that are dropped, JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from immutables import Map

from accounting.balance import Tally
from accounting.bounds import Departure, Sighting, Wire
from accounting.count import advance, fold, foreseen, resembles_restart
from accounting.encode import parse_state, parse_step, plain, state_bytes, step_bytes
from accounting.journal import Need, Recovery, Refused, Written
from accounting.records import Balance, Cause, Closed, Ended, Gap, Interval, Owner, Run, Series
from accounting.state import Baseline, Reading, Standing, State, Step
from accounting.turns import whole
from controller.agent.meter import Meter, Outcome, Presence, run_of
from controller.agent.sheet import Sheet, series_named
from model.ids import ClassId, HostName, NetworkKey, PortKey, Uid
from model.intent import Port
from model.inventory import Switch
from model.snapshot import Snapshot
from pipelines import cookies
from tests.unit.accounting.examples import Names

RUNS = [Run(HostName("hv1"), "boot", f"start-{life}") for life in (1, 2)]
COOKIES = [
    made(PortKey(port), ClassId(cls), epoch)
    for made in (cookies.account, cookies.account_in)
    for port in (1, 2)
    for cls in (0, 3)
    for epoch in (1, 2)
] + [cookies.port(PortKey(1)), cookies.host(60), 5]
FLOWS = st.dictionaries(
    st.sampled_from(COOKIES), st.tuples(st.integers(0, 3), st.integers(0, 200)), max_size=len(COOKIES)
)


def columns(flows: dict[int, tuple[int, int]], order: list[int]) -> SimpleNamespace:
    """As a switch lists them, in any order; a cookie may have two flows."""
    rows = [(c, *flows[c]) for c in sorted(flows, key=lambda cookie: order[COOKIES.index(cookie)])]
    rows += [(c, 1, 60) for c in sorted(flows)[:1]]
    return SimpleNamespace(
        cookie=np.array([r[0] for r in rows], np.uint64),
        packets=np.array([r[1] for r in rows], np.uint64),
        octets=np.array([r[2] for r in rows], np.uint64),
    )


ORDER = st.permutations(range(len(COOKIES)))
READING = st.tuples(
    FLOWS,
    ORDER,
    st.integers(0, 12),
    st.sampled_from([0, 0, 0, 1]),
    st.sets(st.sampled_from([1, 2])),
    st.sets(st.sampled_from([1, 2])),
    st.sets(st.sampled_from([1, 2])),
    st.sets(st.sampled_from([1, 2])),
    st.sampled_from(["kept", "kept", "foreseen", "dropped"]),
)


@settings(max_examples=200, deadline=None)
@given(st.lists(READING, min_size=2, max_size=8))
def test_only_what_moved_is_looked_at_and_the_same_comes_out(readings):
    sheet, state, now = Sheet(), State(1), 10_000
    for flows, order, step_ms, life, closing, doubted, withheld, pulled, then in readings:
        now += step_ms * 300
        found, run = columns(flows, order), RUNS[life]
        half = len(found.cookie) // 2
        parts = [
            SimpleNamespace(cookie=found.cookie[a:b], packets=found.packets[a:b], octets=found.octets[a:b])
            for a, b in ((0, half), (half, None))
        ]
        page, counters, moved = whole(sheet.compare(parts, state, run))
        sums: dict = {}
        for cookie, packets, octets in zip(
            found.cookie.tolist(), found.packets.tolist(), found.octets.tolist(), strict=True
        ):
            series = series_named(cookie)
            if series is not None:
                old = sums.get(series, (0, 0))
                sums[series] = old[0] + packets, old[1] + octets
        assert dict(counters) == sums and len(counters) == len(sums)
        reading = Reading(
            run,
            now,
            "netdev",
            sums,
            wires={PortKey(port): Wire(f"tap{port}", now) for port in (1, 2)},
            pulled={PortKey(port): Departure(None, Wire(f"tap{port}", now)) for port in pulled},
            doubted=frozenset(map(PortKey, doubted)),
            withheld=frozenset(map(PortKey, withheld)),
        )
        quick = replace(reading, counters=counters, moved=moved)
        last = frozenset(series for series in sums if series[0] in closing)
        step = advance(state, reading, Names(), last)
        assert advance(state, quick, Names(), last) == step
        assert resembles_restart(state, quick) == resembles_restart(state, reading)
        rows = [r for r in step.records if isinstance(r, Interval) and r.series[0] in withheld]
        told = {r.port for r in step.records if isinstance(r, Gap)}
        assert not any(r.packets or r.bytes for r in rows)
        assert {r.series[0] for r in rows if r.counter != (0, 0)} <= told, "what is not billed is told"
        if then == "dropped":
            continue
        state = fold(state, step)
        sheet.keep(page, state)
        if then == "foreseen":
            before, change = state, foreseen(state, frozenset({PortKey(1)}))
            assert change is not None
            state = fold(before, change)
            sheet.follow(before, state)
            assert whole(sheet.compare(parts, state, run))[2] == {}.keys(), "nothing has moved by that"


TEXT = st.text(max_size=6)
NUMBER = st.integers(0, (1 << 63) - 1)
OWNER = st.builds(Owner, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT)
SERIES = st.tuples(st.builds(PortKey, NUMBER), st.builds(ClassId, NUMBER), NUMBER)
RUN = st.builds(Run, st.builds(HostName, TEXT), TEXT, TEXT)
COUNTER = st.tuples(NUMBER, NUMBER)
WIRES = st.dictionaries(st.builds(PortKey, NUMBER), st.builds(Wire, TEXT, NUMBER), max_size=3)
PORTKEY = st.builds(PortKey, NUMBER)
KEYS = st.frozensets(PORTKEY, max_size=4)
TALLIES = st.dictionaries(
    PORTKEY, st.builds(Tally, OWNER, NUMBER, st.none() | st.builds(Wire, TEXT, NUMBER), NUMBER), max_size=3
)


def records(run: Run) -> st.SearchStrategy:
    said = st.just(run)
    return st.lists(
        st.one_of(
            st.builds(
                Interval,
                said,
                SERIES,
                OWNER,
                TEXT,
                NUMBER,
                NUMBER,
                NUMBER,
                NUMBER,
                NUMBER,
                TEXT,
                NUMBER,
                COUNTER,
            ),
            st.builds(
                Gap, said, PORTKEY, OWNER, st.sampled_from(Cause), NUMBER, NUMBER, NUMBER, st.none() | NUMBER
            ),
            st.builds(Balance, said, PORTKEY, OWNER, NUMBER, NUMBER, NUMBER, st.none() | NUMBER, NUMBER),
            st.builds(Closed, SERIES),
            st.builds(Ended, SERIES),
        ),
        max_size=4,
    ).map(tuple)


STEP = RUN.flatmap(
    lambda run: st.builds(Step, st.just(run), NUMBER, records(run), WIRES, KEYS, TALLIES, KEYS)
)
STATE = st.builds(
    State,
    NUMBER,
    st.none() | RUN,
    NUMBER,
    st.dictionaries(SERIES, st.builds(Baseline, COUNTER, OWNER, st.sampled_from(Standing)), max_size=3),
    st.dictionaries(
        PORTKEY,
        st.builds(Sighting, st.builds(Wire, TEXT, NUMBER), st.builds(Wire, TEXT, NUMBER), NUMBER, NUMBER),
        max_size=3,
    ),
    TALLIES,
    KEYS,
)


def compact(raw: object) -> str:
    return json.dumps(raw, separators=(",", ":"))


@settings(max_examples=150, deadline=None)
@given(STEP)
def test_a_step_is_written_as_the_library_would_and_read_again(step):
    body = step_bytes(step)
    assert parse_step(body) == step
    raw = json.loads(body)
    assert parse_step(json.dumps(raw).encode()) == step, "with spaces"
    assert compact(raw).encode() == body
    bills = [one for one in step.records if isinstance(one, (Interval, Gap, Balance))]
    assert [r for r in raw["records"] if r["kind"] not in ("closed", "ended")] == [
        plain(one) for one in bills
    ]
    assert all(compact(plain(one)).encode() in body for one in bills)


@settings(max_examples=100, deadline=None)
@given(STATE)
def test_a_state_is_written_as_the_library_would_and_read_again(state):
    body = state_bytes(state)
    assert parse_state(body) == state
    assert compact(json.loads(body)).encode() == body


@dataclass
class Flows:
    """Counters that rise; a slice for each flow."""

    flows: dict[int, int]

    def columns(self, cookies_: list[int]) -> SimpleNamespace:
        rows = [self.flows[c] for c in cookies_]
        return SimpleNamespace(
            cookie=np.array(cookies_, np.uint64),
            packets=np.array(rows, np.uint64),
            octets=np.array([100 * n for n in rows], np.uint64),
        )

    def whole(self) -> SimpleNamespace:
        return self.columns(sorted(self.flows))

    def slices(self):
        for cookie in sorted(self.flows) or [0]:
            yield self.columns([cookie] if cookie in self.flows else [])


class Memory:
    """A journal on a disk that may be full; what it took is all that outlives an agent."""

    def __init__(self) -> None:
        self.steps: list[bytes] = []
        self.checkpoint: bytes | None = None
        self.full, self.room, self.waiting = False, False, None
        self.newest = 0

    @property
    def recovery(self) -> Recovery:
        return Recovery(self.checkpoint, tuple(self.steps))

    @property
    def begins_segment(self) -> bool:
        return self.checkpoint is None

    def append(
        self, body: bytes, checkpoint: Callable[[], bytes], need: Need = Need.USUAL
    ) -> Written | Refused:
        if self.full and (need is Need.USUAL or not self.room):
            return Refused("full")
        self.checkpoint = self.checkpoint or checkpoint()
        self.steps.append(body)
        self.newest += 1
        return Written(self.newest)


PORTS = {PortKey(k): Port(Uid(f"p-{k}"), NetworkKey(1), f"vm{k}", PortKey(k), k, (), ()) for k in (1, 2)}
SNAPSHOT = Snapshot(HostName("hv1"), switch=Switch("netdev", 1, "start-1"), ports=Map(PORTS))
SENT = [c for c in COOKIES if series_named(c) is not None]
ACTS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from(SENT), st.integers(1, 9)),
    st.tuples(st.just("send"), st.sampled_from(SENT), st.integers(1, 9)),
    st.tuples(st.just("add"), st.sampled_from(SENT)),
    st.just(("begin",)),
    st.just(("begin",)),
    st.tuples(st.just("turns"), st.integers(1, 30)),
    st.tuples(st.just("turns"), st.integers(1, 30)),
    st.just(("tick",)),
    st.tuples(st.just("close"), st.sampled_from([1, 2])),
    st.tuples(st.just("shift"), st.sampled_from([1, 2]), st.integers(0, 9), st.booleans()),
    st.tuples(st.just("shift"), st.sampled_from([1, 2]), st.integers(0, 9), st.booleans()),
    st.just(("sure",)),
    st.tuples(st.just("disk"), st.sampled_from(["free", "full", "reserve"])),
    st.just(("die",)),
)
"""`shift`: a change of a port at which so many packets come out of nothing on each of its counters, and
whether it is read before. `sure`: the change turned out to be harmless, if there were none of those.
`reserve`: full, but for what can't be read again."""


class Host:
    """An agent's meter, its switch and its disk; `due`: what is to be billed by what was sent."""

    def __init__(self) -> None:
        self.switch, self.journal, self.now = Flows({}), Memory(), 10_000
        self.due: dict[Series, int] = {}
        self.gone: set[int] = set()
        self.moved: frozenset[PortKey] = frozenset()
        self.doubled = self.lost = False
        found = run_of(SNAPSHOT, "boot")
        assert found is not None
        self.run = found
        self.meter = self.begin()
        assert self.tick() is Outcome.JOURNALLED

    def clock(self) -> int:
        self.now += 10
        return self.now

    def begin(self) -> Meter:
        disk: Any = self.journal
        return Meter(disk, self.switch.whole, self.clock, slices=self.switch.slices, clock=lambda: 0.0)

    def written(self) -> None:
        """Before an agent dies its disk answers: what it may have written, it has."""
        while self.meter.writing:
            self.meter.go_on(SNAPSHOT, 0.0)

    def presence(self) -> Presence:
        return Presence(frozenset(), doubted=self.moved, withheld=self.moved)

    def rise(self, cookie: int, packets: int) -> None:
        series = series_named(cookie)
        assert series is not None
        self.switch.flows[cookie] += packets
        self.due[series] = self.due.get(series, 0) + packets

    def tick(self) -> Outcome:
        before = self.meter.state.baselines
        outcome = self.meter.tick(self.run, SNAPSHOT, self.presence())
        self.taken(outcome, before)
        return outcome

    def taken(self, outcome: Outcome, before: Mapping[Series, Baseline]) -> None:
        """Of what is withheld nothing is billed that the counters rose by since they were counted last."""
        assert not self.meter.busy and not self.meter.writing
        if outcome not in (Outcome.JOURNALLED, Outcome.HELD):
            assert outcome is Outcome.DEFERRED
            return
        for cookie, packets in self.switch.flows.items():
            series = series_named(cookie)
            assert series is not None
            if series[0] in self.moved:
                old = before.get(series)
                rise = packets - (old.counter[0] if old else 0)
                self.lost = self.lost or rise > 0
                self.due[series] = self.due.get(series, 0) - rise
        self.moved, self.doubled = frozenset(), False

    def foresee(self, ports: frozenset[PortKey]) -> None:
        self.moved = ports
        self.meter.foresee(ports)
        assert self.meter.state.unsure == ports

    def close(self, port: PortKey) -> Outcome:
        before = self.meter.state.baselines
        outcome = self.meter.close_ports([port], self.run, SNAPSHOT, lambda: None, self.presence())
        self.taken(outcome, before)
        return outcome

    def closes(self, port: int) -> bool:
        """Whether anything of it was not read for the last time yet."""
        known = self.meter.state.baselines
        closed = {series for series, one in known.items() if one.standing is Standing.CLOSED}
        return any(
            s is not None and s[0] == port and s not in closed for s in map(series_named, self.switch.flows)
        )

    def check(self) -> None:
        billed: dict[Series, int] = {}
        for body in self.journal.steps:
            for record in parse_step(body).records:
                if isinstance(record, Interval) and record.packets:
                    billed[record.series] = billed.get(record.series, 0) + record.packets
        assert billed == {series: count for series, count in self.due.items() if count}


def act(host: Host, one: tuple) -> None:
    switch, meter, journal = host.switch, host.meter, host.journal
    match one:
        case ("send", cookie, packets) if cookie in switch.flows:
            host.rise(cookie, packets)
        case ("add", cookie) if cookie not in host.gone:
            switch.flows.setdefault(cookie, 0)
        case ("begin",) if not meter.busy and not meter.writing:
            if host.moved:  # as `controller.agent.metering` does
                host.tick()
            else:
                meter.begin(host.run, host.presence())
        case ("turns", count):
            for _ in range(count):
                meter.go_on(SNAPSHOT, 0.0)
        case ("tick",):
            host.tick()
        case ("close", port):
            final = host.closes(port)
            outcome = host.close(PortKey(port))
            if not journal.full or (journal.room and final):
                assert outcome is Outcome.JOURNALLED
            if outcome is Outcome.JOURNALLED:  # the promise: on disk before the flows are deleted
                host.check()
                doomed = {c for c in switch.flows if (series_named(c) or (0,))[0] == port}
                host.gone |= doomed
                for cookie in doomed:
                    del switch.flows[cookie]
        case ("shift", port, packets, before):
            if before and not host.moved:
                host.tick()
            host.foresee(host.moved | {PortKey(port)})
            for cookie in switch.flows:
                if packets and (series_named(cookie) or (0,))[0] == port:
                    host.rise(cookie, packets)
                    host.doubled = True
        case ("sure",) if host.moved and not host.doubled:
            host.foresee(frozenset())
        case ("disk", how):
            host.written()
            journal.full, journal.room = how != "free", how == "reserve"
        case ("die",):
            host.written()
            if not meter.held:
                host.meter = host.begin()
                assert host.meter.state.unsure == host.moved, "its next life knows"


AMID = [("add", SENT[0]), ("send", SENT[0], 1), ("begin",), ("turns", 2)]


@settings(max_examples=400, deadline=None)
@given(st.lists(ACTS, max_size=30))
@example([*AMID, ("shift", 1, 3, False), ("turns", 30)])
@example([*AMID, ("shift", 1, 3, True), ("begin",), ("turns", 30), ("die",), ("turns", 30)])
@example([*AMID, ("turns", 30), ("disk", "reserve"), ("shift", 1, 3, False), ("die",), ("begin",)])
def test_whatever_comes_between_its_turns_a_byte_is_billed_once(acts):
    host = Host()
    for one in [*acts, ("disk", "free"), ("tick",)]:
        act(host, one)
        assert host.meter.state.unsure == host.moved, "nothing but a reading at a stretch ends a doubt"
    host.check()
    found = [r for body in host.journal.steps for r in parse_step(body).records]
    causes = {r.cause for r in found if isinstance(r, Gap)}
    assert causes <= {Cause.PASS_MOVED} and bool(causes) >= host.lost
    assert not causes or any(one[0] == "shift" for one in acts)
    numbers = [r.sequence for r in found if isinstance(r, (Interval, Balance, Gap))]
    assert numbers == sorted(set(numbers)), "no number twice"
