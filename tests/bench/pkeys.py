"""How fast a gang's partition is effective on 640 nodes x 8 rails, and how fast ports are read.

Place: part of `make bench`; needs root. OpenSM on ibsim with the settings that we ship, and our driver's own
steps: partitions.conf written and read back, SIGHUP, ports asked until all have the key.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Final

from ipam.fabric.diagnostics import Diagnostics
from ipam.fabric.opensm import Clock, OpenSm, reload, spread
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.publish import publish
from model.fabric import FULL_MEMBER, Guid, PKey
from tests.bench.figures import Cost, Row, Table, timed, typical, used
from topologies.subnet import MANAGERS, Subnet, open_subnet, port

NODES, RAILS = 640, 8
GANGS: Final = (1, 128, 640)
"""Nodes of each gang, with all rails."""
ROUNDS = 5
BY_PROGRAM = 64
"""Ports that smpquery is asked for: a process each."""
SAMPLE = 8
PATIENCE = 120.0
PAUSE = 0.05
KEY = PKey(0x10)
SM = Guid(MANAGERS[0])
SHIPPED: Final = Path("packaging/opensm/opensm.conf")
_OWN: Final = ("guid", "partition_config_file")
"""Settings that the lab gives OpenSM itself."""
_KEYS: Final = re.compile(r"(?m)^(m_key|sm_key|sa_key) .*$")
_UP: Final = re.compile(r"(?m)^(\w{3} \d{2} \d{2}:\d{2}:\d{2}) (\d{6}) .*SUBNET UP")


def run() -> tuple[Table, ...]:
    """Make the fabric, measure, remove it."""
    with open_subnet("bench-pkeys", NODES, RAILS) as subnet:
        subnet.manager("sm0", SM, shipped())
        publish(subnet.partitions, Partitions((SM,)))
        began = time.perf_counter()
        subnet.start()
        up = time.perf_counter() - began
        return _effective(subnet, up), _reading(subnet)


def shipped() -> str:
    """The settings of packaging/, with keys."""
    lines = SHIPPED.read_text().splitlines()
    text = "\n".join(line for line in lines if line.split(" ")[0] not in _OWN)
    return _KEYS.sub(r"\1 0x5ca1ab1e0ddba11", text) + "\n"


def ports(nodes: int) -> tuple[Guid, ...]:
    """Of the first nodes, in order."""
    return tuple(Guid(port(node, rail)) for node in range(nodes) for rail in range(RAILS))


def wanted(nodes: int) -> Partitions:
    """One gang."""
    return Partitions((SM,), (Partition(KEY, ports(nodes)),) if nodes else ())


def _effective(subnet: Subnet, up: float) -> Table:
    diagnostics = Diagnostics(directory=str(subnet.path), environment=subnet.environment())
    rows = [Row("fabric comes up, nothing written before", (up * 1e3, *[None] * 6))]
    for nodes in GANGS:
        joined, left = [], []
        for _ in range(ROUNDS):
            joined.append(_changed(subnet, diagnostics, nodes, nodes))
            left.append(_changed(subnet, diagnostics, 0, nodes))
        rows.append(_median(f"{nodes * RAILS:,} ports join: effective", joined))
        rows.append(_median(f"{nodes * RAILS:,} ports leave: effective", left))
    clock = Clock(time.monotonic, time.sleep)
    driver = OpenSm(subnet.partitions, subnet.pid_file, SM, (SM,), diagnostics, clock, PATIENCE)
    everybody, held = ports(NODES), []
    for now in [wanted(NODES), wanted(0)] * 2:
        began = time.perf_counter()
        verdict = driver.hold(None, now, everybody)
        held.append((time.perf_counter() - began) * 1e3)
        if verdict.left or len(verdict.tables) != len(everybody):
            raise RuntimeError(f"the fabric is not as wanted: {verdict.alarms}")
    rows.append(
        Row(f"a whole round of ringfenced fabric, {len(everybody):,} ports", (median(held), *[None] * 6))
    )
    return Table(
        f"Partition keys on {NODES} nodes x {RAILS} rails (OpenSM on ibsim)",
        (
            "p50 ms",
            "most ms",
            "file ms",
            "SIGHUP to SUBNET UP ms",
            "last reading ms",
            "OpenSM cpu ms",
            "ibsim cpu ms",
        ),
        tuple(rows),
        (
            "effective: from before the file is written until every port of the gang was read with the key",
            f"medians of {ROUNDS} rounds; settings of {SHIPPED}; load average {os.getloadavg()[0]:.1f}",
            "a whole round: all ports read, file, SIGHUP, a few ports asked, all read, managers asked",
        ),
    )


def _changed(subnet: Subnet, diagnostics: Diagnostics, nodes: int, asked: int) -> tuple[float, ...]:
    """ms until all are as wanted; the file, OpenSM by its own log, and the last reading; processors."""
    guids = ports(asked)
    expected = dict.fromkeys(guids, KEY | FULL_MEMBER if nodes else None)
    processes = (subnet.managers["sm0"].pid, subnet.simulator.pid)
    before = [used([pid]) for pid in processes]
    began, moment = time.perf_counter(), time.time()
    publish(subnet.partitions, wanted(nodes))
    written = time.perf_counter()
    if not reload(subnet.pid_file):
        raise RuntimeError("OpenSM takes no signal")
    while True:
        if _have(diagnostics, spread(guids, SAMPLE), expected):
            last = time.perf_counter()
            if _have(diagnostics, guids, expected):
                break
        if time.perf_counter() - began > PATIENCE:
            raise RuntimeError(f"ports are not as wanted after {PATIENCE:.0f} s")
        time.sleep(PAUSE)
    done = time.perf_counter()
    up = _up(subnet, moment)
    spent = [(used([pid]) - each) * 1e3 for pid, each in zip(processes, before, strict=True)]
    return (done - began) * 1e3, (written - began) * 1e3, up, (done - last) * 1e3, *spent


def _have(diagnostics: Diagnostics, guids: Iterable[Guid], expected: dict[Guid, int | None]) -> bool:
    """Its own key first, or the default partition's alone."""
    for guid, table in diagnostics.tables(guids).items():
        if table is None:
            return False
        own = [entry for entry in table if entry and entry & ~FULL_MEMBER != 0x7FFF]
        if own != ([] if expected[guid] is None else [expected[guid]]) or (own and table[0] != own[0]):
            return False
    return True


