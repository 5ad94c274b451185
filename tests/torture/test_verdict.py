"""The judge of the torture test finds what is wrong: bytes doubled, lost, in a wrong class; false gaps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.torture.verdict import (
    ETHERNET,
    MOVED,
    RUN_ENDED,
    Amount,
    Cell,
    Evidence,
    Gap,
    Seen,
    judge,
)

WEB, DISK = Cell("red/web", "same-network"), Cell("red/web", "storage")
OTHER = Cell("blue/db", "storage")
ALL = {WEB: Amount(100, 12_800), DISK: Amount(50, 30_000), OTHER: Amount(10, 5_000)}
TOLD = {
    Cell("red", "same-network"): ALL[WEB],
    Cell("red", "storage"): ALL[DISK],
    Cell("blue", "storage"): ALL[OTHER],
}
RIGHT = Evidence({cell: Seen(amount, amount) for cell, amount in ALL.items()}, ALL, told=TOLD)
KILLED = Gap("red/web", "hv1", "life-1", RUN_ENDED, 6_000)
SHIFTED = Gap("red/web", "hv1", "life-1", MOVED, 2_000)
ONE = Amount(1, 128)


def with_bill(evidence: Evidence, cell: Cell, amount: Amount) -> Evidence:
    """The ledger says that, and so do its reports."""
    billed = {**evidence.billed, cell: amount}
    told: dict[Cell, Amount] = {}
    for each, part in billed.items():
        key = Cell(each.port.partition("/")[0], each.name)
        told[key] = told.get(key, Amount()) + part
    return replace(evidence, billed=billed, told=told)


def findings(evidence: Evidence) -> str:
    return "; ".join(judge(evidence).findings)


def test_a_right_ledger_passes_with_its_sums() -> None:
    verdict = judge(RIGHT)
    assert verdict.findings == ()
    assert (verdict.missing, verdict.declared, verdict.causes) == (0, 0, {})
    assert [(line.tenant, line.name, line.billed.bytes) for line in verdict.lines] == [
        ("blue", "storage", 5_000),
        ("red", "same-network", 12_800),
        ("red", "storage", 30_000),
    ]
    assert all(line.exact == line.cells == 1 for line in verdict.lines)


@pytest.mark.parametrize("cell", [WEB, DISK, OTHER])
def test_one_packet_twice_is_found_in_any_cell(cell: Cell) -> None:
    assert "billed" in findings(with_bill(RIGHT, cell, ALL[cell] + ONE))


@pytest.mark.parametrize("cell", [WEB, DISK, OTHER])
def test_one_packet_lost_is_found_in_any_cell(cell: Cell) -> None:
    assert "were not billed" in findings(with_bill(RIGHT, cell, ALL[cell] - ONE))


def test_a_byte_too_many_and_a_byte_too_few_are_found() -> None:
    assert findings(with_bill(RIGHT, WEB, ALL[WEB] + Amount(0, 1)))
    assert findings(with_bill(RIGHT, WEB, ALL[WEB] - Amount(0, 1)))


def test_a_whole_ledger_twice_is_found() -> None:
    twice = RIGHT
    for cell, amount in ALL.items():
        twice = with_bill(twice, cell, amount + amount)
    assert len(judge(twice).findings) >= len(ALL)


def test_a_packet_in_a_wrong_class_is_found_though_the_sum_is_right() -> None:
    wrong = with_bill(with_bill(RIGHT, WEB, ALL[WEB] - ONE), DISK, ALL[DISK] + ONE)
    found = findings(wrong)
    assert "red/web storage" in found and "were not billed" in found


def test_bytes_of_a_class_in_which_nothing_was_sent_are_found() -> None:
    assert "red/web internet" in findings(with_bill(RIGHT, Cell("red/web", "internet"), ONE))


def test_bytes_on_another_tenants_bill_are_found() -> None:
    moved = with_bill(with_bill(RIGHT, DISK, ALL[DISK] - ONE), OTHER, ALL[OTHER] + ONE)
    assert "red/web" in findings(moved) and "blue/db" in findings(moved)


def test_what_a_declared_gap_admits_may_be_missing_and_not_a_byte_more() -> None:
    lost = Amount(10, 5_860)
    assert lost.bytes + ETHERNET * lost.packets == KILLED.bound
    told = replace(with_bill(RIGHT, DISK, ALL[DISK] - lost), gaps=(KILLED,), kills={"hv1": 1})
    verdict = judge(told)
    assert verdict.findings == () and (verdict.missing, verdict.declared) == (5_860, 6_000)
    assert findings(with_bill(told, DISK, ALL[DISK] - lost - Amount(0, 1)))
    assert "blue/db" in findings(with_bill(told, OTHER, ALL[OTHER] - ONE)), "a gap is its port's alone"


def test_a_gap_never_excuses_a_byte_too_many() -> None:
    admitted = replace(RIGHT, gaps=(KILLED,), kills={"hv1": 1})
    assert findings(with_bill(admitted, DISK, ALL[DISK] + ONE))


def test_a_shift_may_lose_bytes_within_its_bound_and_neither_moves_nor_doubles_one() -> None:
    shifted = replace(RIGHT, gaps=(SHIFTED,), shifts=1)
    assert findings(with_bill(shifted, WEB, ALL[WEB] - ONE)) == ""
    assert findings(with_bill(shifted, DISK, ALL[DISK] + Amount(0, 1)))
    moved = with_bill(with_bill(shifted, WEB, ALL[WEB] - ONE), DISK, ALL[DISK] + ONE)
    assert "red/web storage" in findings(moved)
    assert "red/web" in findings(with_bill(shifted, WEB, ALL[WEB] - Amount(20, 2_001)))


@pytest.mark.parametrize("cause", ["counter-fell", "flow-vanished", "journal-missing", "port-removed"])
def test_a_gap_that_nothing_explains_is_found(cause: str) -> None:
    assert cause in findings(replace(RIGHT, gaps=(replace(KILLED, cause=cause),), kills={"hv1": 9}))


def test_a_gap_of_a_switch_that_nobody_killed_is_found() -> None:
    assert "0 were killed" in findings(replace(RIGHT, gaps=(KILLED,)))
    two = (KILLED, replace(KILLED, run="life-2"))
    assert "1 were killed" in findings(replace(RIGHT, gaps=two, kills={"hv1": 1}))
    assert findings(replace(RIGHT, gaps=two, kills={"hv1": 2})) == ""
    assert "of one ended switch" in findings(replace(RIGHT, gaps=(KILLED, KILLED), kills={"hv1": 2}))


def test_a_shift_that_nobody_made_is_found() -> None:
    assert MOVED in findings(replace(RIGHT, gaps=(SHIFTED,)))


def test_a_gap_without_a_bound_is_found() -> None:
    gap = replace(KILLED, bound=None)
    assert "without a bound" in findings(replace(RIGHT, gaps=(gap,), kills={"hv1": 1}))


def test_what_was_refused_on_the_way_may_be_billed_or_not() -> None:
    for billed in (80, 90, 100):
        seen = {**RIGHT.seen, WEB: Seen(Amount(100, 12_800), Amount(80, 10_240))}
        some = with_bill(replace(RIGHT, seen=seen), WEB, Amount(billed, 128 * billed))
        assert findings(some) == ""
    assert findings(with_bill(some, WEB, Amount(79, 128 * 79)))


def test_stray_frames_may_be_billed_as_the_ports_own_network_only() -> None:
    stray = replace(RIGHT, stray={"red/web": ONE})
    assert findings(with_bill(stray, WEB, ALL[WEB] + ONE)) == ""
    assert findings(with_bill(stray, WEB, ALL[WEB] + ONE + ONE))
    assert findings(with_bill(stray, DISK, ALL[DISK] + ONE))


def test_a_destination_that_went_excuses_its_own_cell_within_its_measure() -> None:
    seen = {**RIGHT.seen, DISK: Seen(ALL[DISK], ALL[DISK], fleeting=600)}
    fleeting = replace(RIGHT, seen=seen)
    assert findings(with_bill(fleeting, DISK, ALL[DISK] - Amount(1, 600))) == ""
    assert findings(with_bill(fleeting, DISK, ALL[DISK] - Amount(1, 601)))
    assert findings(with_bill(fleeting, WEB, ALL[WEB] - ONE))
    assert findings(with_bill(fleeting, DISK, ALL[DISK] + ONE))


def test_a_report_that_differs_from_its_intervals_is_found() -> None:
    key = Cell("red", "storage")
    assert "reported" in findings(replace(RIGHT, told={**TOLD, key: TOLD[key] + ONE}))
    assert "reported" in findings(replace(RIGHT, told={}))


def test_silent_and_impossible_witnesses_are_found() -> None:
    silent = {**RIGHT.seen, WEB: Seen(ALL[WEB], Amount())}
    assert "nothing is proven" in findings(replace(RIGHT, seen=silent))
    mad = {**RIGHT.seen, WEB: Seen(ALL[WEB], ALL[WEB] + ONE)}
    assert "more came than left" in findings(replace(RIGHT, seen=mad))
    dark = {cell: Seen(amount, ONE) for cell, amount in ALL.items()}
    assert "no witness" in findings(replace(RIGHT, seen=dark))
