"""The bitmap against a plain set."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipam.bitmap import Bitmap

STOP = 3000
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["take", "release", "run"]), st.integers(0, STOP - 1)), max_size=60
)


@given(OPERATIONS, st.integers(0, STOP), st.integers(0, STOP))
def test_it_is_a_set_with_a_search(operations: list[tuple[str, int]], start: int, stop: int) -> None:
    bitmap, model = Bitmap(), set[int]()
    for verb, offset in operations:
        if verb == "take":
            assert bitmap.take(offset) == (offset not in model)
            model.add(offset)
        elif verb == "release":
            assert bitmap.release(offset) == (offset in model)
            model.discard(offset)
        else:  # a run that fills whole words
            for each in range(offset, min(offset + 1500, STOP)):
                bitmap.take(each)
                model.add(each)
    assert bitmap.used == len(model)
    expected = next((o for o in range(start, stop) if o not in model), None)
    assert bitmap.next_free(start, stop) == expected
