"""Control: starts the product's own processes in a lab, hurts them, and speaks to them through the CLI.

Place: between scenarios and the `ringfenced` and `ringfence` commands; their command lines stand here once.
Must not import the product: a lab runs what a user would run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from topologies.deadline import until
from topologies.errors import CommandFailed
from topologies.fabrics import ASN
from topologies.lab import Lab
from topologies.nodes.hypervisor import OVERLAY_BRIDGE, OVS_RUN_DIRECTORY, Hypervisor
from topologies.nodes.node import LabNode
from topologies.process import Daemon, Outcome, listens

NODE = "ctl"
AGENT, SPEAKER, STORE, API, SERVICES = "agent", "speaker", "store", "api", "services"
UNHEARD = "unheard"
"""State of a host whose agent has not spoken since it was started; a word of the labs, not of the product."""
_ROOT = Path(__file__).resolve().parent.parent
_CLI_TIMEOUT = 120.0
_BRIDGE_TIMEOUT = 60.0
READ_EVERY = "1"
"""Seconds between readings of the egress counters: often, so that nobody waits for the ledger."""


def ringfenced(*arguments: str) -> list[str]:
    """Command line of a product process, run by this very Python."""
    return [sys.executable, "-m", "controller.daemon.main", *arguments]


def ringfence(*arguments: str) -> list[str]:
    """Command line of the CLI."""
    return [sys.executable, "-m", "controller.cli.main", *arguments]


class Control:
    """Store and API in a node of their own (`ctl`), a speaker and an agent on each hypervisor; where `serve`
    is called, what answers ports, too.

    Daemons: `store`, `api`, `agents[host]`, `speakers[host]`, `services[host]` where there are any; each can
    be killed, frozen, thawed, started.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.node = LabNode(NODE, lab.cell, lab.directory)
        lab.add(self.node)
        self.store_socket = lab.directory.path / "store.sock"
        self.api_socket = lab.directory.path / "api.sock"
        self.store = self._store()
        self.api = self._api()
        self.speakers = {h.name: self._speaker(h) for h in lab.hypervisors}
        self.agents = {h.name: self._agent(h) for h in lab.hypervisors}
        self.services: dict[str, Daemon] = {}

    @property
    def environment(self) -> dict[str, str]:
        """What the CLI needs to find this lab's API."""
        return {"RINGFENCE_API": f"unix:{self.api_socket}", **python_path()}

    def speaker_socket(self, host: str) -> Path:
        """Where the agent of a host attaches to its speaker."""
        return self.lab.directory.path / host / "speaker.sock"

    def start_center(self) -> None:
        """Start the store, then the API."""
        self.store.start()
        self.api.start()

    def start_edges(self) -> None:
        """Start all speakers and agents, and wait until each agent has made br-int.

        An agent waits for its host's declaration: apply the Hypervisor documents first.
        """
        daemons = [*self.speakers.values(), *self.agents.values()]
        for daemon in daemons:
            daemon.launch()
        for daemon in daemons:
            daemon.await_ready()

    def revive(self, host: str) -> None:
        """Start speaker and agent of a host again, those that do not run (after `faults.boot`, say)."""
        for daemon in (self.speakers[host], self.agents[host]):
            if not daemon.running:
                daemon.start()

    def serve(self, host: Hypervisor, *flags: str) -> Daemon:
        """Start, on a host, what answers its ports, with these settings."""
        self.services[host.name] = self._services(host, *flags)
        self.services[host.name].start()
        return self.services[host.name]

    def unserve(self, host: Hypervisor) -> None:
        """End that, and let the host know that it serves no names any more."""
        self.services.pop(host.name).stop()
        del host.daemons[SERVICES]  # a lab has the daemons that are to run
        host.vsctl("--if-exists", "del-port", "br-int", "rf-services")

    def audit_every(self, host: Hypervisor, seconds: int) -> None:
        """Restart the agent of a host as one that looks at its switch that often (default: each minute)."""
        self.set_agent(host, "--audit-every", str(seconds))

    def set_agent(self, host: Hypervisor, *flags: str) -> None:
        """Restart the agent of a host as one with these settings besides."""
        self.agents[host.name].stop()
        self.agents[host.name] = self._agent(host, *flags)
        self.agents[host.name].start()

    def set_api(self, *flags: str) -> None:
        """Restart the API as one with these settings besides."""
        self.api.stop()
        self.api = self._api(*flags)
        self.api.start()

    def outfit(self, host: Hypervisor, kernel: Path) -> None:
        """Restart the agent of a host as one whose VFs are those of a simulated kernel (`firmware`)."""
        self.agents[host.name].stop()
        daemon = self._agent(host)
        words = daemon.command[daemon.command.index(AGENT) + 1 :]
        daemon.command = [sys.executable, "-m", "topologies.fitted", str(kernel), *words]
        self.agents[host.name] = daemon
        daemon.start()

    def skew(self, host: Hypervisor, clock: Path) -> None:
        """Restart the agent of a host as one whose wall clock is off by what a file says (`wallclock`)."""
        self.agents[host.name].stop()
        daemon = self.agents[host.name]
        words = daemon.command[daemon.command.index(AGENT) + 1 :]
        daemon.command = [sys.executable, "-m", "topologies.skewed", str(clock), *words]
        daemon.start()

    def run(self, *arguments: str, stdin: str = "", timeout: float = _CLI_TIMEOUT) -> Outcome:
        """Run `ringfence ARGUMENTS` and return how it ended."""
        command = ["env", *(f"{k}={v}" for k, v in self.environment.items()), *ringfence(*arguments)]
        return self.node.attempt(command, timeout, stdin.encode())

    def hosts(self) -> dict[str, dict[str, Any]]:
        """The hosts in `ringfence status`, by name; none if it does not answer.

        One that was not heard from since its agent was started has the state UNHEARD: what the one before it
        has said stands there until then, and counts for nothing.
        """
        asked = time.monotonic()
        done = self.run("status", "-o", "json")
        found = {host["name"]: host for host in json.loads(done.stdout)["hosts"]} if done.ok else {}
        for name, agent in self.agents.items():
            age = found[name]["heartbeatAgeMs"] if name in found else None
            if age is not None and agent.running and age >= (asked - agent.since) * 1000:
                found[name]["state"] = UNHEARD
        return found

    def apply(self, documents: Sequence[dict[str, Any]]) -> str:
        """`ringfence apply -f -`; CommandFailed with its messages."""
        # JSON is YAML: one document a line, between separators.
        text = "".join(f"---\n{json.dumps(d)}\n" for d in documents)
        outcome = self.run("apply", "-f", "-", stdin=text)
        if not outcome.ok:
            raise CommandFailed(
                f"ringfence apply ended with code {outcome.code}\n{outcome.stdout}{outcome.stderr}"
            )
        return outcome.stdout

    def get(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """`ringfence get KIND -o json` as a list of documents."""
        outcome = self.run("get", kind, *arguments, "-o", "json")
        if not outcome.ok:
            raise CommandFailed(f"ringfence get {kind} ended with code {outcome.code}\n{outcome.stderr}")
        found = json.loads(outcome.stdout)
        if isinstance(found, dict):
            found = found.get("items", [found])
        return list(found)

    def _store(self) -> Daemon:
        directory = self.lab.directory.path / STORE
        command = ringfenced(STORE, "--dir", str(directory), "--remote", f"unix:{self.store_socket}")
        return self._daemon(self.node, STORE, command, lambda: listens(self.store_socket))

    def _api(self, *more: str) -> Daemon:
        ledger = self.lab.directory.path / "ledger.db"
        reflectors = [word for r in self.lab.reflectors for word in ("--reflector", r.address)]
        command = ringfenced(API, "--store", f"unix:{self.store_socket}",
                             "--listen", f"unix:{self.api_socket}",
                             "--ledger", f"sqlite:///{ledger}",
                             *reflectors, *more)  # fmt: skip
        return self._daemon(self.node, API, command, lambda: listens(self.api_socket))

    def _speaker(self, host: Hypervisor) -> Daemon:
        peers = [w for r in self.lab.reflectors for w in ("--peer", r.address)]
        path = self.speaker_socket(host.name)
        command = ringfenced(SPEAKER, "--router-id", host.router_id, "--local-address", host.vtep_address,
                             "--asn", str(ASN), *peers, "--socket", f"unix:{path}",
                             "--dir", str(host.directory / SPEAKER))  # fmt: skip
        return self._daemon(host, SPEAKER, command, path.exists)

    def _agent(self, host: Hypervisor, *more: str) -> Daemon:
        command = ringfenced(AGENT, "--store", f"unix:{self.store_socket}", "--ovs-rundir", OVS_RUN_DIRECTORY,
                             "--speaker", f"unix:{self.speaker_socket(host.name)}",
                             "--api", f"unix:{self.api_socket}", "--state", str(host.directory / AGENT),
                             "--datapath", self.lab.datapath.value,
                             "--berths", str(host.directory / "berths.json"),
                             "--read-every", READ_EVERY, *more)  # fmt: skip
        return self._daemon(host, AGENT, command, (host.rundir / f"{OVERLAY_BRIDGE}.mgmt").exists)

    def _services(self, host: Hypervisor, *more: str) -> Daemon:
        command = ringfenced(SERVICES, "--state", str(host.directory / AGENT),
                             "--ovs-rundir", str(host.rundir), *more)  # fmt: skip
        ready = (Path("/proc") / str(host.pid) / "net" / "dev").read_text
        return self._daemon(host, SERVICES, command, lambda: "rf-services:" in ready())

    def _daemon(self, node: LabNode, name: str, command: list[str], ready: Callable[[], object]) -> Daemon:
        daemon = node.daemon(name, command, ready, env=python_path())
        daemon.ready_timeout = _BRIDGE_TIMEOUT
        return daemon

    def await_bound(self, timeout: float = 60.0) -> None:
        """Wait until every port that has a host of ours is reported as bound there."""
        inside = {h.name for h in self.lab.hypervisors}

        def waiting() -> list[str]:
            ports = self.get("ports")
            return [
                p["metadata"]["name"]
                for p in ports
                if inside & set(p["spec"].get("hosts", [])) and not p["status"].get("host")
            ]

        until("all ports bound", lambda: not waiting(), timeout)


def python_path() -> dict[str, str]:
    """For the product's processes: this checkout first, and programs that came with this Python."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {"PYTHONPATH": str(_ROOT), "PATH": path}
