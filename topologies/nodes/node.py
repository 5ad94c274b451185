"""LabNode: a Mininet node whose every process lives in the lab's cell, with commands that end in time.

Place: the parent of all node types. Mininet's own `cmd()` has neither exit code nor deadline: use `run()`.
Must not touch the root namespace.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mininet.node import Node

from topologies.cell import Cell, Streams
from topologies.directory import LabDirectory
from topologies.errors import CommandFailed
from topologies.process import Daemon, Outcome

RUN_TIMEOUT = 60.0
_KILL_TIMEOUT = 60.0


class LabNode(Node):
    """Network + mount namespace. `directory` is its own folder in the lab's directory (seen by all nodes)."""

    def __init__(self, name: str, cell: Cell, lab: LabDirectory, private: Sequence[str] = ()) -> None:
        """`private`: directories of the machine over which this node mounts ones of its own."""
        self.cell = cell
        self.directory = lab.path / name
        self.directory.mkdir()
        self.daemons: dict[str, Daemon] = {}
        self.mounts: Mapping[str, Path] = {
            place: self.directory / place.strip("/").replace("/", "-") for place in private
        }
        for own in self.mounts.values():
            own.mkdir()
        super().__init__(name)
        # A /proc of the cell, so that programs that look up their own process id find themselves.
        self.run(f"mount -t proc proc /proc\n{self._private()}{self._quiet()}ip link set lo up")

    def _private(self) -> str:
        """The shell lines that mount this node's own directories.

        A directory in /run that the machine lacks must not be made there (to remove it later would detach
        it from the nodes of other labs). So /run is replaced by one of the node's own that shows the rest.
        """
        if not self.mounts:
            return ""
        stage = self.directory / "run"
        stage.mkdir()
        binds = "".join(
            f"mkdir -p {place}\nmount --bind {own} {place}\n" for place, own in self.mounts.items()
        )
        # Its own are not shown first: a mount upon the machine's directory would end with that directory.
        own_names = "|".join(Path(place).name for place in self.mounts)
        return (
            f"mount -t tmpfs -o mode=755 tmpfs {stage}\ncd /run\nfor entry in *; do\n"
            f' shown="{stage}/$entry"\n case "$entry" in {own_names}) continue;; esac\n'
            f' if [ -L "$entry" ]; then cp -P "$entry" "$shown"\n'
            f' elif [ -d "$entry" ]; then mkdir "$shown"; mount --bind "$entry" "$shown" || :; fi\n'
            f"done\ncd /\nmount --rbind {stage} /run\n{binds}"
        )

    @property
    def underlay(self) -> str:
        """Its address in the underlay, for people; empty for nodes without one."""
        return ""

    def _quiet(self) -> str:
        """The shell line that keeps this node's interfaces from sending IPv6 by themselves.

        The underlay is IPv4; a host's end of a VM's link would send MLD reports and router solicitations into
        the VM, and captures would see them.
        """
        return "sysctl -qw net.ipv6.conf.default.disable_ipv6=1\n"

    def _popen(self, cmd: Sequence[str], **params: Any) -> subprocess.Popen[bytes]:
        return self.cell.popen(cmd, **params)

    def mountPrivateDirs(self) -> None:
        """Mininet mounts through its shell and hides errors; ours are mounted in __init__."""

    def unmountPrivateDirs(self) -> None:
        """They go with the mount namespace."""

    def spawn(
        self, command: list[str], streams: Streams, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a process in this node, without waiting."""
        return self.cell.spawn(["mnexec", "-a", str(self.pid), *command], streams, env)

    def attempt(
        self, command: str | Sequence[str], timeout: float = RUN_TIMEOUT, stdin: bytes | None = None
    ) -> Outcome:
        """Run to the end and return how it ended, whatever the exit code. A string goes to `sh -ec`.

        CommandFailed if it is not over after `timeout` seconds (it is then killed).
        """
        words = ["sh", "-ec", command] if isinstance(command, str) else list(command)
        started = time.monotonic()
        source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
        process = self.spawn(words, Streams(stdin=source))
        try:
            out, err = process.communicate(stdin, timeout)
        except subprocess.TimeoutExpired as error:
            _kill_session(process)
            out, err = process.communicate(timeout=_KILL_TIMEOUT)
            text = _text(out) + _text(err)
            raise CommandFailed(f"{self.name}: {command!r} not over after {timeout:g} s\n{text}") from error
        return Outcome(process.returncode, _text(out), _text(err), time.monotonic() - started)

    def run(
        self, command: str | Sequence[str], timeout: float = RUN_TIMEOUT, stdin: bytes | None = None
    ) -> str:
        """Run to the end and return stdout; CommandFailed on a non-zero exit code or after `timeout` s."""
        outcome = self.attempt(command, timeout, stdin)
        if not outcome.ok:
            raise CommandFailed(
                f"{self.name}: {command!r} ended with code {outcome.code}\n{outcome.stdout}{outcome.stderr}"
            )
        return outcome.stdout

    def daemon(
        self,
        name: str,
        command: list[str],
        ready: Callable[[], object],
        before: Callable[[], None] | None = None,
        env: Mapping[str, str] | None = None,
        begun: Callable[[subprocess.Popen[bytes]], None] | None = None,
    ) -> Daemon:
        """Declare a daemon of this node (not started); its output goes to `directory/NAME.out`."""
        log = self.directory / f"{name}.out"
        self.daemons[name] = Daemon(
            f"{self.name}/{name}", self, command, log, ready, env and {**os.environ, **env}, before, begun
        )
        return self.daemons[name]

    def discard(self) -> None:
        """Close Mininet's terminal of a node whose processes the cell has ended."""
        self.cleanup()


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill the command with all that it started in its session's process group."""
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        process.kill()


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace")
