"""Limits: the meters of a port, by its OpenFlow number, and how much they let through at once.

Place: read by views, by compile and by whoever tells a tenant what was dropped. Must not send anything.
"""

from __future__ import annotations

from typing import Final

from model.flow import Meter

LEAST_BURST: Final = 1050
"""kbit: two frames of 64 KiB. The kernel meters what a workload hands over before it is cut into segments
(GSO): a smaller burst would never let one of them pass."""
BURST_PART: Final = 10
"""A burst is what the rate carries in a second, by this: a tenth of a second."""


def burst(rate: int) -> int:
    """kbit that pass at once at `rate` kbit/s."""
    return max(rate // BURST_PART, LEAST_BURST)


def meter_out(ofport: int, rate: int) -> Meter | None:
    """Of what the workload sends; None without a limit."""
    return Meter(2 * ofport, rate, burst(rate)) if rate else None


def meter_in(ofport: int, rate: int) -> Meter | None:
    """Of what the workload gets; None without a limit."""
    return Meter(2 * ofport + 1, rate, burst(rate)) if rate else None
