"""Bell: tells threads that a signal asked the process to end.

Place: between `controller.daemon.fabric` and its rounds. A handler runs in the middle of whatever the main
thread does, which may hold the lock of an Event: writing a byte to a pipe needs none.
"""

from __future__ import annotations

import os
import select


class Bell:
    """Rung once, heard by all for ever. It lasts as long as the process: signals may come until then."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def ring(self) -> None:
        """Also from a handler of signals, and again."""
        try:
            os.write(self._write, b"!")
        except BlockingIOError:
            return  # it was rung thousands of times

    def wait(self, seconds: float) -> bool:
        """Whether it was rung, at once if so; up to `seconds`."""
        return bool(select.select([self._read], [], [], seconds)[0])
