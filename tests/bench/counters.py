"""What it costs to read 40,000 egress counters: the agent, the switch, changes beside it, and packets.

Place: part of `make bench`; needs root. A real Open vSwitch (userspace data path) in a namespace of its own.
As a program (`python -m tests.bench.counters SOCKET PAUSE`) it reads the counters again and again, until its
standard input ends, and prints how many readings that were.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import SimpleNamespace

import numpy as np
from scapy.layers.inet import UDP

from accounting.bounds import Wire
from accounting.journal import Journal
from accounting.records import Run
from controller.agent.meter import Meter, Outcome, Presence
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from model.change import Change, Part, Patch
from model.flow import Flow
from model.ids import PortKey
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.accounts import ACCOUNT_TABLE
from pipelines.compile import compile, recompile
from pipelines.shapes.paths import COUNTER
from tests.bench import packets
from tests.bench.beside import Beside, begun, over
from tests.bench.figures import Row, Table, frozen_heap, spread, timed
from tests.bench.snapshots import strangers
from tests.bench.turns import beside
from tests.contract.ovs import PrivateOvs
from tests.fakes import world

PORTS, CLASSES = 4_000, 10
COUNTERS = PORTS * CLASSES
FIRST = 100_000
"""Key of the first port that counts: none of those whose packets are forwarded."""
READINGS = 40
CHANGES = 400
MACS = 5
"""That come and go in one change; each has four flows."""
ROUNDS = 5
SECONDS = 2.0
MINUTE = 10.0
"""Seconds between two readings of an agent, unless told otherwise."""


def run() -> tuple[Table, ...]:
    """Make a switch, measure, remove it."""
    ovs = PrivateOvs()
    try:
        ovs.start()
        packets.lay(ovs)
        channel = Channel(ovs.management, Encoder(), counted=frozenset({ACCOUNT_TABLE}))
        with frozen_heap():
            packets.fill(ovs, packets.plain())
            fill(channel)
            tables = (
                _readings(ovs, channel),
                _changes(ovs, channel),
                beside(channel, ACCOUNT_TABLE, _owners(), _changer(channel)),
                _forwarding(ovs),
                _counted(),
            )
        channel.close()
        return tables
    finally:
        ovs.stop()


def fill(channel: Channel) -> None:
    """Put all of them."""
    flows = [
        Flow(COUNTER, cookies.account(PortKey(port), cls, 1), (port, cls))
        for port in range(FIRST, FIRST + PORTS)
        for cls in range(CLASSES)
    ]
    if channel.send(Patch(tuple(((flow,), ()) for flow in flows))).refused:
        raise RuntimeError("counters are refused")


def _readings(ovs: PrivateOvs, channel: Channel) -> Table:
    seconds, own, switch = [], [], []
    channel.counters(ACCOUNT_TABLE)  # it learns how many there are
    for _ in range(READINGS):
        before = ovs.processor()
        cost = timed(lambda: channel.counters(ACCOUNT_TABLE))
        seconds.append(cost.wall)
        own.append(cost.processor)
        switch.append(ovs.processor() - before)
    return Table(
        f"Reading {COUNTERS:,} egress counters",
        ("p50 ms", "p99 ms", "most ms"),
        (
            Row("one reading", spread(seconds)),
            Row("  processor time of the agent", spread(own)),
            Row("  processor time of the switch's main thread", spread(switch)),
        ),
        (f"{READINGS} readings; they reset nothing; the switch does other things between slices",),
    )


def _changes(ovs: PrivateOvs, channel: Channel) -> Table:
    """Five MACs behind a tunnel come and go: alone, and beside readings back to back."""
    alone = _come_and_go(channel)
    with Beside("counters", ovs.management, 0.0) as reading:
        beside = _come_and_go(channel)
    delays = [max(0.0, one - median(alone)) for one in beside]
    return Table(
        f"A change of {4 * MACS} flows, patch to acknowledgement, beside readings of {COUNTERS:,} counters",
        ("p50 ms", "p99 ms", "most ms"),
        (
            Row("no readings", spread(alone)),
            Row("readings back to back", spread(beside)),
            Row("  delayed by", spread(delays)),
        ),
        (f"{CHANGES} changes; {int(reading.told)} readings meanwhile, on another connection",),
    )


def _come_and_go(channel: Channel) -> list[float]:
    seconds, change = [], _changer(channel)
    for _ in range(CHANGES):
        time.sleep(0.002)
        seconds.append(change())
    return seconds


def _changer(channel: Channel) -> Callable[[], float]:
    """The MACs come, or go again; seconds until that is acknowledged."""
    base = world.two_tenants()
    some = strangers(MACS, 0)
    some = tuple(replace(one, network=next(iter(base.networks))) for one in some)
    full = world.added(base, *some)
    touched = frozenset(Change(Part.REMOTE, (one.network, one.mac)) for one in some)
    state = [(compile(base), base, full)]

    def change() -> float:
        program, old, new = state.pop()
        program, patch = recompile(program, old, new, touched)
        state.append((program, new, old))
        began = time.perf_counter()
        channel.send(patch)
        return time.perf_counter() - began

    return change


def _forwarding(ovs: PrivateOvs) -> Table:
    """In turns, so that what else the machine does hits all of them."""
    frame = [bytes(packets.frame_of(0, 1, UDP(sport=1000, dport=2000)))]
    paces = (("no readings", None), ("one reading a second", 1.0), ("readings back to back", 0.0))
    found: dict[str, list[float]] = {name: [] for name, _ in paces}
    for _ in range(ROUNDS):
        for name, pause in paces:
            if pause is None:
                found[name].append(packets.flood(ovs, SECONDS, frame))
                continue
            with Beside("counters", ovs.management, pause):
                found[name].append(packets.flood(ovs, SECONDS, frame))
    calm = median(found[paces[0][0]])
    return Table(
        "Packets a second beside readings",
        ("median packets/s", "of no readings"),
        tuple(Row(name, (median(rates), median(rates) / calm)) for name, rates in found.items()),
        (
            f"medians of {ROUNDS} rounds of {SECONDS:g} s in turns; an agent reads once in {MINUTE:g} s",
            "userspace data path without threads of its own: it forwards in the thread that answers readings",
        ),
    )


def _counted() -> Table:
    """What the agent does with a reading: intervals, on disk."""
    raw = [cookies.account(PortKey(p), c, 1) for p in range(FIRST, FIRST + PORTS) for c in range(CLASSES)]
    cookie = np.array(raw, np.uint64)
    packets_, octets = np.zeros(COUNTERS, np.uint64), np.zeros(COUNTERS, np.uint64)
    found = SimpleNamespace(cookie=cookie, packets=packets_, octets=octets)
    snapshot = _owners()
    run_ = Run(snapshot.host, "boot", "start")
    rows = []
    with tempfile.TemporaryDirectory(prefix="rfcount") as folder:
        journal, now = Journal(Path(folder)), iter(range(1_800_000_000_000, 1 << 60, 10_000))
        wires = {PortKey(port): Wire(f"tap{port}#{port}", 0) for port in range(FIRST, FIRST + PORTS)}
        meter = Meter(journal, lambda: found, lambda: next(now), read_wires=lambda: wires)
        tick: Callable[[], Outcome] = lambda: meter.tick(run_, snapshot, Presence(frozenset(wires)))  # noqa: E731
        tick()
        for share, words in ((0, "none has changed"), (10, "a tenth has"), (1, "all have")):
            walls, processors = [], []
            for _ in range(ROUNDS):
                changed = COUNTERS // share if share else 0
                packets_[:changed] += np.uint64(5)
                octets[:changed] += np.uint64(5_000)
                for port in list(wires)[: changed // CLASSES]:
                    wires[port] = Wire(wires[port].identity, wires[port].bytes + 5_000 * CLASSES)
                cost = timed(tick)
                walls.append(cost.wall)
                processors.append(cost.processor)
            rows.append(Row(words, (median(walls) * 1e3, median(processors) * 1e3)))
        journal.close()
    return Table(
        f"From {COUNTERS:,} counters to intervals on disk",
        ("median ms", "processor ms"),
        tuple(rows),
        ("after they were read, with an interface for each port; medians of 5",),
    )


def _owners() -> Snapshot:
    base = world.two_tenants()
    one = next(iter(base.ports.values()))
    ports = base.ports.mutate()
    for key in range(FIRST, FIRST + PORTS):
        ports[PortKey(key)] = replace(one, key=PortKey(key), name=f"p{key}")
    return replace(base, ports=ports.finish())


def _read(path: Path, pause: float) -> None:
    channel, ended = Channel(path, Encoder(), counted=frozenset({ACCOUNT_TABLE})), over()
    channel.counters(ACCOUNT_TABLE)
    begun()
    readings = 0
    while not ended.wait(pause):
        channel.counters(ACCOUNT_TABLE)
        readings += 1
    print(readings)


def main(words: Sequence[str]) -> None:
    """SOCKET PAUSE."""
    _read(Path(words[0]), float(words[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
