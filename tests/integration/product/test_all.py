"""`ringfenced all`: one command on one host, and two VMs of a tenant reach each other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from topologies.control import ringfence, ringfenced
from topologies.deadline import until
from topologies.lab import Lab
from topologies.nodes.hypervisor import OVS_RUN_DIRECTORY, Hypervisor, plug
from topologies.traffic.ping import ping

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
MANIFEST = """
{"apiVersion": "ringfence/v1", "kind": "Tenant", "metadata": {"name": "solo"}}
---
{"apiVersion": "ringfence/v1", "kind": "Network", "metadata": {"name": "net", "tenant": "solo"},
 "spec": {"subnets": ["10.9.0.0/24", "fd00:9::/64"]}}
---
{"apiVersion": "ringfence/v1", "kind": "Port", "metadata": {"name": "a", "tenant": "solo"},
 "spec": {"network": "net", "hosts": ["hv1"]}}
---
{"apiVersion": "ringfence/v1", "kind": "Port", "metadata": {"name": "b", "tenant": "solo"},
 "spec": {"network": "net", "hosts": ["hv1"]}}
"""


# No machine has a NIC there.
HARDWARE = """
{"apiVersion": "ringfence/v1", "kind": "Sku", "metadata": {"name": "odd"},
 "spec": {"pfs": [{"name": "rail0", "pci": "ffff:ff:1f.7", "kind": "roce", "rail": 0}]}}
---
{"apiVersion": "ringfence/v1", "kind": "Fabric", "metadata": {"name": "east"},
 "spec": {"kind": "roce", "rails": [{"name": "rail0"}]}}
---
{"apiVersion": "ringfence/v1", "kind": "Node", "metadata": {"name": "n1"},
 "spec": {"sku": "odd", "fabric": "east", "host": "hv1"}}
"""


class Machine:
    """One host of a fabric with `ringfenced all` on it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.host: Hypervisor = lab.hypervisors[0]
        self.run = self.host.directory / "rf"
        self.run.mkdir()
        self.environment = {"PYTHONPATH": str(ROOT), "RINGFENCE_API": f"unix:{self.run / 'api.sock'}"}
        command = ringfenced(
            "all", "--dir", str(self.host.directory / "state"), "--run-dir", str(self.run),
            "--ovs-rundir", OVS_RUN_DIRECTORY, "--datapath", self.host.datapath.value,
            "--vtep", self.host.vtep_address,
        )  # fmt: skip
        self.daemon = self.host.daemon("all", command, (self.run / "api.sock").exists, env=self.environment)
        self.daemon.start()

    def cli(self, *words: str, stdin: str = "") -> str:
        done = subprocess.run(
            ringfence(*words),
            input=stdin,
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=90,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def children(self) -> dict[str, int]:
        """Process ids by name."""
        found = {}
        for line in (self.daemon.log).read_text().splitlines():
            if "started process=" in line:
                words = dict(w.split("=", 1) for w in line.split() if "=" in w)
                found[words["process"]] = int(words["pid"])
        return found


def test_one_command_makes_a_working_machine(fabric_lab: Callable[..., Lab]) -> None:
    machine = Machine(fabric_lab(2))
    until("declared by itself", lambda: "hv1" in machine.cli("get", "hypervisors"), 30)
    machine.cli("apply", "-f", "-", "--wait", stdin=MANIFEST)
    ports = {p["metadata"]["name"]: p for p in json.loads(machine.cli("get", "ports", "-o", "json"))["items"]}
    vms = {}
    for name, port in ports.items():
        vms[name] = machine.lab.vm(f"solo-{name}")
        addresses = [f"{a}/{24 if '.' in a else 64}" for a in port["spec"]["addresses"]]
        plug(machine.host, vms[name], f"tap-{name}", port["metadata"]["uid"], port["spec"]["mac"], addresses)
    for address in ports["b"]["spec"]["addresses"]:
        until(f"reaches {address}", lambda a=address: ping(vms["a"], a, 1, wait=0.5).reached, 30)
    until("in sync", lambda: hosts(machine)[0]["state"] == "in-sync", 30)
    # The agent tells of this machine's own devices, and they are not what the SKU says.
    machine.cli("apply", "-f", "-", stdin=HARDWARE)
    until("its devices are told", lambda: inventory(machine)["state"] == "differs", 60)
    found = inventory(machine)
    assert [one["rule"] for one in found["pfs"][0]["differences"]] == ["pf-missing"]
    there = {path.name for path in Path("/sys/bus/pci/devices").glob("*")}
    assert {each["pci"] for each in found["strangers"]} <= there


def test_a_part_that_dies_is_started_again(fabric_lab: Callable[..., Lab]) -> None:
    lab = fabric_lab(2)
    log = lab.hypervisors[0].directory / "all.out"
    before = started(log, "agent")
    assert before, "the test before left the machine running"
    inside = before[-1]
    # the log has process ids of the lab's own namespace: the signal is sent from inside
    lab.hypervisors[0].run([sys.executable, "-c", f"import os; os.kill({inside}, {int(signal.SIGKILL)})"])
    until("the agent runs again", lambda: len(started(log, "agent")) > len(before), 30)


def started(log: Path, name: str) -> list[int]:
    lines = [line for line in log.read_text().splitlines() if f"started process={name} pid=" in line]
    return [int(line.rsplit("pid=", 1)[1]) for line in lines]


def inventory(machine: Machine) -> dict:
    return dict(json.loads(machine.cli("ipam", "inventory", "--node", "n1", "-o", "json"))["nodes"][0])


def hosts(machine: Machine) -> list[dict]:
    return list(json.loads(machine.cli("status", "-o", "json"))["hosts"])
