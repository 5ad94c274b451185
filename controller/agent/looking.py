"""Looking: what NICs and GPUs this host has, looked at now and then on a thread of its own.

Place: an effect; the loop takes what was seen last for its report. A driver may take its time to answer: the
loop never waits for one. Must not change a device.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from model.sighting import Sighting

LOG: Final = logging.getLogger(__name__)
EVERY: Final = 60.0
"""Seconds between two looks: hardware changes when people change it."""
NOTHING: Final = Sighting()


class Looking:
    """`observe`: see `ipam.devices.look`."""

    def __init__(self, observe: Callable[[], Sighting], every: float = EVERY) -> None:
        self._observe, self._every = observe, every
        self._seen = NOTHING
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="looking", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; one that waits for a driver is left behind."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def seen(self) -> Sighting:
        """What was seen last; the same object as long as it is the same. From any thread."""
        return self._seen

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                found = self._observe()
            except Exception:  # a defect here must not cost the host its other reports
                LOG.exception("devices not seen")
            else:
                if found != self._seen:
                    LOG.info("devices seen pfs=%d gpus=%d oddities=%d", *_counts(found))
                    self._seen = found
            self._stopping.wait(self._every)


def _counts(seen: Sighting) -> tuple[int, int, int]:
    return len(seen.pfs), len(seen.gpus), len(seen.oddities)
