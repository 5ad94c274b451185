"""Limits: the meters of a port, by its OpenFlow number, and how much they let through.

Place: read by views, by compile and by whoever tells a tenant what was dropped. Must not send anything.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from model.flow import Meter, Unit

LEAST_BURST: Final = 1050
"""kbit: two frames of 64 KiB. The kernel meters what a workload hands over before it is cut into segments
(GSO): a smaller burst would never let one of them pass."""
BURST_PART: Final = 10
"""A burst is what the rate carries in a second, by this: a tenth of a second."""
SERVED_RATE: Final = 2000
"""Packets a second to who answers names and metadata, and at once. Who answers bounds questions further."""
QUESTION_RATE: Final = 10
"""Packets a second. A client that boots over both families asks some ten times in all."""
QUESTION_BURST: Final = 20
PORTS: Final = 1 << 14
"""OpenFlow ports whose meters have ids below 65,536: no data path has less room. Those of the next as many
follow, and so on: three times as many stay below the 200,000 for which the kernel has room at most (docs/
operations.md, meters)."""


class Kind(IntEnum):
    """What a port's meter is for."""

    OUT = 0
    IN = 1
    ASKED = 2
    SERVED = 3


def meter_id(kind: Kind, ofport: int) -> int:
    """No two have one. The limits of a port stand beside each other, as in all releases so far: an upgrade
    leaves them where they are."""
    block, at = divmod(ofport, PORTS)
    own = 2 * at + kind if kind < Kind.ASKED else kind * PORTS + at
    return block * len(Kind) * PORTS + own


def burst(rate: int) -> int:
    """kbit that pass at once at `rate` kbit/s."""
    return max(rate // BURST_PART, LEAST_BURST)


def meter_out(ofport: int, rate: int) -> Meter | None:
    """Of what the workload sends; None without a limit."""
    return Meter(meter_id(Kind.OUT, ofport), rate, burst(rate)) if rate else None


def meter_in(ofport: int, rate: int) -> Meter | None:
    """Of what the workload gets; None without a limit."""
    return Meter(meter_id(Kind.IN, ofport), rate, burst(rate)) if rate else None


def meter_asked(ofport: int) -> Meter:
    """Of what the workload asks its network: so that it keeps the agent from nobody else."""
    return Meter(meter_id(Kind.ASKED, ofport), QUESTION_RATE, QUESTION_BURST, Unit.PACKETS)


def meter_served(ofport: int) -> Meter:
    """Of what the workload sends to who answers names and metadata."""
    return Meter(meter_id(Kind.SERVED, ofport), SERVED_RATE, SERVED_RATE, Unit.PACKETS)
