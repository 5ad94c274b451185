"""Spans are exactly the asked time, cut where sums can serve."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounting.ledger.spans import MOST, Grain, Spans, joined, spans, without
from accounting.ledger.tables import DAY, HOUR

DAYS = 4 * DAY


def test_whole_days_whole_hours_and_the_rest():
    found = spans(DAY - HOUR - 5, 3 * DAY + HOUR + 7, [], Grain.DAY)
    assert found == Spans(
        edges=((DAY - HOUR - 5, DAY - HOUR), (3 * DAY + HOUR, 3 * DAY + HOUR + 7)),
        hours=((DAY - HOUR, DAY), (3 * DAY, 3 * DAY + HOUR)),
        days=((DAY, 3 * DAY),),
    )


def test_a_stale_hour_takes_its_day_out_and_no_other_hour():
    found = spans(0, 3 * DAY, [DAY + 2 * HOUR, DAY + 3 * HOUR], Grain.DAY)
    assert found == Spans(
        stale=((DAY + 2 * HOUR, DAY + 4 * HOUR),),
        hours=((DAY, DAY + 2 * HOUR), (DAY + 4 * HOUR, 2 * DAY)),
        days=((0, DAY), (2 * DAY, 3 * DAY)),
    )


@pytest.mark.parametrize("ends", [(10, 20), (HOUR - 5, HOUR + 5), (HOUR, HOUR + 1), (HOUR - 1, HOUR)])
def test_less_than_an_hour_is_cut_at_the_hour(ends):
    found = spans(*ends, [0, HOUR], Grain.DAY)
    assert found.stale == found.hours == found.days == ()
    assert all(begin // HOUR == (end - 1) // HOUR for begin, end in found.edges)
    assert joined(found.edges) == (ends,)


@given(
    st.integers(0, DAYS),
    st.integers(1, DAYS),
    st.sets(st.integers(0, 100).map(lambda n: n * HOUR)),
    st.sampled_from(Grain),
)
def test_nothing_is_lost_or_twice(from_ms, length, stale, grain):
    to_ms = from_ms + length
    found = spans(from_ms, to_ms, stale, grain)
    parts = sorted((*found.edges, *found.stale, *found.hours, *found.days))
    assert all(begin < end for begin, end in parts)
    assert all(a[1] <= b[0] for a, b in pairwise(parts))
    assert joined(parts) == ((from_ms, to_ms),)
    assert not [p for p in (*found.hours, *found.stale) if p[0] % HOUR or p[1] % HOUR]
    assert not [p for p in found.days if p[0] % DAY or p[1] % DAY]
    assert not [h for h in stale for a, b in (*found.hours, *found.days) if a <= h < b]
    assert grain is Grain.DAY or not found.days
    assert len(found.edges) <= 2


@pytest.mark.parametrize("every", [2, 3, 24, 50])
def test_many_stale_hours_are_few_spans(every):
    stale = [n * HOUR for n in range(0, 9_000, every)]
    found = spans(0, 9_000 * HOUR, stale, Grain.DAY)
    assert len(found.stale) == min(MOST, len(stale))
    assert not [h for h in stale if not any(a <= h < b for a, b in found.stale)]
    assert joined(sorted((*found.stale, *found.hours, *found.days))) == ((0, 9_000 * HOUR),)


def test_the_smallest_holes_are_filled():
    near, far = [n * 2 * HOUR for n in range(MOST)], [10_000 * HOUR]
    found = spans(0, 20_000 * HOUR, near + far, Grain.HOUR)
    assert found.stale[0] == (0, 3 * HOUR)
    assert found.stale[-1] == (10_000 * HOUR, 10_001 * HOUR)
    assert len(found.stale) == MOST


def test_without():
    assert without([(0, 10), (20, 30)], [(2, 3), (5, 22)]) == ((0, 2), (3, 5), (22, 30))
