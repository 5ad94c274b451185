"""Real VFs of a real kernel: igb's, which Debian 13's QEMU emulates, in a guest of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from accounting.classes import Direction
from accounting.encode import parse_step
from accounting.journal import Journal
from accounting.ledger import Ledger
from accounting.ledger.engine import sqlite_url
from accounting.records import Gap, Interval
from accounting.report import Grouping, Query, report
from tests.kernel.guest import Job, run
from tests.kernel.virtual import DEVICES, emulator

pytestmark = [pytest.mark.long, pytest.mark.timeout(960)]
INSIDE = "tests/kernel/functions.py"
# An emulated processor takes a minute to import what these tests do not use.
PLUGINS = [
    *("-p", "tests.kernel.aloud"),
    *(
        word
        for name in ("cacheprovider", "hypothesispytest", "xdist", "anyio")
        for word in ("-p", f"no:{name}")
    ),
]
ECHO, FRAME = 142, 200
"""Bytes: an ICMP echo of 100 bytes with its headers of 8, 20 and 14; a bare frame."""
DEADLINE = 900.0
"""Seconds; it takes 90. This guest's clock is the host's: where others compute, seconds become minutes."""
PATIENT = ("-o", "timeout=600", "-o", "faulthandler_timeout=0")
"""One test in it, accordingly; and no stacks of threads that run, which can end a Python 3.11."""


def test_vfs_are_set_as_desired_by_a_real_kernel(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-v", "--durations=6", "--noconftest", *PATIENT, *PLUGINS]
    job = Job(
        (*words, "--junitxml=/mnt/results/junit.xml", INSIDE),
        {"PYTHONUNBUFFERED": "1", "COLUMNS": "110"},
        tmp_path / "results",
        DEADLINE,
        memory=1024,
        emulator=emulator(),
        devices=DEVICES,
    )
    assert run(job) == 0
    seen = ElementTree.parse(tmp_path / "results" / "junit.xml").getroot().iter("testcase")
    assert len(list(seen)) == 10
    assert billed(tmp_path / "results/devices", tmp_path) == {
        ("t7", Direction.OUT): 500 * ECHO + 300 * FRAME + 10 * ECHO + 20 * FRAME,
        ("t7", Direction.IN): 510 * ECHO,
        ("t8", Direction.OUT): 40 * FRAME,
        ("t9", Direction.IN): 510 * ECHO + 320 * FRAME,
        ("t9", Direction.OUT): 510 * ECHO,
    }


def billed(devices: Path, tmp_path: Path) -> dict[tuple[str, Direction], int]:
    """By the ledger, of what the agent in the guest had journalled."""
    journal = Journal(devices)
    steps = [parse_step(frame.body) for frame in journal.pending(1_000)]
    journal.close()
    records = [record for step in steps for record in step.records]
    assert not [record for record in records if isinstance(record, Gap)]
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"))
    for _ in range(2):
        ledger.post([record for record in records if isinstance(record, Interval)])
    found = {}
    for tenant in ("t7", "t8", "t9"):
        for direction in Direction:
            size = report(ledger, Query(tenant, 0, 1 << 52, (Grouping.CLASS,), direction)).bytes
            found |= {(tenant, direction): size} if size else {}
    ledger.close()
    return found
