"""Count, case by case: what makes an interval, what makes a gap, and whose they are."""

from __future__ import annotations

from dataclasses import replace

from accounting.bounds import Wire
from accounting.classes import inbound
from accounting.count import advance, fold, resembles_restart
from accounting.records import UNKNOWN, Cause, Gap, Interval, Run
from accounting.state import Reading, State, Step
from model.ids import ClassId, HostName, PortKey
from tests.unit.accounting.examples import RUN, SECOND_RUN, Names, owner_of

SERIES = (PortKey(7), ClassId(1), 3)
OTHER = (PortKey(8), ClassId(0), 1)


class Host:
    """A state that goes on reading by reading."""

    def __init__(self, names: Names | None = None) -> None:
        self.names = names or Names()
        self.state = State(next_sequence=100)
        self.now = 1_000
        self.read({})

    def read(self, counters, run: Run = RUN, closing=(), wires=None, datapath="netdev") -> Step:
        self.now += 10_000
        reading = Reading(run, self.now, datapath, counters, wires or {})
        closing = frozenset(series for series in counters if series[0] in closing)
        step = advance(self.state, reading, self.names, closing)
        self.state = fold(self.state, step)
        return step


def _gaps(step: Step) -> list[tuple[int, Cause, int | None]]:
    return [(r.port, r.cause, r.bound) for r in step.records if isinstance(r, Gap)]


def _intervals(step: Step) -> list[tuple[int, int]]:
    return [(r.packets, r.bytes) for r in step.records if isinstance(r, Interval)]


def test_a_new_flow_shows_itself_with_zero_bytes_once():
    host = Host()
    assert _intervals(host.read({SERIES: (0, 0)})) == [(0, 0)]
    assert host.read({SERIES: (0, 0)}).records == ()


def test_an_interval_says_all_that_explains_it():
    host = Host()
    host.read({SERIES: (0, 0)})
    (record,) = host.read({SERIES: (10, 1_140)}).records
    assert record == Interval(
        run=RUN,
        series=SERIES,
        owner=owner_of(7),
        class_name="everything-else",
        sequence=101,
        from_ms=21_000,
        to_ms=31_000,
        packets=10,
        bytes=1_000,
        datapath="netdev",
        header_bytes=14,
        counter=(10, 1_140),
    )


def test_counters_without_layer_two_headers_are_not_corrected():
    """Flows that TC offloads count layer 3: ten packets of 13 bytes or less can't hold a header each."""
    host = Host()
    (record,) = host.read({SERIES: (10, 130)}, datapath="system").records
    assert (record.bytes, record.header_bytes) == (130, 0)


def test_a_host_with_another_name_goes_on_counting():
    """It is the same ovs-vswitchd: nothing is billed again under the new name, and nothing is missing."""
    host = Host()
    host.read({SERIES: (0, 0)}, wires={PortKey(7): Wire("veth", 0)})
    host.read({SERIES: (10, 1_140)}, wires={PortKey(7): Wire("veth", 1_140)})
    renamed = replace(RUN, host=HostName("rack4-hv1"))
    step = host.read({SERIES: (15, 1_710)}, run=renamed, wires={PortKey(7): Wire("veth", 1_710)})
    (record,) = step.records
    assert (record.run, record.packets, record.bytes) == (renamed, 5, 500)
    assert host.read({SERIES: (15, 1_710)}, run=renamed).records == ()
    assert not resembles_restart(host.state, Reading(renamed, host.now, "netdev", {SERIES: (20, 2_280)}))


def test_a_killed_vswitchd_leaves_one_gap_a_port_and_no_echo():
    host = Host()
    wires = {PortKey(7): Wire("eth7#3", 5_000), PortKey(8): Wire("eth8#4", 100)}
    host.read({SERIES: (10, 1_140), OTHER: (1, 100)}, wires=wires)
    host.read({SERIES: (10, 1_140), OTHER: (1, 100)}, wires=wires)
    later = {PortKey(7): Wire("eth7#3", 6_000)}
    step = host.read({SERIES: (2, 228)}, run=SECOND_RUN, wires=later)
    assert _intervals(step) == [(2, 200)]
    assert _gaps(step) == [(7, Cause.RUN_ENDED, 1_000 - 228), (8, Cause.RUN_ENDED, None)]
    gaps = [r for r in step.records if isinstance(r, Gap)]
    assert {g.run for g in gaps} == {RUN}
    assert host.read({SERIES: (2, 228)}, run=SECOND_RUN, wires=later).records == ()


def test_no_bound_is_claimed_from_another_interface_or_boot():
    for run, wire in (
        (SECOND_RUN, Wire("eth7#99", 6_000)),
        (SECOND_RUN, Wire("eth7#3", 10)),
        (Run(HostName("hv1"), "boot-b", "start-2"), Wire("eth7#3", 6_000)),
    ):
        host = Host()
        host.read({SERIES: (10, 1_140)}, wires={PortKey(7): Wire("eth7#3", 5_000)})
        assert _gaps(host.read({}, run=run, wires={PortKey(7): wire})) == [(7, Cause.RUN_ENDED, None)]


