"""The meter on a real journal, over a switch of our own: adoption, closing, full disks, damaged journals."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from immutables import Map

from accounting import journal as journal_module
from accounting.bounds import Wire
from accounting.classes import INBOUND
from accounting.encode import parse_step
from accounting.journal import Journal
from accounting.records import Cause, Gap, Interval
from accounting.state import State
from accounting.turns import whole
from controller.agent.meter import Meter, Outcome, Presence, run_of
from controller.agent.sheet import Sheet, series_named
from model.errors import Fault, Unavailable
from model.ids import EVERYTHING_ELSE, SAME_NETWORK, HostName, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Network, Port, Tenant
from model.inventory import Switch
from model.snapshot import Snapshot, with_port
from pipelines import cookies


@dataclass
class Columns:
    cookie: np.ndarray
    packets: np.ndarray
    octets: np.ndarray


@dataclass
class FakeSwitch:
    """Counters by cookie, of which `late` come only after a purge; `broken` makes every call fail."""

    flows: dict[int, tuple[int, int]] = field(default_factory=dict)
    late: dict[int, tuple[int, int]] = field(default_factory=dict)
    broken: str = ""
    calls: list[str] = field(default_factory=list)

    def counters(self) -> Columns:
        self._call("read")
        rows = [(c, p, b) for c, (p, b) in self.flows.items()]
        return Columns(*(np.array([r[i] for r in rows], dtype=np.uint64) for i in range(3)))

    def purge(self) -> None:
        self._call("purge")
        for cookie, (packets, octets) in self.late.items():
            before = self.flows[cookie]
            self.flows[cookie] = (before[0] + packets, before[1] + octets)
        self.late = {}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.broken == name:
            raise Unavailable(Fault("switch", "gone", "it does not answer", "wait"))


def _snapshot(started: str = "start-1") -> Snapshot:
    snapshot = Snapshot(
        host=HostName("hv1"),
        switch=Switch("netdev", 1, started),
        tenants=Map({TenantKey(1): Tenant(Uid("t-uid"), "blue", TenantKey(1))}),
        networks=Map({NetworkKey(1): Network(Uid("n-uid"), TenantKey(1), "net", NetworkKey(1), Vni(9))}),
    )
    for key in (7, 8):
        uid, mac = Uid(f"p-{key}"), 0x020000000000 + key
        port = Port(uid, NetworkKey(1), f"vm{key}", PortKey(key), mac, (), ())
        snapshot = with_port(snapshot, port)
    return snapshot


SNAPSHOT = _snapshot()
RUN = run_of(SNAPSHOT, "boot-a")
FLOW = cookies.account(PortKey(7), EVERYTHING_ELSE, 1)
OTHER = cookies.account(PortKey(8), SAME_NETWORK, 1)


class Bench:
    """A meter that can be killed and started again on the same directory."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.switch, self.now = directory, FakeSwitch(), 1_700_000_000_000
        self.wires: dict[PortKey, Wire] = {}
        self.written = 0
        self.journal = Journal(directory)
        self.meter = self._meter()

    def _meter(self) -> Meter:
        return Meter(
            self.journal,
            self.switch.counters,
            lambda: self.now,
            read_wires=lambda: self.wires,
            on_written=self._count,
        )

    def _count(self) -> None:
        self.written += 1

    def kill(self) -> None:
        self.journal.close()
        self.journal = Journal(self.directory)
        self.meter = self._meter()

    def tick(self, snapshot: Snapshot = SNAPSHOT) -> Outcome:
        self.now += 10_000
        return self.meter.tick(run_of(snapshot, "boot-a"), snapshot, Presence(frozenset(self.wires)))

    def doubt(self, *ports: int, withheld: tuple[int, ...] = ()) -> Outcome:
        self.now += 10_000
        doubted, unsure = frozenset(map(PortKey, ports)), frozenset(map(PortKey, withheld))
        here = frozenset(self.wires)
        return self.meter.tick(RUN, SNAPSHOT, Presence(here, doubted=doubted, withheld=unsure))

    def close(self, *ports: int) -> Outcome:
        self.now += 10
        return self.meter.close_ports([PortKey(p) for p in ports], RUN, SNAPSHOT, self.switch.purge)

    def records(self, kind):
        frames = self.journal.pending(1_000)
        return [r for f in frames for r in parse_step(f.body).records if isinstance(r, kind)]

    def billed(self, port: int = 7) -> int:
        return sum(r.bytes for r in self.records(Interval) if r.series[0] == port)