def _up(subnet: Subnet, moment: float) -> float:
    """ms from a moment to the first SUBNET UP after it, by OpenSM's log."""
    log = subnet.path / "sm0" / "opensm.log"
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        for stamp, micro in _UP.findall(log.read_text("ascii", "replace")):
            year = datetime.fromtimestamp(moment).year
            at = datetime.strptime(f"{year} {stamp}", "%Y %b %d %H:%M:%S").timestamp() + int(micro) / 1e6
            if at > moment:
                return (at - moment) * 1e3
        time.sleep(PAUSE)
    raise RuntimeError("OpenSM does not say that the subnet is up")


def _median(what: str, rounds: list[tuple[float, ...]]) -> Row:
    middle = [median(each) for each in zip(*rounds, strict=True)]
    return Row(what, (middle[0], max(each[0] for each in rounds), *middle[1:]))


def _reading(subnet: Subnet) -> Table:
    diagnostics = Diagnostics(directory=str(subnet.path), environment=subnet.environment())
    everybody = ports(NODES)
    answer = diagnostics.tables(everybody)
    if None in answer.values():
        raise RuntimeError("a port does not answer")
    rows, simulator = [], subnet.simulator.pid
    for count in (RAILS, 1024, len(everybody)):
        some = everybody[:count]
        rows.append(_read(f"{count:,} ports", simulator, count, lambda some=some: diagnostics.tables(some)))  # type: ignore[misc]
    strange = replace(diagnostics, lids={})

    def lost() -> None:
        strange.lids.clear()
        strange.tables(everybody)

    rows.append(_read(f"{len(everybody):,} ports, each LID asked for", simulator, len(everybody), lost))
    some = spread(everybody, BY_PROGRAM)
    if [answer[guid] for guid in some] != [diagnostics.table(guid) for guid in some]:
        raise RuntimeError("smpquery does not say what we read")
    rows.append(
        _read(
            f"smpquery, {BY_PROGRAM} ports, one after another",
            simulator,
            BY_PROGRAM,
            lambda: [diagnostics.table(guid) for guid in some],
        )
    )
    return Table(
        "Tables of partition keys read from ports",
        ("median ms", "cpu ms", "ibsim cpu ms", "us a port", "ports/s"),
        tuple(rows),
        (
            "64 entries each: two blocks, and who it is before and after; a process for each reading",
            "cpu: of this process and its children; the simulator's is apart",
        ),
    )


def _read(what: str, simulator: int, count: int, act: Callable[[], object]) -> Row:
    before = used([simulator])
    costs: list[Cost] = [timed(act) for _ in range(ROUNDS)]
    aside = (used([simulator]) - before) / ROUNDS
    cost = typical(costs)
    return Row(
        what,
        (cost.wall * 1e3, cost.processor * 1e3, aside * 1e3, cost.wall / count * 1e6, count / cost.wall),
    )
