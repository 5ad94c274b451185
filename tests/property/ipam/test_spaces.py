"""A space against a plain dictionary, looked through from the start; and its surveys against counting."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.spaces.extent import Extent, Standing, merge
from ipam.spaces.outlook import survey
from ipam.spaces.space import Space

START, SIZE = 5000, 2600
NUMBERS = st.integers(START - 2, START + SIZE + 2)
SPANS = st.lists(
    st.builds(lambda at, size: range(at, min(at + size, START + SIZE)), NUMBERS, st.integers(1, 900)),
    max_size=4,
).map(lambda found: merge(r for r in found if r.start >= START))
EXTENTS = st.builds(
    lambda reserved, barred, window: Extent("x", range(START, START + SIZE), reserved, barred, window),
    SPANS,
    SPANS,
    st.sampled_from([SIZE, SIZE * 2, 1500]),
)
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["take", "next", "release", "undo", "thaw", "copy", "run"]),
        NUMBERS,
        st.integers(1, 4),
    ),
    max_size=40,
)


@dataclass
class Naive:
    """What each number is, looked at one by one."""

    extent: Extent
    holders: dict[int, int] = field(default_factory=dict)
    stones: list[tuple[int, int]] = field(default_factory=list)

    def cooling(self) -> set[int]:
        return {value for value, _ in self.stones}

    def free(self, value: int) -> bool:
        inside = value in self.extent.span and not any(value in r for r in self.extent.barred)
        return inside and value not in self.holders and value not in self.cooling()

    def open(self, value: int) -> bool:
        reserved = value >= START + self.extent.window or any(value in r for r in self.extent.reserved)
        return self.free(value) and not reserved

    def next_free(self, start: int) -> int | None:
        return next((v for v in range(max(start, START), START + SIZE) if self.open(v)), None)

    def thaw(self, now: int) -> None:
        while self.stones and self.stones[0][1] <= now:
            self.stones.pop(0)


@settings(max_examples=60, deadline=None)
@given(EXTENTS, STEPS)
def test_it_is_a_dictionary_with_a_search(extent: Extent, steps: list[tuple[str, int, int]]) -> None:
    space, naive = Space(extent), Naive(extent)
    for now, (verb, value, generation) in enumerate(steps, 1):
        match verb:
            case "take":
                free = naive.free(value)
                assert space.take(value, generation) == free
                if free:
                    naive.holders[value] = generation
            case "run":
                for each in range(value, value + 1100):
                    if naive.open(each):
                        assert space.take(each, generation)
                        naive.holders[each] = generation
            case "next":
                found = space.next_free(value)
                assert found == naive.next_free(value)
                if found is not None:
                    assert space.take(found, generation)
                    naive.holders[found] = generation
            case "release":
                holds = naive.holders.get(value) == generation
                assert space.release(value, generation, now + 5) == holds
                if holds:
                    del naive.holders[value]
                    naive.stones.append((value, now + 5))
            case "undo":
                holds = naive.holders.get(value) == generation
                assert space.undo(value, generation) == holds
                if holds:
                    del naive.holders[value]
            case "thaw":
                space.thaw(now)
                naive.thaw(now)
            case _:
                before = space
                space = space.copy()
                assert before == space
    assert space.holders() == naive.holders
    assert (space.held, space.cooling) == (len(naive.holders), len(naive.cooling()))
    assert {stone.value for stone in space.stones()} == naive.cooling()
    free = [value for value in extent.span if naive.open(value)]
    usage = survey(space)
    assert usage.free == len(free)
    assert usage.stretches == sum(value - 1 not in free for value in free)
    assert usage.capacity == sum(extent.standing(value) is Standing.OPEN for value in extent.span)


@settings(max_examples=40, deadline=None)
@given(EXTENTS, st.lists(NUMBERS, max_size=30), st.lists(NUMBERS, max_size=30))
def test_a_copy_goes_its_own_way(extent: Extent, first: list[int], second: list[int]) -> None:
    space = Space(extent)
    for value in first:
        space.take(value, 1)
    kept = space.holders()
    other = space.copy()
    for value in second:
        other.take(value, 2)
    assert space.holders() == kept
    for value in second:
        space.take(value, 3)
    assert other.holders() == kept | {v: 2 for v in other.holders() if v not in kept}
    assert 3 not in other.holders().values()


@settings(max_examples=40, deadline=None)
@given(EXTENTS, st.lists(NUMBERS, max_size=30, unique=True), st.lists(NUMBERS, max_size=30, unique=True))
def test_undo_leaves_no_trace(extent: Extent, before: list[int], values: list[int]) -> None:
    space = Space(extent)
    for value in before:
        space.take(value, 1)
    untouched = space.copy()
    taken = [value for value in values if space.take(value, 2)]
    for value in reversed(taken):
        assert space.undo(value, 2)
    assert space == untouched
    assert space.next_free() == untouched.next_free()