@pytest.fixture
def bench(tmp_path: Path):
    made = Bench(tmp_path / "journal")
    assert made.tick() is Outcome.JOURNALLED
    yield made
    made.journal.close()


def test_cookies_of_other_flows_are_left_out_and_equal_ones_are_summed():
    columns = Columns(
        np.array([FLOW, FLOW, 5, cookies.port(PortKey(7)), cookies.host(60)], dtype=np.uint64),
        np.array([1, 2, 9, 9, 9], dtype=np.uint64),
        np.array([100, 2**63, 9, 9, 9], dtype=np.uint64),
    )
    _, found, moved = whole(Sheet().compare([columns], State(1), RUN))
    assert moved is None and series_named(5) is None
    assert found == {(7, 1, 1): (3, 2**63 + 100)}
    assert all(type(n) is int for counter in found.values() for n in counter)


def test_what_a_port_got_is_a_series_of_its_own(bench: Bench):
    got = cookies.account_in(PortKey(7), EVERYTHING_ELSE, 1)
    bench.switch.flows = {FLOW: (0, 0), got: (0, 0)}
    bench.tick()
    bench.switch.flows = {FLOW: (1, 114), got: (3, 342)}
    bench.tick()
    found = [(r.series, r.packets, r.bytes, r.class_name) for r in bench.records(Interval) if r.packets]
    assert found == [
        ((7, EVERYTHING_ELSE, 1), 1, 100, "everything-else"),
        ((7, EVERYTHING_ELSE | INBOUND, 1), 3, 300, "everything-else"),
    ]


def test_what_was_handed_over_is_known_up_to_a_reading(bench: Bench):
    assert bench.meter.handed_ms == bench.now, "nothing was counted: there is nothing to hand over"
    bench.switch.flows = {FLOW: (10, 1_140)}
    bench.tick()
    before, last = bench.now - 10_000, bench.journal.newest
    assert bench.meter.handed_ms == before
    bench.tick()  # nothing new was sent: what is on its way still is
    assert bench.meter.handed_ms == before
    bench.journal.acknowledge(last)
    assert bench.meter.handed_ms == bench.now, "a step with nothing to upload keeps nobody waiting"
    bench.switch.broken = "read"
    bench.tick()
    assert bench.meter.handed_ms == bench.now - 10_000, "what was not read is not known"


def test_after_a_restart_nothing_is_handed_over_until_all_is(bench: Bench):
    bench.switch.flows = {FLOW: (10, 1_140)}
    bench.tick()
    bench.kill()
    assert bench.meter.handed_ms == 0
    bench.tick()
    bench.journal.acknowledge(bench.journal.newest)
    assert bench.meter.handed_ms == bench.now


def test_ticks_count_and_name_owner_and_class(bench: Bench):
    bench.switch.flows = {FLOW: (10, 1_140), OTHER: (0, 0)}
    assert bench.tick() is Outcome.JOURNALLED
    intervals = bench.records(Interval)
    assert [(i.owner.tenant_name, i.owner.port_name, i.class_name, i.bytes) for i in intervals] == [
        ("blue", "vm7", "everything-else", 1_000),
        ("blue", "vm8", "same-network", 0),
    ]
    assert bench.written == 1


@pytest.mark.parametrize("kills", [(0,), (1,), (0, 1, 2), (2, 2)])
def test_killed_agents_count_nothing_twice_and_lose_nothing(bench: Bench, kills):
    for round_ in range(3):
        packets = (round_ + 1) * 5
        bench.switch.flows = {FLOW: (packets, packets * 114)}
        bench.tick()
        for _ in range(kills.count(round_)):
            bench.kill()
    bench.tick()
    assert bench.billed() == 1_500
    assert bench.records(Gap) == []


def test_closing_purges_first_and_counts_the_last_packet(bench: Bench):
    bench.switch.flows = {FLOW: (1, 114)}
    bench.tick()
    bench.switch.late = {FLOW: (60, 60 * 114)}
    bench.switch.calls.clear()
    assert bench.close(7) is Outcome.JOURNALLED
    assert bench.switch.calls == ["purge", "read"]
    assert bench.billed() == 6_100
    bench.switch.flows = {}
    bench.kill()
    bench.tick()
    assert bench.records(Gap) == []


