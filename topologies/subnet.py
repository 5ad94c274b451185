"""Subnet: a simulated InfiniBand fabric with OpenSM: a port on each rail of each node, a leaf a rail, spines.

Place: made by tests of the fabric's driver. Must not be taken for hardware: ibsim knows no VFs or alias GUIDs
(a VF is an adapter of its own here), enforces no M_Key and moves no data.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from topologies.cell import Cell, Streams
from topologies.directory import LabDirectory, claim
from topologies.errors import LabError
from topologies.process import Daemon, Outcome

TOOLS: Final = ("ibsim", "opensm", "smpquery", "saquery", "sminfo")
MANAGERS: Final = (0x0002C90300000001, 0x0002C90300000011)
"""Port GUIDs of two hosts that may run a subnet manager; the first one does."""
SPINES: Final = 2
POD: Final = 32
"""Nodes at a leaf: half of a switch with 64 ports."""
PRELOAD: Final = "/usr/lib/x86_64-linux-gnu/umad2sim/libumad2sim.so"
_ROOM: Final = ("-N", "8192", "-S", "512", "-P", "65536")
"""Nodes, switches and ports that ibsim makes room for; by itself it takes 2,048 nodes."""
_VF: Final = 0x0200_0000_0001_0000
_ASK_TIMEOUT: Final = 30.0


def port(node: int, rail: int) -> int:
    """Port GUID of a node's VF on a rail; its node GUID is one less."""
    return _VF + node * 0x100 + rail * 0x10 + 1


def adapter(node: int, rail: int) -> str:
    """What ibsim calls it; also the host that a program there is attached to."""
    return f"n{node}-r{rail}"


def drawing(nodes: int, rails: int) -> str:
    """ibsim's network file: up to so many nodes as a leaf has room for one leaf a rail, else a leaf for each
    rail of each pod. The managers are at the first leaf.
    """
    pods = [range(first, min(first + POD, nodes)) for first in range(0, nodes, POD)]
    parts = [
        _hca(f"sm{place}", guid, _leaf(0, 0, pods), len(pods[0]) + SPINES + 1 + place)
        for place, guid in enumerate(MANAGERS)
    ]
    for n in range(nodes):
        pod, place = divmod(n, POD)
        parts.extend(_hca(adapter(n, r), port(n, r), _leaf(r, pod, pods), place + 1) for r in range(rails))
    for pod, members in enumerate(pods):
        used = len(members) + SPINES
        for r in range(rails):
            lines = [f'[{place}] "{adapter(n, r)}"[1]' for place, n in enumerate(members, start=1)]
            if (pod, r) == (0, 0):
                lines += [f'[{used + 1 + place}] "sm{place}"[1]' for place in range(len(MANAGERS))]
            lines += [f'[{len(members) + s + 1}] "spine{s}"[{pod * rails + r + 1}]' for s in range(SPINES)]
            parts.append("\n".join((f'Switch {used + len(MANAGERS)} "{_leaf(r, pod, pods)}"', *lines)))
    for s in range(SPINES):
        lines = [
            f'[{pod * rails + r + 1}] "{_leaf(r, pod, pods)}"[{len(members) + s + 1}]'
            for pod, members in enumerate(pods)
            for r in range(rails)
        ]
        parts.append("\n".join((f'Switch {len(lines)} "spine{s}"', *lines)))
    return "\n\n".join(parts) + "\n"


def _leaf(rail: int, pod: int, pods: Sequence[range]) -> str:
    return f"leaf{rail}" if len(pods) == 1 else f"leaf{rail}-{pod}"


def _hca(name: str, guid: int, leaf: str, place: int) -> str:
    return f'caguid=0x{guid - 1:016x}\nHca 1 "{name}"\n[1]({guid:016x}) "{leaf}"[{place}]'


