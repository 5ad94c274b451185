"""Whatever is asked in whatever order: nobody waits for more than a turn of each other, what waits is
bounded, nothing is lost but by its own, and nobody who holds nothing is kept out by who holds much."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.seats import Seats
from services.turns import Turns

DEPTH = 3
KEYS = st.integers(0, 5)
STEPS = st.lists(st.one_of(KEYS, st.none()), max_size=120)
"""A key asks; None: the next one's turn."""


@given(STEPS)
def test_nobody_waits_for_more_than_a_turn_of_each_other(steps: list[int | None]) -> None:
    turns: Turns[int, tuple[int, int]] = Turns(DEPTH)
    waiting: dict[int, list[int]] = {}
    since: dict[int, Counter[int]] = {}
    """For whoever has something waiting: turns of others since it was at the head of its own queue."""
    for number, key in enumerate([*steps, *[None] * 20]):
        if key is not None:
            own = waiting.setdefault(key, [])
            lost = turns.put(key, (key, number))
            own.append(number)
            assert lost == ((key, own.pop(0)) if len(own) > DEPTH else None)
            since.setdefault(key, Counter())
            continue
        taken = turns.take()
        assert len(turns) == sum(map(len, waiting.values())) - (taken is not None)
        if taken is None:
            assert not any(waiting.values())
            continue
        key, asked = taken
        assert waiting[key].pop(0) == asked, "each in its own order"
        del since[key]
        if waiting[key]:
            since[key] = Counter()
        for other, counted in since.items():
            if other != key:
                counted[key] += 1
                assert counted[key] <= 1, "one turn of each other"


@given(st.lists(st.tuples(st.booleans(), KEYS), max_size=120), st.integers(1, 4), st.integers(1, 9))
def test_seats_are_bounded_and_move_from_most_to_few(
    steps: list[tuple[bool, int]], each: int, whole: int
) -> None:
    seats: Seats[int] = Seats(each, whole)
    held: Counter[int] = Counter()
    for takes, key in steps:
        if not takes:
            seats.leave(key)
            held[key] = max(0, held[key] - 1)
        else:
            before = held.copy()
            seated = seats.take(key)
            if seated is None:
                full = sum(before.values()) >= whole
                assert before[key] == each or (full and max(before.values()) < before[key] + 2)
            else:
                held[key] += 1
                if seated.instead is not None:
                    assert sum(before.values()) == whole
                    assert before[seated.instead] == max(before.values()) >= before[key] + 2
                    held[seated.instead] -= 1
        assert {one: seats.held(one) for one in held} == held
        assert len(seats) == sum(held.values()) <= whole and max([*held.values(), 0]) <= each
