"""A real Open vSwitch of a test's own: private run directory, own network namespace, userspace data path.

Place: made by the fixtures of tests/contract. What it starts dies with the test run (pdeathsig), and
`stop` ends each process by its own handle. Touches no other Open vSwitch.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from controller.southbound import unixctl
from topologies.deadline import PATIENCE

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"
WAIT = PATIENCE


def eventually(true: Callable[[], object], what: str, wait: float = WAIT) -> None:
    """Poll till it holds."""
    deadline = time.monotonic() + wait
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        time.sleep(0.01)


def accepts(path: Path) -> bool:
    """Whether somebody listens there; the file is there a moment earlier."""
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        return connection.connect_ex(str(path)) == 0


class PrivateOvs:
    """ovsdb-server and ovs-vswitchd in `rundir`."""

    def __init__(self) -> None:
        self.rundir = Path(tempfile.mkdtemp(prefix="rfovs"))
        self.remote = f"unix:{self.rundir}/db.sock"
        self.management = self.rundir / "br-int.mgmt"
        self._environment = os.environ | {
            name: str(self.rundir) for name in ("OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR")
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        self._spawn("namespace", "unshare", "--net", "sleep", "infinity")
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(self.namespace()) != own, "no network namespace")
        self.run("nsenter", f"--net={self.namespace()}", "ip", "link", "set", "lo", "up")
        self.run("ovsdb-tool", "create", str(self.rundir / "conf.db"), SCHEMA)
        self.start_database()
        self.vsctl("--no-wait", "init")
        self.vsctl(
            "--no-wait",
            "set",
            "Open_vSwitch",
            ".",
            "other_config:n-handler-threads=1",
            "other_config:n-revalidator-threads=1",
            "external_ids:system-id=hv1",
        )
        self.start_vswitchd()

    def stop(self) -> None:
        for name in ("vswitchd", "database", "namespace"):
            self.kill(name)
        shutil.rmtree(self.rundir, ignore_errors=True)

    def kill(self, name: str) -> None:
        """End one of our processes at once, as a crash would."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait(WAIT)

    def start_database(self) -> None:
        self._enter(
            "database",
            "ovsdb-server",
            str(self.rundir / "conf.db"),
            f"--remote=punix:{self.rundir}/db.sock",
            f"--unixctl={self.rundir}/ovsdb.ctl",
            f"--pidfile={self.rundir}/ovsdb-server.pid",
            f"--log-file={self.rundir}/ovsdb-server.log",
            "--no-chdir",
            "-vconsole:off",
        )
        eventually(lambda: accepts(self.rundir / "db.sock"), "ovsdb-server does not listen")

    def start_vswitchd(self) -> None:
        (self.rundir / "vswitchd.ctl").unlink(missing_ok=True)
        self._enter(
            "vswitchd",
            "ovs-vswitchd",
            self.remote,
            f"--unixctl={self.rundir}/vswitchd.ctl",
            f"--pidfile={self.rundir}/ovs-vswitchd.pid",
            f"--log-file={self.rundir}/ovs-vswitchd.log",
            "--no-chdir",
            "-vconsole:off",
        )
        eventually(lambda: accepts(self.rundir / "vswitchd.ctl"), "ovs-vswitchd does not start")

    def lay_bridge(self, *ports: tuple[str, int]) -> None:
        """br-int with internal ports of these numbers, and a flow-based VXLAN port 100."""
        self.vsctl(
            "add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev", "fail_mode=secure"
        )
        for name, number in ports:
            self.vsctl(
                "add-port",
                "br-int",
                name,
                "--",
                "set",
                "Interface",
                name,
                "type=internal",
                f"ofport_request={number}",
            )
        options = ("options:remote_ip=flow", "options:key=flow", "options:local_ip=192.0.2.1")
        self.vsctl(
            "add-port",
            "br-int",
            "vx",
            "--",
            "set",
            "Interface",
            "vx",
            "type=vxlan",
            "ofport_request=100",
            *options,
        )
        eventually(lambda: accepts(self.management), "br-int does not come up")

    def tell(self) -> None:
        """Have all that the data path has counted told to the flows: by the purge, and, as that passes over
        what a revalidator is at just then, by the end of its round."""
        unixctl.revalidate_purge(self.rundir)
        unixctl.revalidate_wait(self.rundir)

    def processor(self) -> float:
        """Processor seconds of ovs-vswitchd's main thread (proc(5), schedstat)."""
        pid = self._processes["vswitchd"].pid
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9

    def vsctl(self, *arguments: str) -> str:
        return self.run("ovs-vsctl", f"--timeout={WAIT:g}", f"--db={self.remote}", *arguments)

    def ofctl(self, command: str, *arguments: str) -> str:
        return self.run("ovs-ofctl", "-O", "OpenFlow14", command, f"unix:{self.management}", *arguments)

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=WAIT,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def watch(self) -> subprocess.Popen[str]:
        """A flow monitor of br-int: a line for each change of a flow."""
        return subprocess.Popen(
            [
                "setpriv",
                "--pdeathsig",
                "KILL",
                "ovs-ofctl",
                "monitor",
                f"unix:{self.management}",
                "watch:!initial",
            ],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )

    def namespace(self) -> str:
        """Path of the network namespace."""
        return f"/proc/{self._processes['namespace'].pid}/ns/net"

    def _enter(self, name: str, *command: str) -> None:
        self._spawn(name, "nsenter", f"--net={self.namespace()}", *command)

    def _spawn(self, name: str, *command: str) -> None:
        with (self.rundir / f"{name}.out").open("ab") as output:
            self._processes[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
