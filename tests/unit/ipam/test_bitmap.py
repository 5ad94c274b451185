"""The two-level bitmap: the lowest free offset, across full words."""

from __future__ import annotations

from ipam.bitmap import WORD, Bitmap


def test_lowest_free_offset_is_found_behind_full_words() -> None:
    bitmap = Bitmap()
    for offset in range(3 * WORD + 5):
        assert bitmap.next_free(0, 1 << 24) == offset
        assert bitmap.take(offset)
    bitmap.release(WORD + 7)
    assert bitmap.next_free(0, 1 << 24) == WORD + 7
    assert bitmap.next_free(WORD + 8, 1 << 24) == 3 * WORD + 5
    assert bitmap.used == 3 * WORD + 4


def test_nothing_is_free_at_the_end_of_the_range() -> None:
    bitmap = Bitmap()
    for offset in range(10):
        bitmap.take(offset)
    assert bitmap.next_free(0, 10) is None
    assert bitmap.next_free(0, 11) == 10


def test_taking_twice_and_releasing_twice_is_told() -> None:
    bitmap = Bitmap()
    assert bitmap.take(4)
    assert not bitmap.take(4)
    assert bitmap.release(4)
    assert not bitmap.release(4)
    assert 4 not in bitmap


def test_a_copy_is_independent() -> None:
    bitmap = Bitmap()
    bitmap.take(1)
    other = bitmap.copy()
    other.take(2)
    assert 2 not in bitmap
    assert (bitmap.used, other.used) == (1, 2)
