"""Heights: they always fall, what stands right stays, and a used up gap moves few."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.heights import FREE, place

HELD = st.lists(st.integers(0, FREE.stop) | st.sampled_from([1, 2, 3, FREE.stop - 1, FREE.stop]), max_size=30)
EDITS = st.lists(st.tuples(st.integers(0, 200), st.integers(-2, 4)), max_size=60)


def falls(found: tuple[int, ...]) -> bool:
    return all(one in FREE for one in found) and all(a > b for a, b in pairwise(found))


@given(HELD)
@settings(max_examples=300)
def test_whatever_was_held_the_heights_fall_and_stay_as_they_are(held: list[int]) -> None:
    found = place(held)
    assert found is not None and len(found) == len(held) and falls(found)
    assert place(found) == found


@given(EDITS)
@settings(max_examples=200)
def test_what_comes_and_goes_moves_nobody_while_there_is_room(edits: list[tuple[int, int]]) -> None:
    held: tuple[int, ...] = ()
    for at, more in edits:
        at %= len(held) + 1
        if more < 0:
            held = held[:at] + held[at - more :]
            assert place(held) == held
            continue
        above = held[at - 1] if at else FREE.stop
        below = held[at] if at < len(held) else FREE.start - 1
        found = place((*held[:at], *(0,) * more, *held[at:]))
        assert found is not None and falls(found)
        if above - below > more:
            assert (found[:at], found[at + more :]) == (held[:at], held[at:])
        held = found


@given(st.permutations(range(12)))
def test_of_those_that_change_places_a_longest_run_stays(order: list[int]) -> None:
    first = place([0] * 12)
    assert first is not None
    held = [first[one] for one in order]
    found = place(held)
    assert found is not None and falls(found)
    stay = sum(a == b for a, b in zip(held, found, strict=True))
    runs = [1] * 12
    for later in range(12):
        runs[later] += max((runs[e] for e in range(later) if held[e] > held[later]), default=0)
    assert stay >= max(runs)


def test_at_the_worst_place_each_that_comes_moves_few() -> None:
    for choose in (lambda size: size, lambda size: 0, lambda size: 1, lambda size: size - 1):
        held = place([0, 0])
        assert held is not None
        moved = 0
        for _ in range(300):
            at = choose(len(held))
            found = place((*held[:at], 0, *held[at:]))
            assert found is not None and falls(found)
            moved += sum(a != b for a, b in zip(held, (*found[:at], *found[at + 1 :]), strict=True))
            held = found
        assert moved <= 300 * 8


def test_all_heights_can_be_given_and_no_more() -> None:
    assert place([0] * len(FREE)) == tuple(reversed(FREE))
    assert place([0] * (len(FREE) + 1)) is None
    tight = tuple(reversed(FREE))[1:]
    found = place((*tight[:30_000], 0, *tight[30_000:]))
    assert found == tuple(reversed(FREE))
