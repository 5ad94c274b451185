"""Programs: one that asks something is run, its answer taken, and it is ended when it takes too long.

Place: under `diagnostics` and `reading`. Must not wait for ever: also a program that can't be killed, because
the kernel holds it, is left behind.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

MOST: Final = 1 << 24
"""Octets that are believed."""
_LAST: Final = 1.0
"""Seconds that a killed program has to be gone."""


@dataclass(frozen=True, slots=True)
class Told:
    """`code`: None = it was ended. `text`: what it printed until then."""

    code: int | None
    text: str


def run(
    command: Sequence[str], text: str, environment: Mapping[str, str], directory: str, seconds: float
) -> Told | None:
    """None: it is missing. `environment`: added to this process' own; `text`: its stdin."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C", **environment},
            cwd=directory,
            start_new_session=True,
        )
    except OSError:
        return None
    try:
        out, _ = process.communicate(text.encode("ascii"), timeout=seconds)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, code = _rest(process), None
    return Told(code, out[:MOST].decode("ascii", "replace"))


def _rest(process: subprocess.Popen[bytes]) -> bytes:
    try:
        out, _ = process.communicate(timeout=_LAST)
    except subprocess.TimeoutExpired as error:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        return error.output or b""
    return out
