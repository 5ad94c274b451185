"""The CLI: every command has help, an example and a machine-readable form, and starts lightly."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from controller.cli.commands import COMMANDS, EXIT_CODES
from controller.daemon.main import PROCESSES
from tests.meta.tree import ROOT

NAMES = [name for name, _, _ in COMMANDS]
# `lab` hands its arguments to the labs' own command, which has its own help.
OWN = [name for name in NAMES if name != "lab"]
HEAVY = {
    "asyncio", "exabgp", "fastapi", "immutables", "mininet", "numpy", "os_ken", "ovs", "pyarrow", "pydantic",
    "pyroute2", "requests", "rich", "scapy", "sqlalchemy", "starlette", "uvicorn", "yaml",
}  # fmt: skip
PROBE = """
import json, sys
from controller.cli.main import main
try:
    code = main(sys.argv[1:])
except SystemExit as end:
    code = end.code or 0
print("\\n" + json.dumps([code, sorted({name.partition(".")[0] for name in sys.modules})]))
"""


def _run(*arguments: str) -> tuple[str, int, set[str]]:
    """What it prints, its exit code, the top-level modules that it loaded."""
    ran = subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    text, _, last = ran.stdout.rstrip("\n").rpartition("\n")
    code, loaded = json.loads(last)
    return text, code, set(loaded)


def test_help_loads_nothing_heavy() -> None:
    text, code, loaded = _run("--help")
    assert code == 0
    assert not loaded & HEAVY
    assert [name for name in NAMES if not re.search(rf"(?m)^\s+{name}\s", text)] == []


def test_the_probe_sees_modules() -> None:
    """The probe would pass on an empty list, too."""
    assert {"argparse", "controller", "sys"} <= _run("--help")[2]


@pytest.mark.parametrize("name", OWN)
def test_every_command_has_help(name: str) -> None:
    text, code, loaded = _run(name, "--help")
    assert code == 0
    assert f"ringfence {name}" in text
    assert "json" in text, "no machine-readable form"
    assert "example" in text.lower(), "no example"
    assert not loaded & HEAVY


def test_the_lab_has_help() -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name("ringfence"), "lab", "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert [word for word in ("up", "status", "exec", "down") if word not in ran.stdout] == []


def test_the_page_names_every_command_and_exit_code() -> None:
    page = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [name for name in NAMES if f"ringfence {name}" not in page] == []
    assert [code for code, _ in EXIT_CODES if not re.search(rf"\b{code}\b", page)] == []


@pytest.mark.parametrize("name", [name for name, _, _ in PROCESSES])
def test_every_process_has_help(name: str) -> None:
    ran = subprocess.run(
        [Path(sys.executable).with_name("ringfenced"), name, "--help"],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith(f"usage: ringfenced {name}")
