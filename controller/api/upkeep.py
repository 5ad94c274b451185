"""Upkeep: keeps the ledger's sums current, and lets go of intervals that the operator no longer keeps.

Place: a thread of the API's process; each process of a cluster's API has one, and the ledger lets one work at
a time. A failure costs a delay: reports read single intervals where sums lack something. Must not answer
requests, nor drop anything unless told for how long intervals are kept.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from accounting.ledger import Ledger
from accounting.ledger.retention import Reason, release
from accounting.ledger.rollup import roll
from accounting.records import DAY
from controller.api.rounds import Rounds
from model.errors import RingfenceError

LOG: Final = logging.getLogger(__name__)
PERIOD: Final = 60.0
"""Seconds between looks."""
GRACE_MS: Final = 120_000
"""An hour is summed up so long after its end: by then most hosts have uploaded what ended in it."""
PAUSE: Final = 0.15
"""Seconds between transactions: SQLite's writers look for their turn ten times a second, in no order."""


class Upkeep:
    """`keep_days`: so long single intervals are kept; None: for ever."""

    def __init__(self, ledger: Ledger, now_ms: Callable[[], int], keep_days: int | None) -> None:
        self._ledger, self._now_ms, self._keep_days = ledger, now_ms, keep_days
        self._failing = False
        self._unsummed: frozenset[tuple[str, int]] = frozenset()
        self._rounds = Rounds("ledger-upkeep", self.once, PERIOD)

    def start(self) -> None:
        """Begin; what stands over from before goes first."""
        self._rounds.start()

    def stop(self) -> None:
        """End the thread after what it is at."""
        self._rounds.stop()

    def once(self) -> None:
        """One look; never raises."""
        try:
            self._roll()
            if self._keep_days is not None:
                self._release(self._now_ms() - self._keep_days * DAY)
        except RingfenceError as error:
            if not self._failing:
                LOG.warning("egress sums wait: %s", "; ".join(fault.message for fault in error.faults))
            self._failing = True
        except Exception:
            # A bug here must cost sums, never the API: reports read single intervals instead.
            LOG.exception("egress sums failed")
            self._failing = True
        else:
            if self._failing:
                LOG.info("egress sums go on")
            self._failing = False

    def _roll(self) -> None:
        found = roll(self._ledger, self._now_ms() - GRACE_MS, self._go_on)
        for (host, hour), reason in found.failed:
            if (host, hour) not in self._unsummed:
                LOG.error("egress hour can't be summed up host=%s hour_ms=%d: %s", host, hour, reason)
        self._unsummed = frozenset(unit for unit, _ in found.failed)

    def _release(self, before_ms: int) -> None:
        found = release(self._ledger, before_ms, self._go_on)
        if found.units:
            LOG.info("egress intervals dropped hours=%d intervals=%d", found.units, found.intervals)
        for (host, hour), reason in found.refused:
            if reason is Reason.DIFFERS:
                LOG.error("egress sums differ from intervals, which are kept host=%s hour_ms=%d", host, hour)

    def _go_on(self) -> bool:
        return self._rounds.go_on(PAUSE)
