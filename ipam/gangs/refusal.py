"""Refusals: why a gang can't be had, and what is missing where.

Place: made by `ipam.gangs.place`, told by the API. Pure. Must not decide anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.errors import Conflict, Exhausted, Fault, Invalid, NotFound, RingfenceError
from model.gang import GangRequest

_MOST: Final = 50
"""Lacks that are told one by one."""


class Cause(Enum):
    """What kind of refusal it is: SHORT may pass when others release; WRONG never does."""

    SHORT = "short"
    WRONG = "wrong"
    TAKEN = "taken"
    MISSING = "missing"


@dataclass(frozen=True, slots=True)
class Lack:
    """`what` is missing on a node: `wanted` of it, `there` are free. `rail`, `pf`: where, "" = all of the
    node.
    """

    node: str
    what: str
    wanted: int
    there: int
    rail: str = ""
    pf: str = ""

    def text(self) -> str:
        """For people."""
        where = "".join(f", {kind} {name}" for kind, name in (("rail", self.rail), ("PF", self.pf)) if name)
        return f"node {self.node}{where}: {self.what}: {self.wanted} wanted, {self.there} there"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was taken. `lacks`: by node, of those that would have been asked."""

    request: GangRequest
    cause: Cause
    rule: str
    message: str
    remedy: str
    lacks: tuple[Lack, ...] = ()

    def error(self) -> RingfenceError:
        """As an error that names everything that is missing, up to 50 places."""
        kinds: dict[Cause, type[RingfenceError]] = {
            Cause.SHORT: Exhausted,
            Cause.WRONG: Invalid,
            Cause.TAKEN: Conflict,
            Cause.MISSING: NotFound,
        }
        name = f"Gang {self.request.tenant}/{self.request.name}"
        faults = [Fault(name, self.rule, self.message, self.remedy)]
        faults += [Fault(name, "lack", lack.text(), self.remedy) for lack in self.lacks[:_MOST]]
        if len(self.lacks) > _MOST:
            message = f"and {len(self.lacks) - _MOST} more places lack something"
            faults.append(Fault(name, "lack", message, self.remedy))
        return kinds[self.cause](*faults)
