"""OpenSM: holds the partitions of a fabric as wanted: file, reload, and what the ports say afterwards.

Place: the driver of `ringfenced fabric` for a subnet manager of this host. Must not report what it has not
read from the ports themselves, and must not signal a process that it does not know for OpenSM.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from ipam.fabric.diagnostics import Diagnostics
from ipam.fabric.managers import Seen, Standing, strangers
from ipam.fabric.partitions import Partitions
from ipam.fabric.publish import observe, publish
from ipam.fabric.tables import LEAKS, Difference, Drift, compare, set_aside
from model.errors import Fault
from model.fabric import Fabric, Guid

_NAME: Final = "opensm"
_CAUGHT: Final = "SigCgt:"
_HANGUP: Final = 1 << signal.SIGHUP - 1
_REWRITTEN: Final = 64
"""Ports at a time."""
_PAUSE: Final = 0.05
"""Seconds."""
_SAMPLE: Final = 8
"""Ports that are asked while OpenSM is under way: questions to thousands would only hold it up."""


class Alarm(Enum):
    """What an operator must hear of. FILE: what the manager was told (OpenSM: the partitions file) was
    changed by somebody else, or is gone.

    PORTS: ports were other than last seen, though nobody asked for it. LEFT: ports are other than wanted, and
    nothing that was tried mended them. SILENT: OpenSM does not run, or does not take signals. MUTE: nobody
    said who manages the fabric. STRANGER: a subnet manager that nobody allowed. DEPOSED: the master is not
    ours.
    """

    FILE = "file"
    PORTS = "ports"
    LEFT = "left"
    SILENT = "silent"
    MUTE = "mute"
    STRANGER = "stranger"
    DEPOSED = "deposed"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`altered`: what was found other than last left, before anything was done. `left`: what still is other
    than wanted. `tables`: each port as last read. `managers`: those seen that nobody allowed. `said`: why
    the manager did not do what it was told, where it says so.
    """

    alarms: tuple[Alarm, ...]
    altered: tuple[Drift, ...]
    left: tuple[Drift, ...]
    tables: dict[Guid, tuple[int, ...] | None]
    managers: tuple[Seen, ...]
    said: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class Clock:
    """Seconds that only go forward, and a pause."""

    now: Callable[[], float]
    sleep: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class OpenSm:
    """`path`: its partitions file. `pid_file`: holds its process id. `port`: the GUID that it runs on.

    `allowed`: GUIDs of all subnet managers that there may be. `patience`: seconds that a change may take.
    """

    path: Path
    pid_file: Path
    port: Guid
    allowed: tuple[Guid, ...]
    diagnostics: Diagnostics
    clock: Clock
    patience: float = 10.0

    def of(self, _: Fabric) -> OpenSm:
        """Itself: all of its file is ours, whatever the fabric's spaces are."""
        return self

    def hold(self, before: Partitions | None, wanted: Partitions, ports: Iterable[Guid]) -> Verdict:
        """Have the fabric be as wanted, and say what it is. OSError, PartitionsError: no file was written.

        `before`: what this returned from last time; None after a start, when nothing can have drifted.
        `ports`: whom to ask, beside those that are wanted.
        """
        asked = {*ports, *(guid for each in wanted.tenants for guid in (*each.full, *each.limited))}
        alarms: list[Alarm] = []
        said = observe(self.path)
        if before is not None and said != before:
            alarms.append(Alarm.FILE)
        tables = self.diagnostics.tables(asked)
        altered = () if before is None else _heard(compare(before, tables, self.port))
        if altered:
            alarms.append(Alarm.PORTS)
        if said != wanted:
            publish(self.path, wanted)
        left = compare(wanted, tables, self.port)
        # Also when the ports are right already: OpenSM may have read what was there a moment ago.
        if said != wanted or _heard(left):
            if not reload(self.pid_file):
                alarms.append(Alarm.SILENT)
            else:
                tables, left = self._settle(wanted, tables)
                if _heard(left):
                    tables, left = self._rewrite(wanted, tables, left)
        elif not alive(self.pid_file):
            alarms.append(Alarm.SILENT)
        if _heard(left):
            alarms.append(Alarm.LEFT)
        judged, managers = self._judge()
        return Verdict((*alarms, *judged), altered, left, tables, managers)

    def _settle(
        self, wanted: Partitions, tables: dict[Guid, tuple[int, ...] | None]
    ) -> tuple[dict[Guid, tuple[int, ...] | None], tuple[Drift, ...]]:
        """Look at some of what is not right yet until they are, and then once at everything: OpenSM may be
        under way. It goes by GUID, so the last ones are among them.
        """
        end = self.clock.now() + self.patience
        found = dict(tables)
        while True:
            wrong = [drift.guid for drift in _heard(compare(wanted, found, self.port))]
            some = spread(wrong, _SAMPLE)
            found |= (seen := self.diagnostics.tables(some))
            left = _heard(compare(wanted, seen, self.port))
            if not left or self.clock.now() >= end:
                found = self.diagnostics.tables(found)
                left = _heard(compare(wanted, found, self.port))
            if not left or self.clock.now() >= end:
                return found, compare(wanted, found, self.port)
            self.clock.sleep(_PAUSE)

    def _rewrite(
        self, wanted: Partitions, tables: dict[Guid, tuple[int, ...] | None], left: tuple[Drift, ...]
    ) -> tuple[dict[Guid, tuple[int, ...] | None], tuple[Drift, ...]]:
        """Have OpenSM write tables that it believes to be right, because it wrote them so once: it sends one
        only when what it wants of the port changes. So these ports leave their partitions for a moment.
        """
        # Those through which tenants meet first; a subnet manager that hangs shall not cost all gangs.
        ordered = sorted(_heard(left), key=lambda drift: (drift.what not in LEAKS, drift.guid))
        guids = tuple(dict.fromkeys(drift.guid for drift in ordered))[:_REWRITTEN]
        for step in (set_aside(wanted, guids, tables), wanted):
            publish(self.path, step)
            if reload(self.pid_file):
                tables, left = self._settle(step, tables)
        return tables, compare(wanted, tables, self.port)

    def _judge(self) -> tuple[tuple[Alarm, ...], tuple[Seen, ...]]:
        seen = self.diagnostics.managers()
        if seen is None:
            return (Alarm.MUTE,), ()
        alarms: list[Alarm] = []
        unknown = strangers(seen, (*self.allowed, self.port))
        if unknown:
            alarms.append(Alarm.STRANGER)
        if any(each.standing is Standing.MASTER and each.guid != self.port for each in seen):
            alarms.append(Alarm.DEPOSED)
        return tuple(alarms), unknown


