"""Scribe: keeps the last snapshot on disk, on a thread of its own: the loop waits for no disk and no
encoding.

Place: the loop hands every snapshot over that it wants kept; the newest is written. After a write it rests
for a multiple of the time that the write took, so that a large snapshot does not take the loop's processor.
Must not look into a snapshot.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from controller.agent.disk import Shelf
from model.snapshot import Snapshot

LOG: Final = logging.getLogger(__name__)
_REST: Final = 30
"""A write of 0.1 s is followed by 3 s without one."""


class Scribe:
    """`save` may be called from one thread, and does not wait; `stop` writes what is still to be written."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._shelf = Shelf(path)
        self._waiting: Snapshot | None = None
        self._condition = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def save(self, snapshot: Snapshot) -> None:
        """Write it soon; replaces one that still waits."""
        with self._condition:
            self._waiting = snapshot
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
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._stopping or self._waiting is not None)
                snapshot, self._waiting = self._waiting, None
            if snapshot is None:
                return
            began = self._clock()
            try:
                self._shelf.save(snapshot)
            except OSError as error:
                LOG.error("snapshot not saved host=%s path=%s: %s", snapshot.host, self._path, error)
            except Exception:  # a defect must not end the thread: the next one may be written
                LOG.exception("snapshot not saved host=%s path=%s", snapshot.host, self._path)
            with self._condition:
                self._condition.wait_for(lambda: self._stopping, _REST * (self._clock() - began))
