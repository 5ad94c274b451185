"""A small EVPN fabric for tests: namespaces on one bridge, real FRR and GoBGP, our speaker as a process.

Place: used by the tests of this folder only. Everything it starts dies with the test process (pdeathsig)
or at `close`; it ends only what it started, by process object and by namespace name.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.singular import RUN
from topologies.deadline import PATIENCE

ROOT = Path(__file__).parents[3]
ASN = 65000
FRR = Path("/usr/lib/frr")


def wait(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Poll until the condition holds; AssertionError with `what` at the deadline."""
    deadline = time.monotonic() + max(seconds, PATIENCE)
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def run(*words: str) -> str:
    """A command that must succeed; its output."""
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr or done.stdout}"
    return done.stdout


@dataclass
class Lab:
    """Namespaces `rfe<run>-NAME` with 10.99.0.N/24 and fd99::N/64 on eth0."""

    directory: Path
    names: dict[str, int] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def open(cls) -> Lab:
        lab = cls(Path(tempfile.mkdtemp(prefix="rfe", dir="/tmp")))
        lab.directory.chmod(0o755)
        run("ip", "netns", "add", lab.space("hub"))
        run("ip", "-n", lab.space("hub"), "link", "add", "br0", "type", "bridge")
        run("ip", "-n", lab.space("hub"), "link", "set", "br0", "up")
        return lab

    def space(self, name: str) -> str:
        return f"rfe{RUN}-{name}"

    def address(self, name: str) -> str:
        return f"10.99.0.{self.names[name]}"

    def address6(self, name: str) -> str:
        return f"fd99::{self.names[name]}"

    def node(self, name: str) -> None:
        self.names[name] = number = len(self.names) + 1
        space, hub = self.space(name), self.space("hub")
        run("ip", "netns", "add", space)
        run("ip", "-n", space, "link", "set", "lo", "up")
        far = ["peer", "name", f"v{number}", "netns", hub]
        run("ip", "-n", space, "link", "add", "eth0", "type", "veth", *far)
        run("ip", "-n", hub, "link", "set", f"v{number}", "master", "br0", "up")
        run("ip", "-n", space, "addr", "add", f"{self.address(name)}/24", "dev", "eth0")
        run("ip", "-n", space, "addr", "add", f"{self.address6(name)}/64", "dev", "eth0", "nodad")
        run("ip", "-n", space, "link", "set", "eth0", "up")

    def inside(self, name: str, *words: str) -> str:
        return run("ip", "netns", "exec", self.space(name), *words)

    def start(self, name: str, key: str, words: Sequence[str], **kept: Any) -> subprocess.Popen[bytes]:
        with open(self.directory / f"{key}.log", "ab") as log:
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "ip", "netns", "exec", self.space(name), *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                **kept,
            )
        self.processes[key] = process
        return process

    def kill(self, key: str, how: int = signal.SIGKILL) -> None:
        process = self.processes.pop(key)
        process.send_signal(how)
        process.wait(timeout=60)

    def speaker(self, name: str, local: str, peers: Sequence[str], *more: str) -> Path:
        """Our speaker in a namespace; the path of its agent socket."""
        socket = self.directory / f"{name}.sock"
        flags = ["--router-id", self.address(name), "--asn", str(ASN), "--socket", str(socket)]
        flags += ["--dir", str(self.directory / name), "--local-address", local, "--hold", "9"]
        for peer in peers:
            flags += ["--peer", peer]
        self.start(name, f"speaker-{name}", [sys.executable, "-m", "bgp.speaker", *flags, *more])
        return socket

    def log(self, key: str) -> str:
        return (self.directory / f"{key}.log").read_text(errors="replace")

    def frr(self, name: str, clients: Sequence[str], *lines: str) -> None:
        """FRR as a route reflector of these addresses."""
        neighbors = [f"neighbor {client}" for client in clients]
        config = [
            "hostname rr",
            "log stdout",
            f"router bgp {ASN}",
            f" bgp router-id {self.address(name)}",
            " no bgp default ipv4-unicast",
            " bgp graceful-restart",
            " no bgp suppress-duplicates",  # it swallows a change of the label alone
            *[f" {n} remote-as {ASN}" for n in neighbors],
            *[f" {n} timers connect 1" for n in neighbors],
            *[f" {n} timers 3 9" for n in neighbors],
            *lines,
            " address-family l2vpn evpn",
            *[f"  {n} activate\n  {n} route-reflector-client" for n in neighbors],
            " exit-address-family",
        ]
        self.frr_with(name, "\n".join(config) + "\n")

    def frr_with(self, name: str, text: str) -> None:
        """FRR with this bgpd.conf."""
        home = self.directory / f"frr-{name}"
        home.mkdir(exist_ok=True)
        (home / "bgpd.conf").write_text(text)
        (home / "zebra.conf").write_text("hostname rr\nlog stdout\n")
        owner = pwd.getpwnam("frr")
        for path in (home, *home.iterdir()):
            os.chown(path, owner.pw_uid, owner.pw_gid)
        self.daemon(name, "zebra")
        self.daemon(name, "bgpd")

    def daemon(self, name: str, daemon: str) -> None:
        """Start one daemon of a FRR node (again)."""
        home = self.directory / f"frr-{name}"
        (home / f"{daemon}.vty").unlink(missing_ok=True)
        paths = ["-f", str(home / f"{daemon}.conf"), "-i", str(home / f"{daemon}.pid")]
        paths += ["-z", str(home / "zserv.api"), "--vty_socket", str(home)]
        self.start(name, f"{daemon}-{name}", [str(FRR / daemon), *paths])
        wait((home / f"{daemon}.vty").exists, f"{daemon} to open its socket")

    def reload(self, name: str, text: str) -> list[str]:
        """Have `frr-reload` bring a running bgpd to this configuration; the lines in which they differed."""
        home = self.directory / f"frr-{name}"
        (home / "bgpd.conf").write_text(text)
        places = ["--confdir", str(home), "--rundir", str(home), "--vty_socket", str(home)]

        def tool(mode: str) -> str:
            words = [str(FRR / "frr-reload.py"), mode, "--daemon", "bgpd", "--stdout", *places]
            return self.inside(name, *words, str(home / "bgpd.conf"))

        told = tool("--test")
        tool("--reload")
        # heads, and two lines that it finds each time: they are the shell's, and bgpd keeps neither
        shell = ("Lines To", "=====", "no hostname", "no service integrated-vtysh-config")
        return [line for line in told.splitlines() if line and not line.startswith(shell)]

    def vtysh(self, name: str, command: str) -> Any:
        """A `show ... json` of FRR."""
        return json.loads(self.tell(name, command))

    def tell(self, name: str, *commands: str) -> str:
        """What FRR's shell says to these commands; one that it refuses fails the test."""
        home = self.directory / f"frr-{name}"
        words = [word for command in commands for word in ("-c", command)]
        said = self.inside(name, "vtysh", "--vty_socket", str(home), *words)
        assert "%" not in said, said
        return said

    def gobgp(self, name: str, peer: str) -> None:
        """GoBGP as an oracle: a client of the reflector that decodes what it reflects."""
        config = self.directory / "gobgp.json"
        families = [{"config": {"afi-safi-name": "l2vpn-evpn"}}]
        neighbor = {"config": {"neighbor-address": self.address(peer), "peer-as": ASN}, "afi-safis": families}
        neighbor["transport"] = {"config": {"passive-mode": True}}
        whole = {"global": {"config": {"as": ASN, "router-id": self.address(name)}}}
        config.write_text(json.dumps({**whole, "neighbors": [neighbor]}))
        words = ["gobgpd", "-t", "json", "-f", str(config), "--api-hosts", "127.0.0.1:50051"]
        self.start(name, "gobgpd", words)

    def oracle(self, name: str) -> list[Any]:
        """All EVPN paths that GoBGP has, as it decodes them."""
        words = ["ip", "netns", "exec", self.space(name), "gobgp", "-j", "global", "rib", "-a", "evpn"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        if done.returncode or not done.stdout.strip():
            return []
        return [path for paths in (json.loads(done.stdout) or {}).values() for path in paths]

    def close(self) -> None:
        for process in reversed(list(self.processes.values())):
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(timeout=30)
        for name in [*self.names, "hub"]:
            subprocess.run(["ip", "netns", "del", self.space(name)], timeout=60, check=False)
        shutil.rmtree(self.directory, ignore_errors=True)
