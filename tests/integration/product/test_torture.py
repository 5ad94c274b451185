"""The ledger's torture: known bytes of twenty ports, while a seeded driver breaks and changes what can be.

Four hosts, three tenants; agents, switches, speakers, reflectors and the centre are killed, ports move,
classes, limits, peerings, routes and NAT change, disks fill up, clocks are stepped. In the end the bill of
each tenant and class is what left the ports, or differs only within gaps that are declared, and that a killed
switch explains; no byte is billed twice. `make test-all` runs a few faults; `make torture` a thousand. There
are no policies yet.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.torture import layout, ledger
from tests.torture.arena import Arena, build
from tests.torture.driver import Driver
from tests.torture.layout import HOSTS, Care
from tests.torture.schedule import schedule
from tests.torture.traffic import RATE, Traffic
from tests.torture.verdict import NOTHING, Amount, Cell, Evidence, Seen, Verdict, judge
from topologies.deadline import until
from topologies.lab import Lab, say_on_stderr

FAULTS = int(os.environ.get("RINGFENCE_TORTURE_FAULTS", "22"))
SEED = int(os.environ.get("RINGFENCE_TORTURE_SEED", "1"))
LOG = os.environ.get("RINGFENCE_TORTURE_LOG", "")
_MARGIN, _EACH = 600, 30
FLEETING = 1.5
"""Seconds: what was sent to a destination that went in so long before may be billed to nobody."""
_WARM = 3.0

pytestmark = [
    pytest.mark.integration,
    pytest.mark.long,
    pytest.mark.timeout(_MARGIN + _EACH * FAULTS),
]


@pytest.fixture(scope="module")
def say() -> Callable[[str], None]:
    began = time.monotonic()
    if LOG:
        Path(LOG).write_text("")

    def line(text: str) -> None:
        said = f"{time.monotonic() - began:8.1f} s  {text}"
        print(said, flush=True)
        if LOG:
            with Path(LOG).open("a") as log:
                log.write(said + "\n")

    return line


@pytest.fixture(scope="module")
def arena(_labs: Any) -> Arena:
    def make(name: str) -> tuple[Lab, Arena]:
        made = build(name, say_on_stderr)
        return made.lab, made

    built: Arena = _labs.once(("torture",), make)
    return built


def test_no_fault_bills_a_byte_twice_or_loses_one_silently(arena: Arena, say: Callable[[str], None]) -> None:
    say(f"torture: {FAULTS} faults, seed {SEED}; {len(layout.streams())} streams, {RATE:g} datagrams/s each")
    before = ledger.settled(arena)
    traffic = Traffic()
    driver = Driver(arena, traffic, say)
    _start(arena, traffic)
    try:
        until("all streams flow", lambda: _flow(traffic), 30)
        driver.run(schedule(SEED, FAULTS), FAULTS)
        say(f"healing {dict(driver.done)}")
        driver.heal()
    finally:
        traffic.stop()
    _dismiss(arena, traffic)
    for host in HOSTS:  # so that none waits in a long pause between two uploads
        arena.control.agents[host].restart()
    say("waiting for all uploads")
    after = ledger.settled(arena)
    evidence = _evidence(arena, driver, before, after)
    verdict = judge(evidence)
    _tell(verdict, driver, say)
    if verdict.findings and LOG:
        _keep(arena, Path(LOG))
    assert verdict.findings == ()
    assert after.conflicts == 0
    assert not any(ledger.refused(arena, host) for host in HOSTS)


def _start(arena: Arena, traffic: Traffic) -> None:
    for stream in layout.streams():
        way = stream.way
        there = None if way.target == "server" else arena.member(way.target)
        target = arena.outside.server if there is None else there.vm
        choice = way.addresses or (() if there is None else there.addresses)
        (address,) = [a for a in choice if (":" in a) == (stream.family == 6)]
        traffic.add(stream, arena.member(way.source).vm, target, address)
    for name, member in arena.members.items():
        traffic.attend(member.vm, [s for s in layout.streams() if s.way.source == name])
    traffic.begin()


def _flow(traffic: Traffic) -> bool:
    streams = [s for s in layout.streams() if not s.way.still]
    return all(traffic.tally(stream).came > _WARM * RATE for stream in streams)


def _dismiss(arena: Arena, traffic: Traffic) -> None:
    for name, member in arena.members.items():
        traffic.dismiss(member.vm, name)


def _evidence(arena: Arena, driver: Driver, before: ledger.Books, after: ledger.Books) -> Evidence:
    seen: dict[Cell, Seen] = {}
    for stream in layout.streams():
        tally, cell = driver.traffic.tally(stream), Cell(stream.way.source, stream.way.name)
        old = seen.get(cell, Seen(NOTHING, NOTHING))
        loose = stream.way.care is Care.LOOSE
        went = driver.gone[stream.way.source] * FLEETING * RATE * stream.each if loose else 0
        seen[cell] = Seen(
            old.left + Amount(tally.left, tally.left * stream.each),
            old.came + Amount(tally.came, tally.came * stream.each),
            old.fleeting + int(went) + loose,
        )
    billed, gaps = after.since(before)
    return Evidence(
        seen,
        billed,
        gaps,
        dict(driver.kills),
        driver.shifts,
        {name: driver.traffic.stray(name) for name in arena.members},
        _told(arena, before),
    )


def _keep(arena: Arena, log: Path) -> None:
    """What one wants to see who looks for the reason: the ledger, and what the agents said."""
    with closing(sqlite3.connect(arena.lab.directory.path / "ledger.db")) as source:
        with closing(sqlite3.connect(log.with_suffix(".db"))) as target:
            source.backup(target)
    for host in HOSTS:
        log.with_suffix(f".{host}").write_bytes(arena.control.agents[host].log.read_bytes())


def _told(arena: Arena, before: ledger.Books) -> dict[Cell, Amount]:
    """What reports say more than what was in the ledger at the beginning."""
    found = ledger.told(arena)
    for cell, amount in before.billed.items():
        key = Cell(cell.port.partition("/")[0], cell.name)
        found[key] = found.get(key, NOTHING) - amount
    return {cell: amount for cell, amount in found.items() if amount != NOTHING}


def _tell(verdict: Verdict, driver: Driver, say: Callable[[str], None]) -> None:
    """The table, for people and for the docs."""
    say(f"{'tenant':8}{'class':17}{'left the ports':>16}{'came':>16}{'billed':>16}  cells exact")
    for line in verdict.lines:
        figures = "".join(f"{amount.bytes:16,}" for amount in (line.left, line.came, line.billed))
        say(f"{line.tenant:8}{line.name:17}{figures}  {line.exact} of {line.cells}")
    total = [
        sum((getattr(line, what) for line in verdict.lines), NOTHING) for what in ("left", "came", "billed")
    ]
    say(f"{'all':25}" + "".join(f"{amount.bytes:16,}" for amount in total))
    tallies = [driver.traffic.tally(stream) for stream in layout.streams()]
    refused, twice = (sum(getattr(t, what) for t in tallies) for what in ("refused", "twice"))
    say(f"sends refused by VMs' kernels: {refused}; datagrams that came twice: {twice}")
    say(f"came and not billed: {verdict.missing} bytes; gaps {verdict.causes} admit {verdict.declared} bytes")
    say(f"switches killed: {dict(driver.kills)}; agents killed on a full disk: {dict(driver.unwritten)}")
    for finding in verdict.findings:
        say(f"WRONG {finding}")
