"""Calm: while the agent takes thousands of routes in, Python's garbage collector rests.

Place: around each step of the loop, around the start, and where `ringfenced services` reads names. What a
step leaves are frozen values without cycles, which the collector walks in vain: with 50,000 routes at once
that was a quarter of the processor time. After a large step they are put where it does not look
(`gc.freeze`); what is no longer needed goes all the same, by its count of references. Must not let cycles,
which broken UPDATEs leave behind, pile up: after some such steps it looks at everything once.
"""

from __future__ import annotations

import gc
from typing import Final

LARGE: Final = 100_000
"""Objects that a step leaves; smaller ones are left to the collector."""
TURNS: Final = 20
"""Large steps between two looks at everything."""


class Calm:
    """A context manager, to be entered again and again by one thread."""

    def __init__(self) -> None:
        self._turns = 0

    def __enter__(self) -> None:
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if gc.get_count()[0] > LARGE:
            self._turns += 1
            if self._turns == TURNS:
                self._turns = 0
                gc.unfreeze()
                gc.collect()
            gc.freeze()
        gc.enable()
