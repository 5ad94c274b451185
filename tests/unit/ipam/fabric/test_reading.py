"""The process that asks ports: it says half of it, nonsense, hangs, or is not to be had."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from ipam.fabric import programs, reading, surveyor
from ipam.fabric.diagnostics import Diagnostics
from ipam.fabric.reading import read
from model.fabric import Guid
from tests.fakes import hanging
from topologies.deadline import until

A, B, C = Guid(0x0200000000000001), Guid(0x0200000000000003), Guid(0x0200000000000005)
AMPLE = 60.0
"""Seconds for what ends by itself, on a machine that is busy with other things."""
HANG = "sleep 600 & echo $! >{pid}; wait"
WHOLE = "0200000000000001 12 64 8010 7fff"
TABLE = (0x8010, 0x7FFF, *[0] * 62)
SMPQUERY = "\n".join(
    [f"{place:4d}: {'0x8011' if not place else '0x0000'}" + " 0x0000" * 7 for place in range(0, 32, 8)]
    + ["32 pkeys capacity for this port"]
)


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the process; its text is a shell's."""
    path = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setattr(reading, "_PATIENCE", 0.2)
    monkeypatch.setattr(reading, "_EACH", 0.0)
    monkeypatch.setattr(reading, "_GRACE", AMPLE)
    monkeypatch.setattr(programs, "_LAST", AMPLE)
    return path


def write(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def asked(lids: dict[Guid, int], *device: str) -> dict[Guid, tuple[int, ...] | None] | None:
    return read((A, B), lids, device, {"WHERE": "here"}, "/")


def test_what_it_is_told_and_what_it_says(program: Path, tmp_path: Path) -> None:
    write(program, f'echo "$WHERE $PWD $@" >{tmp_path}/told; cat >>{tmp_path}/told; echo {WHOLE}; echo end')
    lids = {B: 7, C: 9}
    assert asked(lids, "-C", "mlx5_0", "-P", "1") == {A: TABLE, B: None}
    assert lids == {A: 12, C: 9}, "where B was is forgotten"
    said = (tmp_path / "told").read_text().splitlines()
    assert said[0] == "here / -P -m ipam.fabric.surveyor -C mlx5_0 -P 1 0.200"
    assert said[1:] == ["0200000000000001 0", "0200000000000003 7"]


@pytest.mark.parametrize(
    ("text", "known"),
    [
        (f"echo {WHOLE}; {HANG}", TABLE),
        (f"echo {WHOLE}; kill -9 $$", TABLE),
        (f"echo {WHOLE}; trap '' TERM; printf '0200000000000003 13 64 80'; {HANG}", TABLE),
        (HANG, None),
        ("exit 4", None),
        ("echo nonsense", None),
        (f"echo {WHOLE}; echo nonsense", None),
        ("head -c 20000000 /dev/zero", None),
        ("exec 0<&-; exit 1", None),
    ],
)
def test_what_is_not_whole_is_nothing(
    program: Path, monkeypatch: pytest.MonkeyPatch, text: str, known: tuple[int, ...] | None
) -> None:
    pid = program.with_name("pid")
    write(program, text.format(pid=pid))
    if text.endswith(HANG):
        monkeypatch.setattr(reading, "_GRACE", 0.2)
        hanging.install(monkeypatch, lambda: pid.exists() and pid.read_text().endswith("\n"))
    assert asked({}) == {A: known, B: None}
    if text.endswith(HANG):
        until("its child is ended, too", lambda: not runs(int(pid.read_text())), AMPLE)


def test_nobody_is_asked_for_nothing(program: Path) -> None:
    assert read((), {}, (), {}, "/") == {}


def test_without_the_library_there_is_smpquery(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "smpquery", f"cat <<'EOF'\n{SMPQUERY}\nEOF")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    expected = dict.fromkeys((A, B), (0x8011, *[0] * 31))
    assert Diagnostics().tables([A, B]) == expected, "the program is missing"
    write(program, f"exit {surveyor.NO_LIBRARY}")
    assert Diagnostics().tables([A, B]) == expected
    write(program, f"echo {WHOLE}")
    assert Diagnostics().tables([A, B]) == {A: TABLE, B: None}


def test_a_program_that_can_not_be_ended_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its descendant has a session of its own and holds the pipe, as a process in the kernel would."""
    monkeypatch.setattr(programs, "_LAST", 0.5)
    path, pid = tmp_path / "stuck", tmp_path / "pid"
    # It is written in the session of its own: what is killed before would have been in ours.
    write(path, f"echo first; setsid sh -c 'echo $$ >{pid}; exec sleep 600' & wait")
    hanging.install(monkeypatch, lambda: pid.exists() and pid.read_text().endswith("\n"))
    try:
        assert programs.run((str(path),), "", {}, "/", 0.5) == programs.Told(None, "first\n")
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