def test_single_counters_can_be_closed_by_their_cookies(bench: Bench):
    """A class that is deleted, or an orphan: the port's other counters stay open."""
    second = cookies.account(PortKey(7), SAME_NETWORK, 1)
    bench.switch.flows = {FLOW: (10, 1_140), second: (1, 114)}
    bench.tick()
    bench.switch.late = {FLOW: (1, 114)}
    closed = bench.meter.close_flows([FLOW, 5], RUN, SNAPSHOT, bench.switch.purge)
    assert closed is Outcome.JOURNALLED
    bench.switch.flows = {second: (1, 114)}
    bench.tick()
    assert bench.records(Gap) == []
    bench.switch.flows = {OTHER: (0, 0)}
    bench.tick()
    assert bench.tick() is Outcome.JOURNALLED
    assert [g.cause for g in bench.records(Gap)] == [Cause.FLOW_VANISHED]
    assert bench.billed() == 1_200


def test_closing_proves_nothing_about_other_ports(bench: Bench):
    """It happens amid events: that another interface has left may be the next of them."""
    bench.wires = {PortKey(7): Wire("eth7#2", 5_000)}
    bench.switch.flows = {FLOW: (10, 1_140), OTHER: (0, 0)}
    bench.tick()
    bench.tick()
    before = bench.meter.state.sightings[PortKey(7)]
    bench.wires = {PortKey(7): Wire("eth7#2", 9_000)}
    bench.now += 10_000
    assert bench.close(8) is Outcome.JOURNALLED
    assert bench.meter.state.sightings[PortKey(7)] == before
    bench.tick()
    assert bench.meter.state.sightings[PortKey(7)].newer.bytes == 9_000


@pytest.mark.parametrize("broken", ["purge", "read"])
def test_a_closing_that_fails_is_a_gap_with_a_bound(bench: Bench, broken: str):
    bench.wires = {PortKey(7): Wire("eth7#2", 5_000)}
    bench.switch.flows = {FLOW: (10, 1_140)}
    bench.tick()
    bench.tick()
    bench.switch.broken = broken
    assert bench.close(7) is Outcome.UNCLOSED
    bench.switch.broken, bench.switch.flows = "", {}
    bench.wires = {PortKey(7): Wire("eth7#2", 6_000)}
    assert bench.tick() is Outcome.SUSPECT
    assert bench.tick() is Outcome.JOURNALLED
    (gap,) = bench.records(Gap)
    assert (gap.cause, gap.bound, gap.owner.port_name) == (Cause.FLOW_VANISHED, 1_000, "vm7")


def test_a_switch_that_does_not_answer_is_read_later(bench: Bench):
    bench.switch.flows = {FLOW: (10, 1_140)}
    bench.switch.broken = "read"
    assert bench.tick() is Outcome.UNREAD
    bench.switch.broken = ""
    assert bench.tick() is Outcome.JOURNALLED
    assert bench.billed() == 1_000


def test_a_restart_of_vswitchd_that_is_noticed_late_bills_nothing_twice(bench: Bench):
    bench.switch.flows = {FLOW: (100, 11_400)}
    bench.tick()
    bench.switch.flows = {FLOW: (50, 5_700)}
    assert bench.tick() is Outcome.SUSPECT
    assert bench.tick(_snapshot("start-2")) is Outcome.JOURNALLED
    bench.switch.flows = {FLOW: (70, 70 * 114)}
    bench.tick(_snapshot("start-2"))
    assert bench.billed() == 10_000 + 7_000
    assert [g.cause for g in bench.records(Gap)] == [Cause.RUN_ENDED]


def test_a_flow_that_fell_for_good_is_believed_a_second_later(bench: Bench):
    bench.switch.flows = {FLOW: (100, 11_400)}
    bench.tick()
    bench.switch.flows = {FLOW: (50, 5_700)}
    assert bench.tick() is Outcome.SUSPECT
    assert bench.meter.tick(RUN, SNAPSHOT, Presence(frozenset())) is Outcome.SUSPECT
    assert bench.tick() is Outcome.JOURNALLED
    assert bench.billed() == 15_000
    assert [g.cause for g in bench.records(Gap)] == [Cause.COUNTER_FELL]