def spread(guids: Iterable[Guid], most: int) -> tuple[Guid, ...]:
    """Some of them, evenly, first and last among them."""
    ordered = sorted(set(guids))
    if len(ordered) <= most:
        return tuple(ordered)
    return tuple(ordered[place * (len(ordered) - 1) // (most - 1)] for place in range(most))


def reload(pid_file: Path) -> bool:
    """Have OpenSM read its partitions again (opensm(8): SIGHUP). False if it can't be told."""
    return _signalled(pid_file, signal.SIGHUP)


def alive(pid_file: Path) -> bool:
    """Whether OpenSM runs and can be told."""
    return _signalled(pid_file, None)


def _signalled(pid_file: Path, number: signal.Signals | None) -> bool:
    """The process is held by a descriptor while it is looked at, so that no other gets its number meanwhile.
    One that does not catch the signal yet would die of it.
    """
    try:
        pid = int(pid_file.read_text("ascii"))
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError):
        return False
    try:
        proc = Path("/proc", str(pid))
        status = proc.joinpath("status").read_text("ascii", "replace").splitlines()
        caught = next((int(line.split()[1], 16) for line in status if line.startswith(_CAUGHT)), 0)
        if proc.joinpath("comm").read_text("ascii", "replace").strip() != _NAME or not caught & _HANGUP:
            return False
        signal.pidfd_send_signal(descriptor, 0 if number is None else number)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _heard(drifts: tuple[Drift, ...]) -> tuple[Drift, ...]:
    """Without ports that did not answer: a device that is not there can't be mended by a reload."""
    return tuple(drift for drift in drifts if drift.what is not Difference.UNSEEN)
