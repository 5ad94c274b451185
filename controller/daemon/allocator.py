"""Allocator: how the C library gives memory back, set once for a long life of threads with large moments.

Place: called by a process of `ringfenced` before it starts threads. Must not matter for what anything does:
on a C library without these settings nothing happens.

By itself glibc makes a heap for each thread that once had a large text, and, once a large block was freed,
puts such blocks into the heap, where what lies above keeps them (mallopt(3)).
"""

from __future__ import annotations

import ctypes
from typing import Final

_ARENA_MAX: Final = (-8, 1)
"""One heap: threads of Python hardly ever ask at the same moment."""
_MMAP_THRESHOLD: Final = (-3, 128 * 1024)
"""Octets from which a block has pages of its own, which go back when it is freed; set, it no longer grows."""


def give_back() -> None:
    """Set both."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    for setting in (_ARENA_MAX, _MMAP_THRESHOLD):
        mallopt(*setting)
