"""Ledger: what the ledger holds, read once as intervals and once as a customer gets it told.

Place: gives the verdict its half that is the product's. Must not judge, nor write.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from accounting.classes import INBOUND
from accounting.encode import parse_step
from accounting.frames import Kind, parse_frames
from accounting.records import Gap as GapRecord
from accounting.records import Interval
from tests.torture.arena import Arena
from tests.torture.layout import HOSTS, TENANTS
from tests.torture.verdict import NOTHING, Amount, Cell, Gap
from topologies.deadline import until

_PATIENCE = 120.0
_QUIET = 3.0
"""Seconds: longer than a reading and an upload take."""
_EVER = ("--from", "2020-01-01", "--to", "2100-01-01")


@dataclass(frozen=True, slots=True)
class Books:
    """All of the ledger: by cell, with the names of the ports; its gaps; conflicts that it keeps."""

    billed: Mapping[Cell, Amount]
    gaps: frozenset[tuple[str, int, Gap]]
    conflicts: int

    def since(self, before: Books) -> tuple[dict[Cell, Amount], tuple[Gap, ...]]:
        """What came on top."""
        billed = {
            cell: amount - before.billed.get(cell, NOTHING)
            for cell, amount in self.billed.items()
            if amount != before.billed.get(cell, NOTHING)
        }
        return billed, tuple(gap for _, _, gap in sorted(self.gaps - before.gaps, key=lambda g: g[:2]))


def books(arena: Arena) -> Books:
    """As the ledger is now."""
    path = arena.lab.directory.path / "ledger.db"
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=20)) as database:
        rows = database.execute(
            "SELECT tenant_name, port_name, class_name, sum(packets), sum(bytes) FROM egress_interval"
            f" WHERE class & {INBOUND} = 0 GROUP BY 1, 2, 3"
        ).fetchall()
        gaps = database.execute(
            "SELECT host, sequence, tenant_name, port_name, vswitchd_start, cause, bound FROM egress_gap"
        ).fetchall()
        (conflicts,) = database.execute("SELECT count(*) FROM egress_conflict").fetchone()
    billed = {Cell(f"{t}/{p}", c): Amount(int(n), int(size)) for t, p, c, n, size in rows if n or size}
    return Books(
        billed,
        frozenset((h, s, Gap(f"{t}/{p}", h, run, cause, bound)) for h, s, t, p, run, cause, bound in gaps),
        int(conflicts),
    )


def told(arena: Arena) -> dict[Cell, Amount]:
    """`ringfence egress report --by class` of each tenant."""
    found: dict[Cell, Amount] = {}
    for tenant in TENANTS:
        words = ("egress", "report", "--tenant", tenant, *_EVER, "--by", "class", "-o", "json")
        done = arena.control.run(*words)
        assert done.ok, done.stderr
        for row in json.loads(done.stdout)["rows"]:
            cell = Cell(tenant, row["name"])
            found[cell] = found.get(cell, NOTHING) + Amount(row["packets"], row["bytes"])
    return {cell: amount for cell, amount in found.items() if amount != NOTHING}


def settled(arena: Arena) -> Books:
    """Once every host has uploaded all that it has journalled, and nothing more comes."""
    until("all is uploaded", lambda: not any(waiting(arena, host) for host in HOSTS), _PATIENCE)
    known, since = books(arena), time.monotonic()

    def still() -> bool:
        nonlocal known, since
        now = books(arena)
        if now != known:
            known, since = now, time.monotonic()
        return time.monotonic() - since > _QUIET

    until("the ledger stands still", still, _PATIENCE)
    assert not any(waiting(arena, host) for host in HOSTS)
    return known


def waiting(arena: Arena, host: str) -> int:
    """Records in a host's journal that its ledger has not acknowledged."""
    directory = arena.state(host) / "egress"
    try:
        acknowledged = int((directory / "acknowledged").read_text())
    except FileNotFoundError:
        acknowledged = 0
    found: dict[int, int] = {}
    for path in directory.glob("journal-*.log"):
        for _, frame in parse_frames(_whole(path)):
            if frame.kind is Kind.STEP and frame.number > acknowledged:
                records = parse_step(frame.body).records
                found[frame.number] = sum(isinstance(r, (Interval, GapRecord)) for r in records)
    return sum(found.values())


def refused(arena: Arena, host: str) -> str:
    """Records that the API would never take."""
    path = arena.state(host) / "egress-refused.jsonl"
    return path.read_text() if path.exists() else ""


def _whole(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
