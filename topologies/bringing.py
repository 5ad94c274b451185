"""A lab into the background: start its holder, show its progress, return when it serves.

Place: effects; for `python -m topologies` and the demonstration. Must not build a lab itself: a holder does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

from topologies import directory
from topologies.errors import LabError

UNFIT: Final = 4
"""Exit code: this machine can't run labs."""
TIMEOUT: Final = 180.0
_POLL: Final = 0.1
_TAIL: Final = 60


def bring_up(topology: str, name: str, hypervisors: int, bare: str = "", timeout: float = TIMEOUT) -> None:
    """Start a holder, show its progress, return when the lab serves; LabError with its log's tail."""
    path = directory.place(name)
    directory.clear(name)
    log = directory.log_of(path)
    log.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    words = [
        sys.executable,
        "-m",
        "topologies",
        "hold",
        topology,
        name,
        str(hypervisors),
        *([bare] if bare else []),
    ]
    root = Path(__file__).resolve().parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with log.open("w") as sink, log.open() as progress:
        holder = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True, env=environment
        )
        directory.note_holder(name, holder.pid)
        try:
            _follow(name, holder, progress, time.monotonic() + timeout)
        except BaseException:
            holder.kill()
            holder.wait()
            directory.clear(name)
            raise


def _follow(name: str, holder: subprocess.Popen[bytes], progress: Any, end: float) -> None:
    """Show the holder's lines until it says that it is ready."""
    seen: list[str] = []
    while True:
        ended = holder.poll() is not None
        for line in progress:
            if line.strip() == "ready":
                return
            seen.append(line)
            if not ended:
                print(line, end="", file=sys.stderr, flush=True)
        if ended:
            raise LabError(f"{name} was not built:\n{''.join(seen[-_TAIL:])}")
        if time.monotonic() > end:
            raise LabError(f"{name} was not ready in time; so far:\n{''.join(seen[-_TAIL:])}")
        time.sleep(_POLL)
