"""Balance, case by case: when a port's interface and its counters are compared, and when nothing is known."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from accounting.balance import Tally
from accounting.bounds import Departure, Wire
from accounting.classes import INBOUND, UNCLASSIFIED
from accounting.count import advance, fold, recover
from accounting.encode import billable, parse_state, parse_step, plain, state_bytes, step_bytes
from accounting.ledger import BALANCES, Ledger
from accounting.records import HOUR, Balance, Owner, Run
from accounting.state import Reading, State, Step
from model.ids import ClassId, HostName, PortKey
from tests.unit.accounting.examples import RUN, SECOND_RUN, Names, balance, interval, owner_of

PORT = PortKey(7)
SERIES = (PORT, ClassId(1), 3)
SAME = (PORT, ClassId(0), 3)
START = 100 * HOUR


def wire(count: int, identity: str = "eth7#3") -> Wire:
    return Wire(identity, count)


class Host:
    """A state that goes on reading by reading; what it journals is read back each time."""

    def __init__(self) -> None:
        self.names = Names()
        self.state = State(next_sequence=100)
        self.now = START
        self.read({})

    def read(
        self, counters, seen: Wire | None = None, *, after=10_000, run: Run = RUN, **more
    ) -> list[Balance]:
        closing = more.pop("closing", frozenset())
        self.now += after
        wires = {} if seen is None else {PORT: seen}
        reading = Reading(run, self.now, "netdev", counters, wires, **more)
        step = advance(self.state, reading, self.names, closing)
        assert parse_step(step_bytes(step)) == step
        self.state = fold(self.state, step)
        assert parse_state(state_bytes(self.state)) == self.state
        return [record for record in step.records if isinstance(record, Balance)]


@pytest.fixture
def host() -> Host:
    """Counts its port since 50 bytes had come in."""
    made = Host()
    made.read({SERIES: (0, 0)}, wire(50))
    return made


def test_an_hour_is_compared_at_the_first_reading_after_it(host: Host):
    assert host.read({SERIES: (10, 1_140)}, wire(1_250)) == []
    (found,) = host.read({SERIES: (20, 2_280)}, wire(2_450), after=HOUR)
    assert (found.wire_bytes, found.counted_bytes, found.residual) == (2_400, 2_280, 120)
    assert (found.from_ms, found.to_ms) == (START + 20_000, START + HOUR + 30_000)
    assert found.owner == owner_of(7)
    (following,) = host.read({SERIES: (30, 3_420)}, wire(3_590), after=HOUR)
    assert (following.wire_bytes, following.residual, following.from_ms) == (1_140, 0, found.to_ms)


def test_classes_are_added_up_and_what_the_port_received_is_not_in_it(host: Host):
    received, device = (PORT, ClassId(1 | INBOUND), 3), (PORT, ClassId(UNCLASSIFIED), 3)
    host.read({SERIES: (0, 0), SAME: (0, 0), received: (0, 0), device: (0, 0)}, wire(50))
    counters = {SERIES: (1, 100), SAME: (2, 200), received: (50, 9_999), device: (4, 400)}
    (found,) = host.read(counters, wire(800), after=HOUR)
    assert (found.wire_bytes, found.counted_bytes) == (750, 700)


def test_what_only_receives_is_not_compared():
    host = Host()
    received = (PORT, ClassId(INBOUND), 1)
    host.read({received: (0, 0)}, wire(0))
    assert host.read({received: (5, 500)}, wire(0), after=2 * HOUR) == []
    assert host.state.tallies == {}


def test_offloaded_flows_are_given_the_headers_that_they_do_not_count(host: Host):
    (found,) = host.read({SERIES: (10, 130)}, wire(50 + 270), after=HOUR)
    assert found.residual == 0


def test_a_silent_port_is_told_of_only_if_something_came_in(host: Host):
    assert host.read({SERIES: (0, 0)}, wire(50), after=5 * HOUR) == []
    (found,) = host.read({SERIES: (0, 0)}, wire(110), after=HOUR)
    assert (found.from_ms, found.residual) == (START + 20_000 + 5 * HOUR, 60)


def test_closing_compares_at_once_and_ends_it(host: Host):
    (found,) = host.read({SERIES: (1, 100)}, wire(150), closing=frozenset({SERIES}))
    assert (found.wire_bytes, found.counted_bytes) == (100, 100)
    assert host.state.tallies == {}
    assert host.read({SERIES: (1, 100)}, wire(300), after=HOUR) == []
    assert host.read({}, None, after=HOUR) == []


def test_a_class_that_closes_does_not_end_it(host: Host):
    host.read({SERIES: (0, 0), SAME: (0, 0)}, wire(50))
    assert host.read({SERIES: (1, 100), SAME: (1, 100)}, wire(250), closing=frozenset({SAME})) == []
    (found,) = host.read({SERIES: (2, 200)}, wire(350), after=HOUR)
    assert (found.wire_bytes, found.counted_bytes) == (300, 300)


def test_flows_that_vanish_end_it(host: Host):
    (found,) = host.read({}, wire(950))
    assert (found.wire_bytes, found.counted_bytes) == (900, 0)
    assert host.state.tallies == {}


def test_an_interface_made_anew_is_not_known_and_the_next_comparison_begins_at_once(host: Host):
    (found,) = host.read({SERIES: (5, 570)}, wire(300, "eth7#9"))
    assert (found.wire_bytes, found.counted_bytes, found.residual) == (None, 570, None)
    (following,) = host.read({SERIES: (6, 684)}, wire(414, "eth7#9"), after=HOUR)
    assert following.residual == 0


def test_a_counter_that_fell_is_not_known(host: Host):
    host.read({SERIES: (5, 570)}, wire(620))
    (found,) = host.read({SERIES: (5, 570)}, wire(60))
    assert found.wire_bytes is None


def test_another_vswitchd_is_not_known(host: Host):
    host.read({SERIES: (5, 570)}, wire(620))
    (found,) = host.read({SERIES: (1, 114)}, wire(900), run=SECOND_RUN)
    assert (found.run, found.wire_bytes, found.counted_bytes) == (RUN, None, 570)
    (following,) = host.read({SERIES: (2, 228)}, wire(1_014), run=SECOND_RUN, after=HOUR)
    assert (following.run, following.residual) == (SECOND_RUN, 0)


def test_another_vswitchd_without_flows_leaves_nothing_under_way(host: Host):
    host.read({SERIES: (5, 570)}, wire(620))
    assert len(host.read({}, wire(900), run=SECOND_RUN)) == 1
    assert host.state.tallies == {}


def test_who_was_pulled_out_is_compared_with_what_the_kernel_said_last(host: Host):
    gone = {PORT: Departure(wire(100), wire(650))}
    (found,) = host.read({SERIES: (4, 456)}, None, pulled=gone)
    assert (found.wire_bytes, found.counted_bytes, found.residual) == (600, 456, 144)
    assert host.state.tallies[PORT].wire is None
    # plugged in again: known from here on
    assert host.read({SERIES: (4, 456)}, wire(10, "eth7#8")) == []
    (following,) = host.read({SERIES: (5, 570)}, wire(124, "eth7#8"), after=HOUR)
    assert following.residual == 0


def test_who_was_pulled_out_with_nothing_known_is_not_known(host: Host):
    (found,) = host.read({SERIES: (4, 456)}, wire(650), pulled={PORT: Departure()})
    assert found.wire_bytes is None


def test_a_reading_without_interfaces_is_waited_out_for_an_hour(host: Host):
    assert host.read({SERIES: (1, 100)}, None, after=HOUR) == []
    (found,) = host.read({SERIES: (1, 100)}, wire(150))
    assert (found.residual, found.to_ms) == (0, host.now)
    host.read({SERIES: (2, 200)}, None, after=HOUR)
    (never,) = host.read({SERIES: (2, 200)}, None, after=HOUR)
    assert (never.wire_bytes, never.counted_bytes) == (None, 100)


def test_an_interface_that_is_never_seen_is_said_not_to_be_known():
    host = Host()
    host.read({SERIES: (0, 0)})
    assert host.read({SERIES: (1, 100)}) == []
    (found,) = host.read({SERIES: (2, 200)}, after=HOUR)
    assert (found.wire_bytes, found.counted_bytes) == (None, 200)


def test_an_interface_that_is_seen_later_is_compared_from_then_on():
    host = Host()
    host.read({SERIES: (0, 0)})
    host.read({SERIES: (0, 0)}, wire(500))
    (found,) = host.read({SERIES: (1, 100)}, wire(600), after=HOUR)
    assert found.residual == 0


def test_a_key_that_is_another_ports_now_is_not_known(host: Host):
    host.read({SERIES: (1, 100)}, wire(150))
    host.names.owners[PORT] = Owner("uid-other", "db", "uid-red", "red", "uid-red-net", "net")
    later = (PORT, ClassId(1), 4)
    (found,) = host.read({later: (0, 0)}, wire(170))
    assert (found.wire_bytes, found.owner.tenant_name) == (None, "blue")
    (following,) = host.read({later: (1, 60)}, wire(230), after=HOUR)
    assert (following.residual, following.owner.tenant_name) == (0, "red")


def test_a_port_has_the_name_that_it_bears_at_the_end(host: Host):
    named = Owner("uid-7", "renamed", "uid-blue", "blue", "uid-blue-net", "net")
    host.names.owners[PORT] = named
    (found,) = host.read({SERIES: (1, 100)}, wire(150), after=HOUR)
    assert found.owner == named


def test_a_clock_set_back_moves_times_and_no_byte(host: Host):
    (found,) = host.read({SERIES: (1, 100)}, wire(150), after=-3 * HOUR)
    assert found.from_ms == found.to_ms == host.now
    assert found.residual == 0


def test_a_restart_goes_on_where_the_journal_ends(host: Host):
    host.read({SERIES: (1, 100)}, wire(150))
    host.state = recover(parse_state(state_bytes(host.state)), [])
    (found,) = host.read({SERIES: (2, 200)}, wire(260), after=HOUR)
    assert (found.wire_bytes, found.counted_bytes) == (210, 200)


def test_an_older_journal_is_read_and_compared_from_then_on(host: Host):
    host.read({SERIES: (1, 100)}, wire(150))
    raw = json.loads(state_bytes(host.state)) | {"format": 1}
    del raw["tallies"]
    old = Step(RUN, host.now + 5, (interval(500, series=SERIES, to_ms=host.now + 5, counter=(2, 200)),))
    step = json.loads(step_bytes(old)) | {"format": 1}
    del step["begun"]
    host.state = recover(parse_state(json.dumps(raw).encode()), [parse_step(json.dumps(step).encode())])
    assert host.state.tallies == {PORT: Tally(owner_of(7), host.now + 5, None)}
    host.read({SERIES: (2, 200)}, wire(250))
    (found,) = host.read({SERIES: (3, 300)}, wire(350), after=HOUR)
    assert found.residual == 0


def test_a_newer_journal_is_refused(host: Host):
    raw = json.loads(state_bytes(host.state)) | {"format": 3}
    with pytest.raises(ValueError, match="format"):
        parse_state(json.dumps(raw).encode())


@pytest.mark.parametrize("known", [balance(), balance(wire_bytes=None), balance(wire_bytes=2**62)])
def test_a_balance_survives_its_upload(known: Balance):
    assert billable(HostName("hv1"), json.loads(json.dumps(plain(known)))) == known


def test_the_ledger_keeps_each_once_and_refuses_another_content(ledger: Ledger):
    batch = [balance(1), balance(2, wire_bytes=None), interval(3)]
    assert ledger.post(batch).accepted == 3
    assert ledger.post(batch[::-1]).repeated == 3
    assert len(ledger.post([balance(1, counted_bytes=5)]).conflicts) == 1
    with ledger.reading() as connection:
        rows = connection.execute(
            sa.select(BALANCES.c.sequence, BALANCES.c.wire_bytes, BALANCES.c.counted_bytes).order_by(
                "sequence"
            )
        ).all()
    assert [tuple(row) for row in rows] == [(1, 1_200, 1_140), (2, None, 1_140)]
