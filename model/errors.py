"""Errors that a person reads: each names the object, the rule that it broke and the remedy.

Place: raised in pure code, rendered by API and CLI. Must not log or exit.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong.

    `rule` is a stable kebab-case code; `path` is the field (`spec.addresses[0]`), empty for the whole object;
    `source` and `line` say where it was written (file and 1-based line; empty and 0 if unknown).
    """

    object: str
    rule: str
    message: str
    remedy: str
    path: str = ""
    source: str = ""
    line: int = 0


class RingfenceError(Exception):
    """Base of our own errors; carries one fault or many."""

    def __init__(self, *faults: Fault) -> None:
        super().__init__("; ".join(f"{f.object}: {f.message}" for f in faults))
        self.faults = faults


class Invalid(RingfenceError):
    """Input breaks a rule: nothing was written."""


class Conflict(RingfenceError):
    """Input is well formed, but clashes with what exists."""


class Exhausted(RingfenceError):
    """A pool has too little left."""


class Unavailable(RingfenceError):
    """A part that is needed does not answer; trying again later may work."""


class NotFound(RingfenceError):
    """The named object does not exist."""
