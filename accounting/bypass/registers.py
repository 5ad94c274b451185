"""Registers: what two readings of a device's counter prove about the bytes between them. Pure.

Place: under `accounting.bypass.count`. Must not guess: what is not proven is no figure but a bound.

- A counter that fell and can't have wrapped began anew: neither what it had counted until then nor whether it
  began at zero is known. Nothing is billed for that time.
- A counter of 32 bits that wraps is believed to have wrapped only if it can't have been reset, and can't have
  wrapped twice: after a reset its bytes would hold all packets that it has counted since, and not more than
  can have passed.
- One that stopped at its end has counted at least that much; what came after is not known.
- More than can have passed has not passed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from accounting.records import Cause
from model.tally import FULL, Manner, Pair, Tally

SMALLEST: Final = 14
"""Bytes: no packet of any counter here is shorter than an Ethernet header (IEEE 802.3 clause 3.1.1)."""
LAG_MS: Final = 5_000
"""Drivers ask their device every second or two: a reading may hold what passed before the one before it."""
_ROUND: Final = FULL + 1


@dataclass(frozen=True, slots=True)
class Missing:
    """Bytes that no reading proves: `bound` at most, None = not known."""

    cause: Cause
    bound: int | None


@dataclass(frozen=True, slots=True)
class Rise:
    """What one direction surely carried, and what it may have carried beside that."""

    packets: int = 0
    bytes: int = 0
    missing: Missing | None = None


def limit(one: Tally | None, other: Tally | None, elapsed_ms: int | None) -> int | None:
    """Bytes that can have passed in one direction at most; None = not known."""
    speeds = [each.speed for each in (one, other) if each is not None and each.speed is not None]
    if elapsed_ms is None or elapsed_ms < 0 or not speeds:
        return None
    return max(speeds) * (elapsed_ms + LAG_MS) // 1_000


def rise(before: Pair, now: Pair, manner: Manner, unit: int, most: int | None) -> Rise:
    """One direction. `most`: see `limit`."""
    if manner is Manner.WRAPS:
        return _wrapping(before, now, unit, most)
    packets, size = now[0] - before[0], (now[1] - before[1]) * unit
    if packets < 0 or size < 0:
        return Rise(missing=Missing(Cause.COUNTER_FELL, most))
    if manner is Manner.STICKS and now[1] == FULL:
        return _certain(packets, size, Cause.COUNTER_FULL, most)
    return _believed(packets, size, most)


def _wrapping(before: Pair, now: Pair, unit: int, most: int | None) -> Rise:
    fell = now[0] < before[0] or now[1] < before[1]
    packets, size = (now[0] - before[0]) % _ROUND, (now[1] - before[1]) % _ROUND * unit
    if most is None or most >= _ROUND * unit:
        if fell:
            return Rise(missing=Missing(Cause.COUNTER_FELL, most))
        return _certain(packets, size, Cause.COUNTER_WRAPPED, most)
    if not fell:
        return _believed(packets, size, most)
    data = now[1] * unit
    was_not_reset = data < SMALLEST * now[0] or data > most
    if was_not_reset and size <= most and SMALLEST * packets <= size:
        return Rise(packets, size)
    return Rise(missing=Missing(Cause.COUNTER_FELL, most))


def _believed(packets: int, size: int, most: int | None) -> Rise:
    if most is not None and size > most:
        return Rise(missing=Missing(Cause.COUNTER_LEAPT, most))
    return Rise(packets, size)


def _certain(packets: int, size: int, cause: Cause, most: int | None) -> Rise:
    """At least this much, and more is possible."""
    if most is not None and size > most:
        return Rise(missing=Missing(Cause.COUNTER_LEAPT, most))
    return Rise(packets, size, Missing(cause, None if most is None else most - size))
