"""Turns: long pure work that pauses now and then, so that whoever has it done may do something else first.

Place: under `accounting.count` and `accounting.encode`; the agent's loop takes a few turns at a time, and
all others do all of them at once. Must not make a difference: what comes out does not depend on the pauses.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, TypeVar

T = TypeVar("T")
Turns = Generator[None, None, T]
"""Yields at each pause; returns the result."""
ROWS: Final = 256
"""Rows, ports or records of one turn: about a millisecond."""


def whole(turns: Turns[T]) -> T:
    """All turns in a row."""
    while True:
        try:
            next(turns)
        except StopIteration as end:
            result: T = end.value
            return result
