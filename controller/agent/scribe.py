"""Scribe: keeps the newest of some value on disk, on a thread of its own: the loop waits for no disk and no
encoding.

Place: the loop hands every snapshot over that it wants kept; the newest is written. So are receipts. After a
write it rests for a multiple of the time that the write took by its clock, so that a large snapshot does not
take the loop's processor. Must not look into what it writes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from controller.agent.shelf import Shelf
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)
_REST: Final = 30
"""A write of 0.1 s is followed by 3 s without one."""
_OCTET: Final = 2e-6
"""Seconds of rest for each octet that is there already: 8 s for 10,000 ports, nothing to speak of for ten.
What has just been read back need not be written at once, while the agent has better things to do."""


T = TypeVar("T")


class Scribe(Generic[T]):
    """`save` may be called from one thread, and does not wait; `stop` writes what is still to be written.

    `write`: puts a value on disk, or raises OSError; `what`: for the log, with its place; `rest`: seconds
    before the first write.
    """

    def __init__(
        self,
        write: Callable[[T], None],
        what: str,
        rest: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._what = what
        self._rest = rest
        self._clock = clock
        self._waiting: T | None = None
        self._condition = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def save(self, value: T) -> None:
        """Write it soon; replaces one that still waits."""
        with self._condition:
            self._waiting = value
            self._condition.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Write what waits, then end."""
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        with self._condition:
            self._condition.wait_for(lambda: self._stopping, self._rest)
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopping or self._waiting is not None)
                value, self._waiting = self._waiting, None
            if value is None:
                return
            began = self._clock()
            try:
                self._write(value)
            except OSError as error:
                LOG.error("not saved: %s: %s", self._what, error)
            except Exception:  # a defect must not end the thread: the next one may be written
                LOG.exception("not saved: %s", self._what)
            with self._condition:
                self._condition.wait_for(lambda: self._stopping, _REST * (self._clock() - began))


def snapshots(path: Path) -> Scribe[Snapshot]:
    """The scribe of a host's last snapshot."""
    there = path.stat().st_size if path.exists() else 0
    # Rests are for the processor's sake: a slow disk, or a busy host, makes none of them longer.
    return Scribe(Shelf(path).save, f"snapshot path={path}", _OCTET * there, time.thread_time)
