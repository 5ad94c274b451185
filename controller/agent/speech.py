"""Speech: the loop's reports: what is new since the last one, handed to the keeper.

Place: called by the loop when a report is due. Remembers what was said; must not judge (see `reporting`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from controller.agent import reporting
from controller.agent.core import Core
from controller.agent.effects import Keeper
from controller.agent.expecting import Expectation
from controller.agent.pace import Due, Pace, Tally
from controller.agent.reporting import Circumstance
from controller.agent.roster import Roster
from model.change import Change
from model.report import Report


class Speech:
    """Its cost follows the changes, but for the long part, which is made seldom and only if it differs."""

    def __init__(self, keeper: Keeper, due: Due, pace: Pace) -> None:
        self._keeper, self._due, self._pace = keeper, due, pace
        self._changes = Tally()
        self._expectation = Expectation()
        self._roster = Roster()
        self._followed = Followed()
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
        brief = self._followed.word(
            reporting.head(core, around, wall_ms, since_ms, self._expectation.missing), *around.turns
        )
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


class Followed:
    """Which generation, with how many routes missing, the data path goes by: not only the tables.

    A word stands for the changes that were made before it was first said. It is held back until the data path
    follows those; changes that come all the time hold no earlier word back.
    """

    def __init__(self) -> None:
        self._known = 0, 0
        self._waiting: deque[tuple[int, tuple[int, int]]] = deque()

    def word(self, brief: Report, made: int, followed: int) -> Report:
        """The report with the newest such word. Without a session there is none, at once."""
        now = brief.generation, brief.evpn.missing
        if not brief.generation:
            self._waiting.clear()
            self._known = now
        elif now != (self._waiting[-1][1] if self._waiting else self._known):
            self._waiting.append((made, now))
        while self._waiting and self._waiting[0][0] <= followed:
            self._known = self._waiting.popleft()[1]
        generation, missing = self._known
        return replace(brief, generation=generation, evpn=replace(brief.evpn, missing=missing))
