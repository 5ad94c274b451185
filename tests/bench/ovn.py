"""OVN of Debian, as the peer: one port added with `ovn-nbctl --wait=hv`, and its controller's cold start.

Place: part of `make bench`; needs root and the packages of scripts/packages-bench.txt. Databases, northd,
controller and Open vSwitch are this benchmark's own, in a run directory and a namespace of their own: no
service of the machine is touched. As many ports, switches and local interfaces as `ports` has.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from pathlib import Path
from typing import Any

from controller.southbound import rpc
from tests.bench.figures import Row, Table, resident, spread, used
from tests.bench.ports import HERE, IDLE, KNOWN, PAUSE
from tests.bench.rig import NETWORKS
from tests.contract.ovs import PrivateOvs, accepts, eventually

SAMPLES = 10
_SCHEMAS = Path("/usr/share/ovn")
_AT_ONCE = 2000
"""Ports in one call of ovn-nbctl, which reads the whole database and wakes northd each time."""
_PLUGS = 50
_PATIENCE = 300
_DAEMONS = ("nb", "sb", "northd", "controller")


class PrivateOvn:
    """`start` on a running PrivateOvs; `stop` ends what it started."""

    def __init__(self, ovs: PrivateOvs) -> None:
        self.ovs = ovs
        self.rundir = ovs.rundir
        names = ("OVN_RUNDIR", "OVN_LOGDIR", "OVN_DBDIR", "OVN_SYSCONFDIR", "OVS_RUNDIR", "OVS_LOGDIR")
        self._environment = os.environ | {name: str(self.rundir) for name in names}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        for name in ("nb", "sb"):
            self.ovs.run(
                "ovsdb-tool",
                "create",
                str(self.rundir / f"{name}.db"),
                str(_SCHEMAS / f"ovn-{name}.ovsschema"),
            )
            self._spawn(
                name, "ovsdb-server", str(self.rundir / f"{name}.db"), f"--remote=punix:{self._socket(name)}"
            )
            eventually(lambda name=name: accepts(self._socket(name)), f"{name} does not listen")  # type: ignore[misc]
        self.nb("init")
        self.sb("init")
        self.ovs.vsctl(
            "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"
        )
        ids = {
            "ovn-remote": f"unix:{self._socket('sb')}",
            "ovn-encap-type": "geneve",
            "ovn-encap-ip": "192.0.2.1",
        }
        more = {"ovn-monitor-all": "true", "ovn-openflow-probe-interval": "0"}
        pairs = [f"external_ids:{key}={value}" for key, value in (ids | more).items()]
        self.ovs.vsctl("set", "Open_vSwitch", ".", *pairs)
        self._spawn("northd", "ovn-northd", f"--ovnnb-db=unix:{self._socket('nb')}",
                    f"--ovnsb-db=unix:{self._socket('sb')}")  # fmt: skip
        self.start_controller()
        eventually(lambda: "hv1" in self.sb("--bare", "--columns=name", "list", "Chassis"), "no chassis")
        self.sb("chassis-add", "hv2", "geneve", "192.0.2.2")

    def start_controller(self) -> None:
        self._spawn("controller", "ovn-controller", self.ovs.remote)

    def kill(self, name: str) -> None:
        """End one of our processes at once."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait(30)
            (self.rundir / f"{name}.ctl").unlink(missing_ok=True)

    def stop(self) -> None:
        for name in reversed(_DAEMONS):
            self.kill(name)

    def pid(self, name: str) -> int:
        return self._processes[name].pid

    def nb(self, *arguments: str) -> str:
        """ovn-nbctl."""
        return self._tool("ovn-nbctl", "nb", *arguments)

    def sb(self, *arguments: str) -> str:
        """ovn-sbctl."""
        return self._tool("ovn-sbctl", "sb", *arguments)

    def bind_elsewhere(self) -> None:
        """Every port that is bound nowhere lives on the second chassis, until it is plugged here.

        One operation: `ovn-sbctl lsp-bind` of thousands of ports takes minutes.
        """
        (found,) = self._southbound({"op": "select", "table": "Chassis", "where": [["name", "==", "hv2"]],
                                     "columns": ["_uuid"]})  # fmt: skip
        chassis = found["rows"][0]["_uuid"]
        self._southbound(
            {
                "op": "update",
                "table": "Port_Binding",
                "where": [["chassis", "==", ["set", []]]],
                "row": {"chassis": chassis},
            }
        )

    def _southbound(self, *operations: dict[str, Any]) -> list[dict[str, Any]]:
        done: Any = rpc.call(self._socket("sb"), "transact", ["OVN_Southbound", *operations], _PATIENCE)
        faults = [result for result in done if result and "error" in result]
        if faults:
            raise RuntimeError(f"the southbound database refuses: {faults[0]}")
        return list(done)

    def flows(self) -> int:
        """How many the switch has."""
        return int(self.ovs.ofctl("dump-aggregate").rpartition("flow_count=")[2])

    def _socket(self, name: str) -> Path:
        return self.rundir / f"{name}.sock"

    def _tool(self, tool: str, database: str, *arguments: str) -> str:
        done = subprocess.run(
            [tool, f"--db=unix:{self._socket(database)}", f"--timeout={_PATIENCE}", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_PATIENCE + 10,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"{tool} {' '.join(arguments[:8])}: {done.stderr}")
        return done.stdout

    def _spawn(self, name: str, *command: str) -> None:
        daemon = [f"--log-file={self.rundir / f'{name}.log'}"]
        if name != "controller":  # which has no such option, and names its socket by its pid
            daemon.append(f"--unixctl={self.rundir / f'{name}.ctl'}")
        with (self.rundir / f"{name}.out").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command, *daemon, "-vconsole:off"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )


