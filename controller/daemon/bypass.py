"""Bypass: wires the counting of gangs' devices together: devices, a journal of their own, the way to the API.

Place: started by `ringfenced agent` beside the switch's meter, whose journal, sequence numbers and runs are
others. Must not hold logic.
"""

from __future__ import annotations

import random
import time
from functools import partial
from pathlib import Path
from typing import Final

from accounting.journal import Journal
from controller.agent.gauging import Clocks, Gauging
from controller.agent.upload import Post, Uploader
from controller.agent.withheld import Held
from ipam.devices import tallies, vf_counts
from model.ids import HostName

JOURNAL: Final = "devices"
REFUSED: Final = "devices-refused.jsonl"


class Bypass:
    """`state`: the agent's directory. `root`: where sysfs is mounted."""

    def __init__(self, state: Path, host: HostName, post: Post, root: Path, boot_id: str) -> None:
        self._journal = Journal(state / JOURNAL)
        self._uploader = Uploader(self._journal, host, post, state / REFUSED, random.Random())
        self.gauging = Gauging(
            self._journal,
            partial(tallies.observe, root, vf_counts.observe),
            host,
            boot_id,
            CLOCKS,
            self._uploader.wake,
        )

    @property
    def withheld(self) -> Held:
        """See Uploader."""
        return self._uploader.withheld

    def alarms(self) -> tuple[str, ...]:
        """See Gauging."""
        return self.gauging.alarms()

    def start(self) -> None:
        """Begin to read, and to upload what earlier lives left behind."""
        self._uploader.start()
        self.gauging.start()

    def stop(self) -> None:
        """End its threads; what is not uploaded stays in the journal. After the devices' own threads."""
        self.gauging.stop()
        self._uploader.stop()
        self._journal.close()


def _now() -> int:
    return time.time_ns() // 1_000_000


def _up() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000


CLOCKS: Final = Clocks(_now, _up)
"""Of this host."""
