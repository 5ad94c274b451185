"""Seating: where ports sit in the switch, on disk, as soon as it is so.

Place: held by `controller.agent.vantage`. The saved snapshot says the same, but some seconds late: an agent
that is killed in between would find ports that count, and not know whether they have sat there all the time.
Must not judge. What can't be read counts as not known: then the snapshot has to do.
"""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

from accounting.reserve import reserve
from model.ids import PortKey, Uid

LOG: Final = logging.getLogger(__name__)
ROOM: Final = 1 << 16
"""Bytes of each file; some 900 seats. It grows with them, if there is room then."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a port sits in the switch: another one means that it was pulled out in between."""

    port: PortKey
    name: str
    ofport: int


Seats = Mapping[Uid, Seat]


class Seating:
    """In two files by turns, so that one is whole whenever the agent dies; their room on the disk is theirs
    before it is needed, so that a port which comes to a full disk is known all the same."""

    def __init__(self, path: Path | None = None) -> None:
        """`path`: what both are called, less a number; None = nothing is kept."""
        self._files = () if path is None else tuple(path.with_name(f"{path.name}.{n}") for n in range(2))
        self._number = 0

    def load(self, started: str) -> dict[Uid, Seat] | None:
        """The seats in this life of ovs-vswitchd; None if they are not known."""
        found = [sheet for file in self._files if (sheet := _read(file)) is not None]
        if not found:
            return None
        last = max(found, key=lambda sheet: sheet.number)
        self._number = last.number
        return last.seats if started and last.started == started else None

    def save(self, started: str, seats: Seats) -> bool:
        """Whether it is written. Not to outlive the host: its switch begins anew then."""
        rows = [(uid, seat.port, seat.name, seat.ofport) for uid, seat in seats.items()]
        text = json.dumps([self._number + 1, started, rows], separators=(",", ":")).encode()
        data = b"%08x %b\n" % (crc32(text), text)
        try:
            for number, file in enumerate(self._files):
                _write(file, data if number == (self._number + 1) % 2 else b"", len(data))
        except OSError as error:
            LOG.warning("seats not kept path=%s: %s", file, error)
            return False
        self._number += 1
        return True


@dataclass(frozen=True, slots=True)
class _Sheet:
    """What one of the files says; `number`: it counts up."""

    number: int
    started: str
    seats: dict[Uid, Seat]


def _read(file: Path) -> _Sheet | None:
    """None if there is none, or one that an agent died over."""
    try:
        with file.open("rb") as lines:
            check, _, text = lines.readline().partition(b" ")
        text = text.removesuffix(b"\n")
        if int(check, 16) != crc32(text):
            return None
        number, started, rows = json.loads(text)
        seats = {Uid(str(u)): Seat(PortKey(int(p)), str(n), int(o)) for u, p, n, o in rows}
        return _Sheet(int(number), str(started), seats)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        LOG.warning("seats passed over path=%s: %s", file, error)
        return None


def _write(file: Path, data: bytes, length: int) -> None:
    """Over what is there, of which the rest stays behind the end of the line. `length`: what the next one
    may need, at least."""
    out = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        reserve(out, max(ROOM, length))
        if data and os.pwrite(out, data, 0) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    finally:
        os.close(out)
