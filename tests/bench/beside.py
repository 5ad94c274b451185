"""Beside: a process of the benches that works while another one is measured, until it is told to end.

Place: both ends of it: `Beside` starts a module of this folder, which calls `begun` and `over`. Must not know
what is done.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from types import TracebackType

_PATIENCE = 60.0


class Beside:
    """A context manager, entered once the work has begun; afterwards `told` is what it printed at last."""

    def __init__(self, module: str, *words: object) -> None:
        """`module`: of tests.bench. `words`: its arguments."""
        self.told = ""
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Beside:
        assert self._process.stdout is not None
        self._process.stdout.readline()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        told, _ = self._process.communicate(timeout=_PATIENCE)
        if kind is None:
            self.told = told


def over() -> threading.Event:
    """In the process: set when its standard input ends, which is the word to stop."""
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    return ended


def begun() -> None:
    """In the process: whoever waits at `Beside` goes on."""
    print("begun", flush=True)
