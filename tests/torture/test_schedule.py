"""The torture test's schedule is the same for a seed, and has every kind of fault early."""

from __future__ import annotations

from collections import Counter

from tests.torture.schedule import Kind, schedule


def test_a_seed_tells_a_schedule_again() -> None:
    assert list(schedule(7, 200)) == list(schedule(7, 200))
    assert list(schedule(7, 200)) != list(schedule(8, 200))
    assert list(schedule(7, 200))[:50] == list(schedule(7, 50)), "a longer run begins like a shorter one"


def test_even_a_short_one_has_every_kind() -> None:
    for seed in range(20):
        assert {fault.kind for fault in schedule(seed, len(Kind))} == set(Kind)


def test_all_kinds_come_about_as_often_as_their_weight_says() -> None:
    faults = list(schedule(1, 5000))
    counts, total = Counter(fault.kind for fault in faults), sum(kind.weight for kind in Kind)
    assert all(0.6 < counts[kind] * total / (5000 * kind.weight) < 1.4 for kind in Kind), counts
    assert [fault.number for fault in faults] == list(range(1, 5001))
    assert any(fault.step < -60 for fault in faults) and any(fault.step > 60 for fault in faults)
