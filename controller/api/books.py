"""Books: looks after the ledger twice a minute: does it answer, how full is its disk, what is amiss in it.

Place: a thread of the API's process; metrics and `ringfence status` read what it saw, and wait for nothing.
Must not change the ledger, nor stop anything: a full disk stops no packet, hosts keep what they count.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from accounting.ledger import Ledger
from accounting.ledger.standing import Account, account, disk_of
from accounting.records import HOUR
from accounting.room import Level, Room, Space, look
from controller.api.rounds import Rounds
from model.errors import RingfenceError

LOG: Final = logging.getLogger(__name__)
PERIOD: Final = 30.0
"""Seconds between looks."""
STALE_ALARM_MS: Final = 2 * HOUR
"""An hour that ended so long ago and is not summed up, look after look: nobody sums up."""
_NAME: Final = "Egress ledger"
_HELP: Final = "See docs/operations.md, Egress accounting."


@dataclass(frozen=True, slots=True)
class Seen:
    """One look. `account` None: the database did not answer, and `reason` says why. `space` None: its disk is
    not known here."""

    account: Account | None
    reason: str
    space: Space | None
    full_in_s: int | None
    level: Level
    words: str
    stale_for_ms: int


class Books:
    """`seen`: the last look, None before the first one; may be read by any thread."""

    def __init__(
        self,
        ledger: Ledger,
        now_ms: Callable[[], int],
        clock: Callable[[], float] = time.monotonic,
        space: Callable[[Path], Space | None] = look,
    ) -> None:
        self._ledger, self._now_ms, self._space = ledger, now_ms, space
        self._disk: Path | None = None
        self._room = Room(clock, self._look_at_disk)
        self._late = False
        self.seen: Seen | None = None
        self._rounds = Rounds("ledger-books", self.once, PERIOD)

    def start(self) -> None:
        """Begin; the first look is made at once, by the thread."""
        self._rounds.start()

    def stop(self) -> None:
        """End the thread after what it is at."""
        self._rounds.stop()

    def once(self) -> None:
        """One look; never raises."""
        found, reason = None, ""
        try:
            found = account(self._ledger)
        except RingfenceError as error:
            reason = "; ".join(fault.message for fault in error.faults)
        if self._disk is None and found is not None:
            self._disk = disk_of(self._ledger)
        level = self._room.see()
        words = self._room.words("the disk of the egress ledger fills", level)
        oldest = found.oldest_stale_ms if found is not None else None
        late = 0 if oldest is None else max(0, self._now_ms() - oldest - HOUR)
        seen = Seen(found, reason, self._room.space, self._room.full_in_s, level, words, late)
        before = self.seen
        if words and (before is None or before.level is not level):
            LOG.warning("%s", words)
        # A late upload makes an old hour stale for a minute: only what two looks saw is an alarm.
        self._late = late >= STALE_ALARM_MS and before is not None and before.stale_for_ms >= STALE_ALARM_MS
        self.seen = seen

    def alarms(self) -> Iterator[dict[str, Any]]:
        """As `ringfence status` shows them."""
        seen = self.seen
        if seen is None:
            return
        if seen.account is None:
            yield _alarm(f"does not answer: {seen.reason}", "Hosts keep what they count meanwhile. " + _HELP)
        if seen.words:
            yield _alarm(seen.words, "Free some, or give it more; hosts keep what they count. " + _HELP)
        if self._late:
            hours = seen.stale_for_ms // HOUR
            yield _alarm(
                f"an hour that ended {hours} hours ago is not summed up",
                "Reports read single intervals; see the API's log.",
            )

    def _look_at_disk(self) -> Space | None:
        return None if self._disk is None else self._space(self._disk)


def _alarm(message: str, remedy: str) -> dict[str, Any]:
    return {"object": _NAME, "message": message, "remedy": remedy}
