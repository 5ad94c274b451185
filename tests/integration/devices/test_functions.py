"""Real VFs of a real kernel: igb's, which Debian 13's QEMU emulates, in a guest of their own."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.kernel.guest import Job, run
from tests.kernel.virtual import DEVICES, emulator

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]
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
DEADLINE = 280.0
"""Seconds; far from what it takes, on a machine that does other things as well."""


def test_vfs_are_set_as_desired_by_a_real_kernel(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "pytest", "-v", "--durations=6", "--noconftest", *PLUGINS]
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
    assert len(list(seen)) == 9
