"""Outcomes: what becomes of a question, and the words by which questions are counted for each port.

Place: made by `services.naming.answering` and `forwarding`, carried out by `controller.services`. Kinds must
not carry anything that a workload wrote.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from model.ids import PortKey, TenantKey
from services.naming.labels import Labels


class Kind(Enum):
    """Down to NO_RECURSION: understood (CROWDED: not even read). The rest: malformed, or no question."""

    ANSWERED = "answered"
    NO_DATA = "no-data"
    NO_NAME = "no-name"
    ANY = "any"
    """Told that nobody answers ANY (RFC 8482)."""
    FORWARDED = "forwarded"
    FILTERED = "filtered"
    """An answer from outside that led into the tenant's own networks, or to what is every host's own."""
    FAILED = "failed"
    """No resolver gave an answer that could be believed."""
    CROWDED = "crowded"
    """The port asks more than it may, or has more connections."""
    TRANSFER = "transfer"
    CLASS = "class"
    TYPE = "type"
    NO_ZONE = "no-zone"
    """The port's tenant is not known here."""
    NO_RESOLVER = "no-resolver"
    NO_RECURSION = "no-recursion"
    """Asks what is known already of a name outside, and no more: nobody is told what others asked for."""
    VERSION = "version"
    OPCODE = "opcode"
    COUNTS = "counts"
    """Not one question alone (RFC 9619)."""
    GARBLED = "garbled"
    SHORT = "short"
    SLOW = "slow"
    """By TCP, and not whole in time."""
    LONG = "long"
    REPLY = "reply"
    """An answer, not a question: it gets none, or two servers could talk for ever."""


class Transport(Enum):
    """What it came by."""

    UDP = "udp"
    TCP = "tcp"


@dataclass(frozen=True, slots=True)
class Asker:
    """The port that a question came from, and its tenant: by where it came from, never by what it says."""

    port: PortKey
    tenant: TenantKey


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. `name` in lower case. `dnssec`, `unchecked`: DO and CD (RFC 4035 section 3.2)."""

    name: Labels
    rdtype: int
    dnssec: int = 0
    unchecked: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """Octets for the port that asked."""

    kind: Kind
    wire: bytes


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing goes back."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Forward:
    """To be asked elsewhere. `wire`: as the port asked it, for the answer to fit."""

    question: Question
    wire: bytes
    kind: Kind = Kind.FORWARDED


Outcome = Reply | Silence | Forward
