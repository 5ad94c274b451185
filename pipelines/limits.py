"""Limits: the meters of a port, by its OpenFlow number, and how much they let through.

Place: read by views, by compile and by whoever tells a tenant what was dropped. Must not send anything.
"""

from __future__ import annotations

from typing import Final

from model.flow import Meter, Unit

LEAST_BURST: Final = 1050
"""kbit: two frames of 64 KiB. The kernel meters what a workload hands over before it is cut into segments
(GSO): a smaller burst would never let one of them pass."""
BURST_PART: Final = 10
"""A burst is what the rate carries in a second, by this: a tenth of a second."""
SERVED_RATE: Final = 2000
"""Packets a second to who answers names and metadata, and at once. Who answers bounds questions further."""
_SERVED: Final = 3 << 16
"""Above the ids of limits, which end at 2 * 65279 + 1, and of questions (docs/decisions/0064)."""
QUESTION_RATE: Final = 10
"""Packets a second. A client that boots over both families asks some ten times in all."""
QUESTION_BURST: Final = 20
QUESTIONS: Final = 1 << 17
"""Ids from here on: above those of all limits, and below the 200,000 that the kernel takes at most."""


def burst(rate: int) -> int:
    """kbit that pass at once at `rate` kbit/s."""
    return max(rate // BURST_PART, LEAST_BURST)


def meter_out(ofport: int, rate: int) -> Meter | None:
    """Of what the workload sends; None without a limit."""
    return Meter(2 * ofport, rate, burst(rate)) if rate else None


def meter_in(ofport: int, rate: int) -> Meter | None:
    """Of what the workload gets; None without a limit."""
    return Meter(2 * ofport + 1, rate, burst(rate)) if rate else None


def meter_asked(ofport: int) -> Meter:
    """Of what the workload asks its network: so that it keeps the agent from nobody else."""
    return Meter(QUESTIONS + ofport, QUESTION_RATE, QUESTION_BURST, Unit.PACKETS)


def meter_served(ofport: int) -> Meter:
    """Of what the workload sends to who answers names and metadata."""
    return Meter(_SERVED + ofport, SERVED_RATE, SERVED_RATE, Unit.PACKETS)
