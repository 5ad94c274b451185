"""Seating: where ports sit in the switch, on disk, as soon as it is so.

Place: held by `controller.agent.vantage`. The saved snapshot says the same, but some seconds late: an agent
that is killed in between would find ports that count, and not know whether they have sat there all the time.
Must not judge. What can't be read counts as not known: then the snapshot has to do.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.agent import private
from model.ids import PortKey, Uid

LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a port sits in the switch: another one means that it was pulled out in between."""

    port: PortKey
    name: str
    ofport: int


Seats = Mapping[Uid, Seat]


class Seating:
    """`path`: the file; None = nothing is kept."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def load(self, started: str) -> dict[Uid, Seat] | None:
        """The seats in this life of ovs-vswitchd; None if they are not known."""
        if self._path is None:
            return None
        try:
            plain = json.loads(self._path.read_text())
            if not started or plain["started"] != started:
                return None
            rows = [(Uid(str(u)), PortKey(int(p)), str(n), int(o)) for u, p, n, o in plain["seats"]]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            LOG.warning("seats passed over path=%s: %s", self._path, error)
            return None
        return {uid: Seat(port, name, ofport) for uid, port, name, ofport in rows}

    def save(self, started: str, seats: Seats) -> bool:
        """Whether it is written. By renaming, and not to outlive the host: its switch begins anew then."""
        if self._path is None:
            return True
        rows = [(uid, seat.port, seat.name, seat.ofport) for uid, seat in seats.items()]
        part = self._path.with_suffix(".part")
        try:
            with open(part, "w", encoding="utf-8", opener=private.opener) as out:
                out.write(json.dumps({"started": started, "seats": rows}, separators=(",", ":")))
            os.replace(part, self._path)
        except OSError as error:
            LOG.warning("seats not kept path=%s: %s", self._path, error)
            return False
        return True