def test_a_port_whose_interface_no_reading_saw_lost_at_most_what_that_took_in():
    """It came, was read by what its flows count alone, and the switch died within the second."""
    for run, bound in ((SECOND_RUN, 900 - 228), (Run(HostName("hv1"), "boot-b", "start-2"), None)):
        host = Host()
        host.read({SERIES: (0, 0)})
        found = host.read({SERIES: (2, 228)}, run=run, wires={PortKey(7): Wire("eth7#3", 900)})
        assert _gaps(found) == [(7, Cause.RUN_ENDED, bound)]


def test_a_closed_port_leaves_no_gap_and_late_packets_still_count():
    host = Host()
    host.read({SERIES: (1, 114)})
    assert _intervals(host.read({SERIES: (61, 61 * 114)}, closing=[7])) == [(60, 6_000)]
    assert _intervals(host.read({SERIES: (62, 62 * 114)})) == [(1, 100)]
    assert _gaps(host.read({})) == []
    assert _intervals(host.read({SERIES: (5, 5 * 114)})) == [(5, 500)]
    assert _gaps(host.read({})) == [(7, Cause.FLOW_VANISHED, None)]


def test_a_port_may_be_closed_at_first_sight():
    host = Host()
    assert _intervals(host.read({SERIES: (3, 342)}, closing=[7])) == [(3, 300)]
    assert _gaps(host.read({})) == []


def test_closing_counts_the_other_ports_too():
    host = Host()
    step = host.read({SERIES: (1, 114), OTHER: (2, 228)}, closing=[7])
    assert _intervals(step) == [(1, 100), (2, 200)]
    assert _gaps(host.read({})) == [(8, Cause.FLOW_VANISHED, None)]


def test_a_port_unknown_at_first_keeps_its_bytes_and_gets_its_owner_later():
    names = Names(strangers={7})
    host = Host(names)
    (first,) = host.read({SERIES: (1, 114)}).records
    assert (first.owner, first.bytes) == (UNKNOWN, 100)
    names.strangers.clear()
    (second,) = host.read({SERIES: (3, 342)}).records
    assert (second.owner, second.bytes) == (owner_of(7), 200)


def test_a_key_given_to_another_port_does_not_move_bytes_of_the_old_one():
    names = Names()
    host = Host(names)
    host.read({SERIES: (1, 114)})
    names.owners[7] = owner_of(70, "red")
    (late,) = host.read({SERIES: (2, 228)}).records
    assert late.owner == owner_of(7)
    (fresh,) = (r for r in host.read({(7, 1, 4): (1, 114)}).records if isinstance(r, Interval))
    assert fresh.owner == owner_of(70, "red")


def test_a_port_that_is_forgotten_keeps_its_last_owner():
    names = Names()
    host = Host(names)
    host.read({SERIES: (1, 114)})
    names.strangers.add(7)
    (record,) = host.read({SERIES: (2, 228)}).records
    assert record.owner == owner_of(7)


def test_a_clock_that_goes_back_makes_no_negative_time():
    host = Host()
    host.read({SERIES: (1, 114)})
    host.now = -9_000
    (record,) = host.read({SERIES: (2, 228)}).records
    assert (record.from_ms, record.to_ms) == (1_000, 1_000)


def test_a_restart_that_is_not_yet_announced_is_suspected():
    host = Host()
    host.read({SERIES: (10, 1_140), OTHER: (0, 0)})
    now = host.now + 1

    def reading(counters, run=RUN):
        return Reading(run, now, "netdev", counters)

    assert resembles_restart(host.state, reading({}))
    assert resembles_restart(host.state, reading({SERIES: (2, 228), OTHER: (5, 500)}))
    assert not resembles_restart(host.state, reading({SERIES: (10, 1_140)}))
    assert not resembles_restart(host.state, reading({}, SECOND_RUN))
    host.read({SERIES: (10, 1_140)}, closing=[7])
    assert not resembles_restart(host.state, reading({}))


def test_bytes_before_the_journal_are_a_gap_and_not_billed():
    state = State(next_sequence=5)
    step = advance(state, Reading(RUN, 9_000, "netdev", {SERIES: (4, 456), OTHER: (0, 0)}), Names())
    assert _intervals(step) == [(0, 0), (0, 0)]
    assert _gaps(step) == [(7, Cause.JOURNAL_MISSING, 456)]
    after = fold(state, step)
    second = advance(after, Reading(RUN, 10_000, "netdev", {SERIES: (5, 570), OTHER: (0, 0)}), Names())
    assert _intervals(second) == [(1, 100)]


def test_what_a_port_got_is_not_taken_off_what_it_may_have_sent():
    """The bound of a gap is by what came in from the port: its own sending."""
    host, got = Host(), (PortKey(7), inbound(ClassId(1)), 3)
    host.read({SERIES: (0, 0), got: (0, 0)}, wires={7: Wire("eth7#1", 0)})
    host.read({SERIES: (0, 0), got: (1_000, 114_000)}, wires={7: Wire("eth7#1", 0)})
    lost = host.read({}, run=SECOND_RUN, wires={7: Wire("eth7#1", 5_000)})
    assert _gaps(lost) == [(7, Cause.RUN_ENDED, 5_000)]


def test_what_a_port_got_before_the_journal_is_no_bound_of_what_it_sent():
    host = Host.__new__(Host)
    host.names, host.state, host.now = Names(), State(next_sequence=1), 0
    got = (PortKey(7), inbound(ClassId(1)), 3)
    assert _gaps(host.read({SERIES: (1, 114), got: (9, 9_000)})) == [(7, Cause.JOURNAL_MISSING, 114)]
