"""Neighbours: which VTEPs Open vSwitch is to be made to ask for, and when cached flows stand in the way.

Place: pure but for its own state; `controller.agent.resolving` drives it from one thread. Must not read a
clock or send (docs/decisions/0068).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.addresses import Address

LONGEST: Final = 64.0
"""Seconds between two attempts at most: it may just be down."""
CALM: Final = 10.0
"""Seconds until the next look at a VTEP behind a gateway that is known."""


@dataclass(slots=True)
class _Turn:
    due: float
    tries: int = 0


@dataclass(frozen=True, slots=True)
class Steps:
    """`purge` goes before `asked`: their answers must meet no cached flow."""

    asked: tuple[Address, ...] = ()
    purge: tuple[Address, ...] = ()
    """For whose sake; empty: not at all."""


class Neighbours:
    """Used by one thread."""

    def __init__(self) -> None:
        self._turns: dict[Address, _Turn] = {}

    def look(
        self,
        wanted: frozenset[Address],
        resolved: frozenset[Address],
        next_hop: Callable[[Address], Address | None],
        now: float,
    ) -> Steps:
        """What to do for the VTEPs of `wanted` whose next hop is not `resolved`. One without a route waits.

        `next_hop` is asked for those that are due and not resolved themselves.
        """
        doubtful = wanted - resolved
        self._turns = {v: self._turns.get(v, _Turn(now)) for v in sorted(doubtful, key=str)}
        asked: list[Address] = []
        purge: list[Address] = []
        for vtep, turn in self._turns.items():
            if turn.due > now:
                continue
            hop = next_hop(vtep)
            if hop is None or hop in resolved:
                turn.due, turn.tries = now + CALM, 0
                continue
            if turn.tries:
                purge.append(vtep)
            asked.append(vtep)
            turn.due = now + min(LONGEST, 2.0**turn.tries)
            turn.tries += 1
        return Steps(tuple(asked), tuple(purge))
