"""Evidence of rules, reading by reading: what is claimed, what breaks it, what outlives a restart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controller.agent import evidence
from controller.agent.evidence import KEPT_MS, Counted, Reading, State, add_samples, advance, tell
from model.evidence import Amount, RuleName
from model.ids import Uid

RULE, OTHER = RuleName(7, "aa"), RuleName(8, "bb")
PORT, NEXT = Uid("p1"), Uid("p2")
HOUR = 3_600_000
OLD = Counted(Amount(), 2 * HOUR)
NOON = 1_700_000_000_000


def reading(at: int, packets: int = 0, age: int | None = None, life: str = "one") -> Reading:
    """RULE at PORT, `at` ms after the first one, of a flow that stood there a second before it."""
    return Reading(
        life,
        began=HOUR + at,
        ended=HOUR + at + 5,
        wall=NOON + at,
        decided={RULE: Amount(10 * packets, 0)},
        noted={},
        spots={(RULE, PORT): Counted(Amount(packets, 100 * packets), at + 1_000 if age is None else age)},
        names={RULE: 0, OTHER: 0},
    )


def run(*readings: Reading) -> State:
    state = State()
    for one in readings:
        state = advance(state, one)
    return state


def watched(state: State, port: Uid = PORT) -> int:
    known = state.spots[RULE, port]
    return known.until - known.since


def test_time_is_claimed_from_the_first_reading_to_the_last() -> None:
    assert watched(run(reading(0, age=HOUR))) == 0
    assert watched(run(reading(0), reading(60_000), reading(HOUR))) == HOUR - 5


def test_a_long_silence_of_the_agent_breaks_nothing_if_the_counter_stood() -> None:
    state = run(reading(0), reading(60_000))
    kept = evidence.load(evidence.dump(state))
    assert kept is not None
    assert watched(advance(kept, reading(HOUR, packets=4))) == HOUR - 5
    assert advance(kept, reading(HOUR, packets=4)).spots[RULE, PORT].total == Amount(4, 400)


@pytest.mark.parametrize(
    "broken",
    [
        [reading(HOUR, 2, age=500)],
        [reading(HOUR, 2, life="two")],
        [replace(reading(2_000), spots={}), reading(HOUR, 2)],
    ],
    ids=["younger", "another life", "gone and back"],
)
def test_a_break_begins_the_hours_anew_and_keeps_the_hits(broken: list[Reading]) -> None:
    state = run(reading(0), reading(1_000, packets=3), *broken)
    assert watched(state) == 0
    assert state.spots[RULE, PORT].total.packets == 5
    assert watched(advance(state, reading(2 * HOUR, 2, age=2 * HOUR, life=state.life))) == HOUR - 5


def test_hits_are_counted_once_and_the_last_is_remembered() -> None:
    state = run(reading(0), reading(10_000, packets=3), reading(20_000, packets=3))
    known = state.spots[RULE, PORT]
    assert (known.total, known.last) == (Amount(3, 300), NOON + 10_000)
    assert state.totals[RULE].counted == Amount(3, 300) and state.totals[RULE].enforced == Amount(30, 0)


def test_totals_go_on_over_a_restart_of_the_switch_and_never_fall() -> None:
    state = run(reading(0, packets=5), reading(1_000, packets=2, life="two"))
    assert state.totals[RULE].counted.packets == 7
    assert state.totals[RULE].enforced.packets == 70
    again = advance(state, reading(2_000, packets=1, life="two"))
    assert again.totals[RULE].enforced.packets == 70 and again.totals[RULE].counted.packets == 7


def test_what_an_allow_would_have_judged_is_counted_without_ports() -> None:
    quiet = [replace(reading(at), spots={}, noted={OTHER: Amount(n, 0)}) for at, n in ((0, 4), (1_000, 6))]
    assert run(*quiet).totals[OTHER].counted.packets == 6


def test_nothing_that_was_watched_counts_for_a_rule_that_is_exposed() -> None:
    state = run(reading(0), reading(HOUR, packets=2))
    after = advance(state, replace(reading(2 * HOUR, packets=2), exposed=frozenset({RULE})))
    assert watched(after) == 0 and after.spots[RULE, PORT].total.packets == 2
    gone = advance(state, replace(reading(2 * HOUR), spots={}, exposed=frozenset({RULE})))
    assert not gone.spots


def test_a_port_that_left_is_told_for_a_while_and_claims_no_more() -> None:
    state = run(reading(0), reading(HOUR))
    gone = advance(state, replace(reading(2 * HOUR), spots={}))
    assert watched(gone) == HOUR - 5 and not gone.spots[RULE, PORT].live
    assert not advance(gone, replace(reading(HOUR + KEPT_MS), spots={})).spots


def test_nothing_is_kept_of_a_rule_that_is_gone() -> None:
    state = run(reading(0), reading(1_000, packets=1))
    after = advance(state, replace(reading(2_000, packets=1), names={OTHER: 0}))
    assert not after.spots and not after.totals


def test_the_newest_samples_stay() -> None:
    state = run(reading(0, packets=1))
    for text in ("a", "b", "b", "c", "d"):
        state = add_samples(state, PORT, [(RULE, text), (OTHER, text)])
    (hit,) = tell(state).hits
    assert hit.samples == ("d", "c", "b")


def test_a_rule_that_hit_nothing_is_told_with_its_time() -> None:
    quiet = replace(reading(0), decided={}, noted={})
    told = tell(run(quiet, replace(quiet, began=2 * HOUR, wall=NOON + HOUR, spots={(RULE, PORT): OLD})))
    (watch,) = told.watches
    assert (watch.rules, watch.ports, watch.until - watch.since) == ((RULE,), (PORT,), HOUR - 5)


def test_a_file_is_believed_whole_or_not_at_all() -> None:
    state = add_samples(run(reading(0, packets=1), reading(1_000, packets=2)), PORT, [(RULE, "tcp")])
    data = evidence.dump(state)
    assert evidence.load(data) == state
    assert evidence.load(data.replace(b"tcp", b"udp")) is None
    assert evidence.load(data[:-1]) is None
    assert evidence.load(b"") is None