@dataclass(slots=True)
class Subnet:
    """`managers`: OpenSM by host. A context manager: leaving it ends everything."""

    directory: LabDirectory
    cell: Cell
    simulator: Daemon
    console: int
    managers: dict[str, Daemon] = field(default_factory=dict)

    @property
    def path(self) -> Path:
        """Directory of its files."""
        return self.directory.path

    @property
    def partitions(self) -> Path:
        """The file of the first manager."""
        return self.path / "sm0" / "partitions.conf"

    @property
    def pid_file(self) -> Path:
        """Of the first manager."""
        return self.path / "sm0" / "pid"

    def environment(self, host: str = "sm0") -> dict[str, str]:
        """For a program that is to use the port of a host."""
        return {"IBSIM_SOCKNAME": self.directory.name, "SIM_HOST": host, "LD_PRELOAD": PRELOAD}

    def manager(self, host: str, guid: int, settings: str = "") -> Daemon:
        """OpenSM on a host, not started; its settings are lines of opensm.conf."""
        home = self.path / host
        home.mkdir(exist_ok=True)
        (home / "opensm.conf").write_text(f"force_log_flush TRUE\nsweep_interval 0\n{settings}")
        log = home / "opensm.log"
        files = ("-F", str(home / "opensm.conf"), "-P", str(home / "partitions.conf"), "-f", str(log))
        made = Daemon(
            f"opensm-{host}",
            self.cell,
            [*self._here(), "opensm", *files, "-g", f"0x{guid:016x}"],
            home / "out",
            lambda: log.exists() and any(word in log.read_text() for word in ("SUBNET UP", "STANDBY state")),
            env=self._whole(host) | {"OSM_CACHE_DIR": f"{home}/", "OSM_TMP_DIR": f"{home}/"},
            before=lambda: log.unlink(missing_ok=True),
        )
        self.managers[host] = made
        return made

    def start(self, host: str = "sm0") -> None:
        """Start its manager, and write down its process id."""
        self.managers[host].start()
        (self.path / host / "pid").write_text(f"{self.managers[host].pid}\n")

    def ask(self, *command: str, host: str = "sm0") -> Outcome:
        """Run a program at a host's port."""
        done = subprocess.run(
            (*self._here(), *command),
            env=self._whole(host) | {"PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            timeout=_ASK_TIMEOUT,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr, 0.0)

    def resolves(self, first: int, second: int, host: str = "sm0") -> bool:
        """Whether the subnet manager gives a path from port to port. LabError if it does not answer."""
        gids = "-".join(
            f"fe80::{g >> 48:x}:{g >> 32 & 0xFFFF:x}:{g >> 16 & 0xFFFF:x}:{g & 0xFFFF:x}"
            for g in (first, second)
        )
        done = self.ask("saquery", "PR", "--sgid-to-dgid", gids, host=host)
        if not done.ok:
            raise LabError(f"saquery failed: {done.stderr}")
        return "PathRecord dump" in done.stdout

    def command(self, line: str) -> None:
        """To ibsim's console."""
        os.write(self.console, f"{line}\n".encode("ascii"))

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(each.tail() for each in (self.simulator, *self.managers.values()))

    def close(self) -> None:
        """End every process, remove the directory."""
        self.cell.close()
        os.close(self.console)
        self.directory.release()

    def __enter__(self) -> Subnet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _here(self) -> tuple[str, ...]:
        """The simulator's library makes directories where a program runs, and leaves them if it is killed."""
        return ("env", f"--chdir={self.path}")

    def _whole(self, host: str) -> dict[str, str]:
        return {**os.environ, **self.environment(host)}


def open_subnet(name: str, nodes: int, rails: int) -> Subnet:
    """A fabric whose first manager is made but not started. LabError names what is missing."""
    missing = [t for t in TOOLS if shutil.which(t) is None] + [p for p in (PRELOAD,) if not Path(p).exists()]
    if missing:
        raise LabError(f"a simulated fabric needs {', '.join(missing)}: `make setup` installs it")
    directory = claim(name)
    cell = Cell()
    try:
        return _begun(directory, cell, drawing(nodes, rails))
    except BaseException:
        cell.close()
        directory.release()
        raise


def _begun(directory: LabDirectory, cell: Cell, text: str) -> Subnet:
    net, out = directory.path / "net", directory.path / "ibsim.out"
    net.write_text(text)
    reader, console = os.pipe2(os.O_CLOEXEC)

    home = _Console(cell, reader)
    env = {**os.environ, "IBSIM_SOCKNAME": directory.name}
    simulator = Daemon(
        "ibsim",
        home,
        ["ibsim", *_ROOM, "-s", str(net)],
        out,
        lambda: "sim> " in out.read_text("ascii", "replace"),
        env=env,
    )
    simulator.start()
    os.close(reader)
    made = Subnet(directory, cell, simulator, console)
    made.manager("sm0", MANAGERS[0])
    return made


@dataclass(frozen=True, slots=True)
class _Console:
    """Spawns with a pipe as stdin: ibsim ends at the end of its console."""

    cell: Cell
    reader: int

    def spawn(
        self, command: Sequence[str], streams: Streams, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        return self.cell.spawn(command, Streams(self.reader, streams.stdout, streams.stderr), env)
