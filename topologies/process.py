"""Processes of a lab as values and handles: the outcome of a command, and a daemon that can be hurt.

Place: between the cell and the nodes. Must not know what a daemon is for.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from topologies.cell import Streams
from topologies.deadline import PATIENCE, until
from topologies.errors import LabError

_TERM_TIMEOUT = 30.0
_KILL_TIMEOUT = 60.0
_TAIL_BYTES = 6000


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended. `code` is the exit code, negative for a signal; streams are text."""

    code: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether the exit code is 0."""
        return self.code == 0


class Spawner(Protocol):
    """Something that starts a process where it belongs (a node, in its namespaces)."""

    def spawn(
        self, command: list[str], streams: Streams, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]: ...


@dataclass(slots=True)
class Daemon:
    """A long-running process: started, killed, frozen and started again; its output goes to `log`.

    `ready` is polled after each start. `before` clears what a killed predecessor left (stale sockets);
    `begun` is told each process that was started. `since`: when the last one was, as time.monotonic() says.
    """

    name: str
    home: Spawner
    command: list[str]
    log: Path
    ready: Callable[[], object]
    env: Mapping[str, str] | None = None
    before: Callable[[], None] | None = None
    begun: Callable[[subprocess.Popen[bytes]], None] | None = None
    ready_timeout: float = PATIENCE
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    since: float = field(default=0.0, init=False)

    @property
    def pid(self) -> int:
        """Process id in the caller's namespace; LabError if it does not run."""
        if self.process is None or self.process.poll() is not None:
            raise LabError(f"{self.name} does not run")
        return self.process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists and has not ended."""
        return self.process is not None and self.process.poll() is None

    def launch(self) -> None:
        """Start without waiting for readiness (`await_ready` does)."""
        if self.running:
            raise LabError(f"{self.name} already runs")
        if self.before is not None:
            self.before()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.since = time.monotonic()
        with self.log.open("ab") as log:
            self.process = self.home.spawn(
                self.command, Streams(stdout=log, stderr=subprocess.STDOUT), env=self.env
            )
        if self.begun is not None:
            self.begun(self.process)

    def await_ready(self) -> None:
        """Poll until ready; LabError with the log's tail if it dies first or is too late."""
        started = time.monotonic()

        def settled() -> object:
            return self.ready() or not self.running

        try:
            until(f"{self.name} ready", settled, self.ready_timeout)
        except LabError as error:
            raise LabError(f"{error}\n{self.tail()}") from error
        if not self.running:
            code = self.process.returncode if self.process else None
            seconds = time.monotonic() - started
            raise LabError(f"{self.name} ended with code {code} after {seconds:.1f} s\n{self.tail()}")

    def start(self) -> None:
        """Start and wait until ready."""
        self.launch()
        self.await_ready()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process itself (not to its children)."""
        os.kill(self.pid, number)

    def stop(self) -> None:
        """SIGTERM, then SIGKILL after 30 s; nothing if it does not run."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(_TERM_TIMEOUT)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait(_KILL_TIMEOUT)

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.send(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(_KILL_TIMEOUT)

    def freeze(self) -> None:
        """SIGSTOP, and wait until every thread stands still."""
        self.send(signal.SIGSTOP)
        until(f"{self.name} stopped", lambda: _stopped(self.pid), _KILL_TIMEOUT)

    def thaw(self) -> None:
        """SIGCONT."""
        self.send(signal.SIGCONT)

    def restart(self) -> None:
        """Stop if it runs, start, wait until ready."""
        self.stop()
        self.start()

    def tail(self) -> str:
        """The end of the log, with a heading."""
        return f"--- {self.name}: end of {self.log.name} ---\n{tail(self.log)}"


def _stopped(pid: int) -> bool:
    """Whether all threads of a process are in state T (proc(5))."""
    states = [
        path.read_text().rpartition(")")[2].split()[0] for path in Path(f"/proc/{pid}/task").glob("*/stat")
    ]
    return set(states) == {"T"}


def tail(log: Path) -> str:
    """The last lines of a file (about 6 kB); empty if there is none."""
    try:
        with log.open("rb") as stream:
            stream.seek(0, os.SEEK_END)
            stream.seek(max(0, stream.tell() - _TAIL_BYTES))
            return stream.read().decode(errors="replace")
    except OSError:
        return ""


def listens(path: Path) -> bool:
    """Whether a process accepts connections on this unix socket (a stale one refuses)."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
