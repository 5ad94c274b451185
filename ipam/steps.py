"""Steps: a plan as a value: what would be created, changed, left and deleted.

Place: made by `ipam.plan` and `ipam.deletion`, shown by `plan -f`, written by `controller.store.writer`.
Must not decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ipam.contents import Record, Tombstone
from model.wanted import Reference


class Verb(Enum):
    """What happens to an object."""

    CREATE = "create"
    CHANGE = "change"
    UNCHANGED = "unchanged"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """`before` is None for CREATE, `after` for DELETE; for UNCHANGED both are the same value."""

    verb: Verb
    reference: Reference
    before: Record | None
    after: Record | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in writing order (Kind order, then tenant and name; deletes in reverse), and what cools down.

    `now` is the Unix time in ms that the plan was made for: tombstones due by then are removed with it.
    """

    steps: tuple[Step, ...]
    tombstones: tuple[Tombstone, ...] = ()
    now: int = 0

    def __bool__(self) -> bool:
        """Whether applying it changes anything."""
        return any(step.verb is not Verb.UNCHANGED for step in self.steps)

    def of(self, verb: Verb) -> tuple[Step, ...]:
        """The steps with that verb, in order."""
        return tuple(step for step in self.steps if step.verb is verb)
