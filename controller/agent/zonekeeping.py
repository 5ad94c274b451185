"""Zone keeping: carries out what was decided of conntrack zones, and keeps what could not be done yet.

Place: part of the agent's hands on the switch. Must not decide.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

from controller.agent.commands import Zones
from controller.southbound import connections
from model.errors import RingfenceError

LOG: Final = logging.getLogger(__name__)


class ZoneKeeping:
    """Of the Open vSwitch in `rundir`; `datapath`: `netdev` or `system`."""

    def __init__(self, rundir: Path, datapath: str) -> None:
        self._rundir = rundir
        self._datapath = datapath
        self._flush: set[int] = set()
        self._limits: dict[int, int] = {}

    def add(self, zones: Zones) -> None:
        """To be done with the next `settle`."""
        self._flush.update(zones.flush)
        self._limits.update(zones.limits)

    def settle(self) -> None:
        """Do what is left: what fails stays, and is shown as an alarm."""
        try:
            for zone in sorted(self._flush):
                connections.flush(self._rundir, zone)
                self._flush.discard(zone)
            if self._limits:
                connections.limit(self._rundir, self._datapath, sorted(self._limits.items()))
                self._limits.clear()
        except RingfenceError as error:
            LOG.warning("conntrack zones not settled: %s", error)

    def alarms(self) -> tuple[str, ...]:
        """What is not done, in words."""
        left = len(self._flush | self._limits.keys())
        return (f"{left} conntrack zones are neither empty nor bounded: see the agent's log",) if left else ()
