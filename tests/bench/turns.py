"""How long a change waits for a reading of 40,000 counters, in one thread, as in the agent's loop.

Place: part of `tests.bench.counters`, which gives the switch and the counters. Changes come at random
moments; readings are made at a stretch, and in turns. The switch's counters stand still, so what is read is
raised here.
"""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np

from accounting.journal import Journal
from accounting.records import Run
from controller.agent.counting import SPELL
from controller.agent.meter import Meter, Presence
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.dump import Counters
from model.snapshot import Snapshot
from tests.bench.figures import Row, Table, spread

READINGS = 8
REST = 0.4
"""Seconds between two readings."""
PAUSES = (0.004, 0.012)
"""Seconds between a change and the next one: drawn."""
_NOBODY = Presence(frozenset())


@dataclass
class Raised:
    """A channel whose counters rise with each reading, those of one in `share` ports; 0 = of none."""

    channel: Channel
    table: int
    share: int
    readings: int = -1

    def slices(self) -> Iterator[Counters]:
        self.readings += 1
        for part in self.channel.counter_slices(self.table):
            yield self._raise(part)

    def whole(self) -> Counters:
        self.readings += 1
        return self._raise(self.channel.counters(self.table))

    def _raise(self, part: Counters) -> Counters:
        packets, octets = part.packets.copy(), part.octets.copy()
        if self.share:  # the same ones in slices of any size
            some = (part.cookie >> np.uint64(20)) % np.uint64(self.share) == 0
            packets[some] += np.uint64(5 * self.readings)
            octets[some] += np.uint64(5_000 * self.readings)
        return Counters(part.cookie, packets, octets)


@dataclass
class Drive:
    """Changes and readings in turns. `delays`: of the changes that came while there was a reading."""

    meter: Meter
    run: Run
    snapshot: Snapshot
    change: Callable[[], object]
    alone: list[float] = field(default_factory=list)
    delays: list[float] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)

    def go(self, begin: Callable[[], object]) -> None:
        drawn, clock = random.Random(1), time.perf_counter
        due, reading, begun = clock(), clock() + REST, None
        while len(self.lengths) < READINGS:
            now = clock()
            if now >= due:
                self.change()
                (self.alone if begun is None or begun > due else self.delays).append(clock() - due)
                due = clock() + drawn.uniform(*PAUSES)
            elif self.meter.busy or self.meter.writing:
                if not self.meter.busy:
                    time.sleep(0.001)
                self.meter.go_on(self.snapshot, time.monotonic() + SPELL)
            elif begun is not None:
                self.lengths.append(now - begun)
                begun, reading = None, now + REST
            elif now >= reading:
                begun = now
                begin()
            else:
                time.sleep(min(due, reading) - now)


def beside(channel: Channel, table: int, snapshot: Snapshot, change: Callable[[], object]) -> Table:
    """One table for all."""
    rows = []
    run = Run(snapshot.host, "boot", "start")
    for share, words in ((0, "none has changed"), (10, "a tenth has"), (1, "all have")):
        for name in ("at a stretch", "in turns"):
            raised = Raised(channel, table, share)
            with tempfile.TemporaryDirectory(prefix="rfcount") as folder:
                now = iter(range(1_800_000_000_000, 1 << 60, 10_000))
                journal = Journal(Path(folder))
                meter = Meter(journal, raised.whole, lambda: next(now), slices=raised.slices)  # noqa: B023
                meter.tick(run, snapshot, _NOBODY)
                drive = Drive(meter, run, snapshot, change)
                if name == "in turns":
                    drive.go(lambda: meter.begin(run, _NOBODY))  # noqa: B023
                else:
                    drive.go(lambda: meter.tick(run, snapshot, _NOBODY))  # noqa: B023
                meter.stop()
                journal.close()
            waits = [max(0.0, one - median(drive.alone)) for one in drive.delays]
            rows.append(Row(f"{words}, {name}", (*spread(waits), median(drive.lengths) * 1e3)))
    return Table(
        "A change delayed by a reading in the same loop",
        ("p50 ms", "p99 ms", "most ms", "reading ms"),
        tuple(rows),
        (f"{READINGS} readings each; at a stretch one change waits for it, in turns all that come",),
    )
