"""Tally: what a device past the switch has counted, as its kernel tells it.

Place: read by `ipam.devices.tallies`, made into intervals by `accounting.bypass`. Must not hold whose it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

FULL: Final = (1 << 32) - 1
"""The highest that a counter of 32 bits can say."""

Pair = tuple[int, int]
"""(packets, data) in one direction: data in the tally's unit."""


class Manner(Enum):
    """What a counter does at its end.

    WIDE: 64 bits, which no device fills. WRAPS: 32 bits, and goes on from zero. STICKS: 32 bits, and stays at
    `FULL` (PortCounters of the InfiniBand Architecture 1.2.1, section 16.1.3.5, stop at all ones).
    """

    WIDE = "wide"
    WRAPS = "wraps"
    STICKS = "sticks"


class Medium(Enum):
    """Whose counters they are; the `datapath` of an interval."""

    VF = "vf"
    INFINIBAND = "infiniband"


@dataclass(frozen=True, slots=True)
class Tally:
    """One reading of a VF. `sent` and `received` are as the VF's owner sees them.

    `life` changes when the device, or what counts for it, is made anew. `unit`: bytes of one count of data.
    `speed`: bytes a second that can pass at most in one direction; None = not known.
    """

    life: str
    medium: Medium
    manner: Manner
    unit: int
    sent: Pair
    received: Pair
    speed: int | None = None

    @property
    def blank(self) -> bool:
        """Whether nothing was counted, or the kernel could not ask: it tells zeros then."""
        return self.sent == self.received == (0, 0)