def test_a_full_disk_holds_and_loses_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def full(file: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.switch.flows = {FLOW: (10, 1_140), OTHER: (1, 114)}
    bench.tick()
    write = os.write
    monkeypatch.setattr(journal_module.os, "write", full)
    bench.switch.flows = {FLOW: (20, 2_280), OTHER: (2, 228)}
    assert bench.tick() is Outcome.HELD
    bench.switch.flows = {FLOW: (30, 3_420), OTHER: (2, 228)}
    assert bench.close(7) is Outcome.HELD
    bench.switch.flows = {OTHER: (5, 570)}
    assert bench.tick() is Outcome.DEFERRED
    monkeypatch.setattr(journal_module.os, "write", write)
    assert bench.tick() is Outcome.JOURNALLED
    assert (bench.billed(7), bench.billed(8)) == (3_000, 500)
    assert bench.records(Gap) == []
    before = bench.meter.state
    bench.kill()
    assert bench.meter.state == before


def test_a_lost_journal_bills_nothing_twice(bench: Bench):
    bench.switch.flows = {FLOW: (10, 1_140)}
    bench.tick()
    numbers = {r.sequence for r in bench.records(Interval)}
    bench.journal.close()
    for path in bench.directory.iterdir():
        path.unlink()
    bench.now += 1_000
    bench.journal = Journal(bench.directory)
    bench.meter = bench._meter()
    bench.switch.flows = {FLOW: (12, 1_368)}
    bench.tick()
    bench.switch.flows = {FLOW: (15, 1_710)}
    bench.tick()
    assert bench.billed() == 300
    (gap,) = bench.records(Gap)
    assert (gap.cause, gap.bound) == (Cause.JOURNAL_MISSING, 1_368)
    assert not numbers & {r.sequence for r in bench.records((Interval, Gap))}


def test_a_journal_that_rotted_behind_the_ledger_counts_anew(bench: Bench):
    bench.switch.flows = {FLOW: (10, 1_140)}
    bench.tick()
    bench.journal.acknowledge(bench.journal.pending(10)[-1].number)
    bench.journal.close()
    (segment,) = bench.directory.glob("journal-*.log")
    segment.write_bytes(segment.read_bytes()[:-3])
    bench.journal = Journal(bench.directory)
    bench.meter = bench._meter()
    bench.tick()
    assert sum(r.bytes for r in bench.records(Interval)) == 0
    assert [g.cause for g in bench.records(Gap)] == [Cause.JOURNAL_MISSING]


def test_a_journal_of_another_format_is_refused_with_a_remedy(tmp_path: Path):
    journal = Journal(tmp_path)
    journal.append(b'{"format": 99}', lambda: b'{"format": 99}')
    journal.close()
    again = Journal(tmp_path)
    with pytest.raises(Unavailable) as caught:
        Meter(again, FakeSwitch().counters, lambda: 1)
    assert caught.value.faults[0].rule == "journal-format"
    again.close()


def test_there_is_no_run_without_vswitchd():
    assert run_of(Snapshot(host=HostName("hv1")), "b") is None
    assert run_of(_snapshot(""), "b") is None


def test_a_port_in_doubt_gets_a_gap_of_all_that_passed_since_the_last_sure_reading(bench: Bench):
    for counted, passed in ((10, 1_200), (20, 2_400)):
        bench.wires = {PortKey(7): Wire("a", passed)}
        bench.switch.flows = {FLOW: (counted, 114 * counted), OTHER: (counted, 114 * counted)}
        bench.tick()
    bench.wires = {PortKey(7): Wire("a", 3_700)}
    bench.switch.flows = {FLOW: (31, 114 * 31), OTHER: (31, 114 * 31)}
    assert bench.doubt(7, 99) is Outcome.JOURNALLED
    (gap,) = bench.records(Gap)
    assert (gap.cause, gap.port, gap.bound) == (Cause.PASS_MOVED, PortKey(7), 3_700 - 1_200)
    assert bench.billed() == 3_100, "what was counted is billed"
    bench.tick()
    assert len(bench.records(Gap)) == 1


def test_doubt_about_a_port_that_sent_nothing_is_no_gap(bench: Bench):
    bench.wires = {PortKey(7): Wire("a", 1_200)}
    bench.switch.flows = {FLOW: (10, 1_140)}
    for _ in range(2):
        bench.tick()
    assert bench.doubt(7) is Outcome.JOURNALLED
    assert bench.records(Gap) == []


def test_doubt_about_a_port_that_closes_is_a_gap(bench: Bench):
    bench.wires = {PortKey(7): Wire("a", 1_200)}
    bench.switch.flows = {FLOW: (10, 1_140)}
    for _ in range(2):
        bench.tick()
    bench.wires = {PortKey(7): Wire("a", 5_000)}
    told = Presence(frozenset(), doubted=frozenset({PortKey(7)}))
    done = bench.meter.close_ports([PortKey(7)], RUN, SNAPSHOT, bench.switch.purge, told)
    assert done is Outcome.JOURNALLED
    (gap,) = bench.records(Gap)
    assert (gap.cause, gap.port, gap.bound) == (Cause.PASS_MOVED, PortKey(7), 5_000 - 1_200)


def test_what_may_be_counted_twice_is_not_billed_and_all_that_passed_is_the_bound(bench: Bench):
    for counted, passed in ((10, 1_200), (20, 2_400)):
        bench.wires = {PortKey(7): Wire("a", passed)}
        bench.switch.flows = {FLOW: (counted, 114 * counted), OTHER: (counted, 114 * counted)}
        bench.tick()
    bench.wires = {PortKey(7): Wire("a", 3_700)}
    bench.switch.flows = {FLOW: (41, 114 * 41), OTHER: (31, 114 * 31)}
    assert bench.doubt(7, withheld=(7,)) is Outcome.JOURNALLED
    (gap,) = bench.records(Gap)
    assert (gap.cause, gap.port, gap.bound) == (Cause.PASS_MOVED, PortKey(7), 3_700 - 1_200)
    assert (bench.billed(7), bench.billed(8)) == (2_000, 3_100)
    bench.kill()
    bench.switch.flows[FLOW] = (42, 114 * 42)
    bench.tick()
    assert bench.billed(7) == 2_100, "from there on it counts again"
    assert len(bench.records(Gap)) == 1


def test_what_a_port_got_and_is_withheld_is_told_too(bench: Bench):
    got = cookies.account_in(PortKey(7), EVERYTHING_ELSE, 1)
    bench.wires = {PortKey(7): Wire("a", 1_200)}
    bench.switch.flows = {FLOW: (10, 1_140), got: (5, 570)}
    for _ in range(2):
        bench.tick()
    bench.switch.flows[got] = (9, 1_026)
    bench.doubt(7, withheld=(7,))
    (gap,) = bench.records(Gap)
    assert (gap.cause, gap.bound) == (Cause.PASS_MOVED, 0), "it sent nothing"
    assert bench.billed() == 1_000 + 500


def test_an_agent_that_dies_at_a_change_leaves_the_doubt_to_its_next_life(bench: Bench):
    bench.wires = {PortKey(7): Wire("a", 1_200)}
    bench.switch.flows = {FLOW: (10, 1_140), OTHER: (10, 1_140)}
    for _ in range(2):
        bench.tick()
    bench.meter.foresee(frozenset({PortKey(7)}))
    sightings, handed = bench.meter.state.sightings, bench.billed(7)
    bench.kill()
    assert bench.meter.state.unsure == {7}
    assert bench.meter.state.sightings == sightings, "it is no reading"
    bench.wires = {PortKey(7): Wire("a", 2_400)}
    bench.switch.flows = {FLOW: (30, 114 * 30), OTHER: (20, 114 * 20)}
    bench.doubt(7, withheld=tuple(bench.meter.state.unsure))
    assert (bench.billed(7), bench.billed(8)) == (handed, 2_000)
    bench.kill()
    assert bench.meter.state.unsure == frozenset()
    assert len(bench.records(Gap)) == 1


def test_a_change_that_was_none_leaves_no_doubt(bench: Bench):
    bench.meter.foresee(frozenset({PortKey(7)}))
    before = bench.journal.newest
    bench.meter.foresee(frozenset({PortKey(7)}))
    assert bench.journal.newest == before, "it is on disk already"
    bench.meter.foresee(frozenset())
    bench.kill()
    assert bench.meter.state.unsure == frozenset()