def run() -> tuple[Table, ...]:
    """Make it, fill it in steps, measure at each, remove it."""
    ovs = PrivateOvs()
    ovn = PrivateOvn(ovs)
    try:
        ovs.start()
        ovn.start()
        for number in range(NETWORKS):
            ovn.nb("ls-add", f"ls{number}")
        rows: list[Row] = []
        fresh = count(max(KNOWN) + 1)
        known = 0
        for size in KNOWN:
            fill(ovn, known, size)
            known = size
            rows += _added(ovn, fresh, size)
        return _times(rows), _cold(ovn)
    finally:
        ovn.stop()
        ovs.stop()


def fill(ovn: PrivateOvn, first: int, last: int, here: int = HERE) -> None:
    """Ports like those of the rig: so many are plugged here, the others live on a second chassis."""
    numbers = range(first, last)
    for some in _portions(numbers):
        ovn.nb(*_joined([_port(number) for number in some]))
    ovn.nb("--wait=sb", f"--timeout={_PATIENCE}", "sync")
    ovn.bind_elsewhere()
    for some in _portions([number for number in numbers if number < here], _PLUGS):
        _plug(ovn, *some)
    ovn.nb("--wait=hv", "sync")


def _portions(numbers: Sequence[int], most: int = _AT_ONCE) -> Iterator[list[int]]:
    left = iter(numbers)
    while some := list(islice(left, most)):
        yield some


def _joined(commands: Sequence[Sequence[str]]) -> list[str]:
    return [word for command in commands for word in ("--", *command)][1:]


def _port(number: int) -> list[str]:
    network, rank = number % NETWORKS, number // NETWORKS + 2
    mac = (2 << 40) + number
    addresses = f"10.{network}.{rank // 250}.{rank % 250 + 1} fd00:{network:x}::{rank:x}"
    address = f"{mac.to_bytes(6, 'big').hex(':')} {addresses}"
    name = f"p{number}"
    return ["lsp-add", f"ls{network}", name, "--", "lsp-set-addresses", name, address,
            "--", "lsp-set-port-security", name, address]  # fmt: skip


def _plug(ovn: PrivateOvn, *numbers: int) -> None:
    ovn.ovs.vsctl(*_joined([words for number in numbers for words in _interface(f"p{number}")]))


def _interface(name: str) -> tuple[list[str], list[str]]:
    interface = ["type=patch", "options:peer=none", f"external_ids:iface-id={name}"]
    return ["add-port", "br-int", name], ["set", "Interface", name, *interface]


def _added(ovn: PrivateOvn, fresh: Iterator[int], known: int) -> list[Row]:
    bare, bound = [], []
    for _ in range(SAMPLES):
        bare.append(_timed_add(ovn, next(fresh)))
        number = next(fresh)
        _plug(ovn, number)
        bound.append(_timed_add(ovn, number))
    what = f"{known:,} ports known: lsp-add, --wait=hv, "
    return [
        Row(what + "no interface yet", spread(bare)),
        Row(what + "interface is there", spread(bound)),
    ]


def _timed_add(ovn: PrivateOvn, number: int) -> float:
    time.sleep(PAUSE)
    began = time.perf_counter()
    ovn.nb("--wait=hv", *_port(number))
    return time.perf_counter() - began


def _times(rows: list[Row]) -> Table:
    return Table(
        "OVN on the same machine: one port",
        ("p50 ms", "p99 ms", "most ms"),
        tuple(rows),
        (
            f"{SAMPLES} samples each, {PAUSE} s apart; {NETWORKS} switches, {HERE} ports plugged here,"
            " the others bound to a second chassis",
            "without ACLs; the time includes starting ovn-nbctl, which reads its whole database",
        ),
    )


def _cold(ovn: PrivateOvn) -> Table:
    """The controller killed and started, the flows of its last life still there."""
    wanted = ovn.flows()
    if not wanted:
        raise RuntimeError("ovn-controller has programmed nothing: see its log")
    seconds = []
    for _ in range(2):
        ovn.kill("controller")
        began = time.perf_counter()
        ovn.start_controller()
        ovn.nb("--wait=hv", "sync")
        eventually(lambda: ovn.flows() >= wanted, "the flows do not come back", _PATIENCE)
        seconds.append(time.perf_counter() - began)
    pids = {name: (ovn.pid(name),) for name in _DAEMONS}
    before = {name: used(pid) for name, pid in pids.items()}
    time.sleep(IDLE)
    rows = [
        Row(f"ovn {name}", (resident(pid), (used(pid) - before[name]) / IDLE * 100, None))
        for name, pid in pids.items()
    ]
    rows.append(Row("ovn-controller killed and started, until in sync", (None, None, max(seconds))))
    return Table(
        f"OVN with {KNOWN[-1]:,} ports known",
        ("RSS MB", "idle % of a core", "s"),
        tuple(rows),
        (f"{wanted:,} flows; over {IDLE:g} s without any change",),
    )
