"""Outcomes: what became of a question, one of a few words that are counted for each port.

Place: made by the files beside it. Must not carry anything that a workload wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Outcome(Enum):
    """ANSWERED and the next three are dealt with as the protocol has it, the others refused in silence."""

    ANSWERED = "answered"
    DENIED = "denied"
    """Told that the address it asked for is not its own (DHCPNAK, NotOnLink), or that there is none."""
    RELEASED = "released"
    DECLINED = "declined"
    """The workload says that somebody else has its address: worth a look."""
    OFF = "off"
    """Its network answers nobody."""
    ADDRESSLESS = "addressless"
    """The network or the port has no address of that family."""
    UNKNOWN = "unknown"
    """Nothing that is answered here."""
    MALFORMED = "malformed"
    FOREIGN = "foreign"
    """Not the port's own: a MAC or an address of somebody else, in the frame or in the message."""
    RELAYED = "relayed"
    """By a relay agent: a port asks for itself alone."""
    LONG = "long"
    """What it asks would take a longer answer than its network carries."""
    BOOTP = "bootp"
    SERVER = "server"
    """What only a server or a router says."""
    ELSEWHERE = "elsewhere"
    """For another server."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The frame that goes back out of the port, None = silence."""

    outcome: Outcome
    frame: bytes | None = None
