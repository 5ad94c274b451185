"""Speech: the loop's reports: what is new since the last one, handed to the keeper.

Place: called by the loop when a report is due. Remembers what was said; must not judge (see `reporting`).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.agent import reporting
from controller.agent.core import Core
from controller.agent.effects import Keeper
from controller.agent.expecting import Expectation
from controller.agent.pace import Due, Pace, Tally
from controller.agent.reporting import Circumstance
from controller.agent.roster import Roster
from model.change import Change


class Speech:
    """Its cost follows the changes, but for the long part, which is made seldom and only if it differs."""

    def __init__(self, keeper: Keeper, due: Due, pace: Pace) -> None:
        self._keeper, self._due, self._pace = keeper, due, pace
        self._changes = Tally()
        self._expectation = Expectation()
        self._roster = Roster()
        self._shown: tuple[Any, ...] | None = None
        self.unfinished = False
        """Whether the long part has changed, and waits for its time."""

    def add(self, changes: Iterable[Change]) -> None:
        """What became effective since the last report."""
        self._changes.add(changes)

    def say(self, core: Core, around: Circumstance, now: float, wall_ms: int, since_ms: int) -> None:
        """One report. `now`: on the loop's clock."""
        changes, snapshot = self._changes.take(), core.effective
        if changes is None:
            self._expectation.begin(snapshot)
        else:
            self._expectation.follow(snapshot, changes, core.table.lookup.macs)
        ports = self._roster.follow(snapshot, core.refusals, changes)
        brief = reporting.head(core, around, wall_ms, since_ms, self._expectation.missing)
        details = None
        # maps are immutable: the same object says the same
        held = (snapshot.remotes, snapshot.floods, core.table.refused)
        shown = (*held, around.receipts, around.devices, around.asked)
        self.unfinished = self._shown is None or any(
            one is not other for one, other in zip(shown, self._shown, strict=True)
        )
        if self.unfinished and now >= self._due.details:
            details = reporting.details(core, around, brief)
            self._shown, self.unfinished = shown, False
            self._due.details = now + self._pace.details
        self._due.spend(now, self._pace)
        self._keeper.report(brief, details, ports)
