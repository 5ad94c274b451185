"""Classes: the numbers of intervals and the ledger: an egress class, and which way the bytes went. Pure.

Place: between the counters and everything that sums them up. A sum is always of one direction: what a port
got from outside says nothing about what it sent. Must not know names.

    low 8 bits   the EgressClass (`model.ids.ClassId`)
    INBOUND      set: received, by the class of the source; else sent, by that of the destination
    UNCLASSIFIED set: of a device past the switch, which knows no classes; the low 8 bits are 0
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from model.ids import ClassId

INBOUND: Final = 256
UNCLASSIFIED: Final = 512
CLASSES: Final = range(2 * UNCLASSIFIED)
"""Every number that an interval's class may be."""


class Direction(Enum):
    """As seen from the tenant's port."""

    OUT = "out"
    IN = "in"


def direction_of(number: int) -> Direction:
    """Which way the bytes of this class went."""
    return Direction.IN if number & INBOUND else Direction.OUT


def class_of(number: int) -> ClassId:
    """The class without the direction: an EgressClass, or UNCLASSIFIED."""
    return ClassId(number & ~INBOUND)


def inbound(class_id: ClassId) -> ClassId:
    """The number of what is received from this class."""
    return ClassId(class_id | INBOUND)
