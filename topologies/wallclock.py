"""Wall clock: of one process, off by what a file says, which may change at any moment.

Place: under `skewed`, and told by the driver of the torture test. Must not touch the monotonic clock, nor the
machine's: the kernel has one wall clock for all namespaces (time_namespaces(7) knows the other two only).
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

_WIDTH: Final = 24
_NANO: Final = 1_000_000_000


def set_offset(path: Path, seconds: float) -> None:
    """From now on that far from the machine's clock. One write of a fixed size, so that nobody reads half."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        os.pwrite(file, b"%*d" % (_WIDTH, int(seconds * _NANO)), 0)
    finally:
        os.close(file)


def skew(path: Path) -> None:
    """For this process: `time.time` and `time.time_ns` are off by what the file says."""
    file, true_ns = os.open(path, os.O_RDONLY | os.O_CLOEXEC), time.time_ns

    def time_ns() -> int:
        return true_ns() + int(os.pread(file, _WIDTH, 0))

    time.time_ns = time_ns
    time.time = lambda: time_ns() / _NANO
