"""Gauge: what a step of a benchmark takes of named processes: processor time, and the most that was resident.

Place: used by `evpn`. Reads /proc only; the kernel's note of the peak is set back at the start
(proc_pid_clear_refs(5)).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.bench.figures import used

_FORGET_PEAK = "5"


@dataclass(frozen=True, slots=True)
class Used:
    """`processor` in seconds and `peak` in MB (10^6 octets), by name."""

    seconds: float
    processor: Mapping[str, float]
    peak: Mapping[str, float]


class Gauge:
    """Begins when it is made. `named`: processes by name, those of one name together."""

    def __init__(self, *named: Mapping[str, tuple[int, ...]]) -> None:
        self._named = {name: pids for some in named for name, pids in some.items()}
        for pids in self._named.values():
            for pid in pids:
                with suppress(OSError):
                    Path(f"/proc/{pid}/clear_refs").write_text(_FORGET_PEAK)
        self._before = {name: used(pids) for name, pids in self._named.items()}

    def busy(self) -> float:
        """Processor seconds of all so far."""
        return sum(used(pids) - self._before[name] for name, pids in self._named.items())

    def read(self, seconds: float) -> Used:
        """What was used in a step that took so long."""
        processor = {name: used(pids) - self._before[name] for name, pids in self._named.items()}
        return Used(seconds, processor, {name: sum(map(_peak, pids)) for name, pids in self._named.items()})


def _peak(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
