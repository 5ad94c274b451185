"""Rails: servers with simulated NICs on a simulated InfiniBand fabric with OpenSM, and two tenants.

Place: `ringfence lab up rails`, and its test. The store, the API, `ringfenced fabric`, OpenSM and what an
agent does with devices are real. The NICs are not: this kernel has no VFs of InfiniBand, so a process acts
as each server's kernel (`topologies.firmware`), and each VF is an adapter of its own in ibsim. No data moves.
Must use the product as a user does.

Servers gpu1.. have hosts hv1..; each has eight GPUs, a PF next to each, two VFs on each PF.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from controller.manifest.manifest import Source, parse
from model.fabric import Fabric, format_guid
from model.hardware import Node, NodeKey
from model.ids import HostName
from model.wanted import WantedFabric
from topologies.adapters import Adapter, adapters, drawing
from topologies.bearer import BERTHS
from topologies.control import Control, python_path, ringfenced
from topologies.errors import LabError
from topologies.fabrics import Plan
from topologies.firmware import SOCKET, Distant, find_sku
from topologies.lab import Lab, Say, open_lab, say_nothing
from topologies.nodes.node import LabNode
from topologies.nodes.rail import FabricNode, RailHost
from topologies.process import Daemon, Outcome, listens
from topologies.scenarios.two_tenants import API_VERSION, Document
from topologies.subnet import MANAGERS, PRELOAD, TOOLS

TENANTS: Final = ("acme", "umbra")
FABRIC, SKU, JOB = "ib", "rails", "train"
RAILS: Final = 8
VFS: Final = 2
NODES: Final = range(3, 17)
_BUSES: Final = (0x18, 0x40, 0x4F, 0x5E, 0x9A, 0xC0, 0xCE, 0xDC)
_GPUS: Final = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)
_PKEYS: Final = 64
"""Entries of the tables that ibsim has."""
_COOL_DOWN: Final = 10
_AT: Final = "sm0"
KERNEL, BEARER = "kernel", "devices"
"""Daemons of a host."""
DRIVER, MANAGER = "fabric", "opensm"
"""Daemons beside the simulated fabric."""
_SHIPPED: Final = Path(__file__).resolve().parents[2] / "packaging/opensm/opensm.conf"


@dataclass(slots=True)
class Rails:
    """The running lab. `adapters`: all VFs as the fabric has them."""

    lab: Lab
    control: Control
    fabric: FabricNode
    hosts: dict[str, RailHost] = field(default_factory=dict)
    adapters: tuple[Adapter, ...] = ()

    @property
    def manifests(self) -> Path:
        """What was applied."""
        return self.lab.directory.path / "manifests.yaml"

    def request(self, tenant: str) -> Path:
        """A job's request, for `ringfence gang request -f`."""
        return self.lab.directory.path / f"{tenant}.yaml"

    def nics(self, host: str) -> Distant:
        """The simulated kernel of a host."""
        return Distant(self.hosts[host].directory)

    def adapter(self, node: str, rail: int, vf: int) -> Adapter:
        """One VF."""
        for each in self.adapters:
            if (each.node, each.rail, each.vf) == (node, rail, vf):
                return each
        raise LabError(f"no VF {vf} on rail {rail} of {node}")

    def resolves(self, first: int, second: int, at: str = _AT) -> bool:
        """Whether the subnet manager gives a path from port to port, to who asks at a node. LabError if it
        does not answer."""
        done = self.ask("saquery", "PR", "--sgid-to-dgid", f"{gid(first)}-{gid(second)}", at=at)
        if not done.ok:
            raise LabError(f"saquery failed: {done.stderr}")
        return "PathRecord dump" in done.stdout

    def table(self, guid: int) -> tuple[int, ...]:
        """A port's partition keys, as smpquery reads them from the port; () if it does not answer."""
        words = self.ask("smpquery", "-G", "pkeys", f"0x{guid:016x}").stdout.split()
        return tuple(int(word, 16) for word in words if len(word) == 6 and word.startswith("0x"))

    def ask(self, *command: str, at: str = _AT) -> Outcome:
        """Run one of the diagnostics at a node's port."""
        node = self.fabric if at == _AT else self.hosts[at]
        return node.attempt(list(command))

    def settle(self) -> None:
        """Nothing is waited for that `build` did not wait for."""

    def describe(self) -> list[dict[str, Any]]:
        """There are no VMs."""
        return []

    def advice(self) -> str:
        """A walk from request to release, as commands for a shell."""
        acme = [gid(self.adapter(node, 0, 0).guid) for node in ("gpu1", "gpu2")]
        umbra = [gid(self.adapter(node, 0, vf).guid) for node, vf in (("gpu2", 1), ("gpu3", 0))]
        return _ADVICE.format(
            lab=self.lab.name,
            api=self.control.api_socket,
            acme=self.request("acme"),
            umbra=self.request("umbra"),
            own=f"{acme[0]}-{acme[1]}",
            across=f"{acme[0]}-{umbra[0]}",
            theirs=f"{umbra[1]}-{umbra[0]}",
            back=f"{umbra[1]}-{acme[0]}",
            guid=f"0x{self.adapter('gpu1', 0, 0).guid:016x}",
            berths=self.hosts["hv1"].directory / BERTHS,
        )

    def close(self) -> None:
        """Remove everything."""
        self.lab.close()

    def __enter__(self) -> Rails:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_ADVICE: Final = """\
  export RINGFENCE_API=unix:{api}
  ringfence gang request -f {acme} --wait
  ringfence gang request -f {umbra} --wait
  ringfence gang get
Now a tenant's ports find ways to each other, and none to the other tenant's, though the
second and the third of these ports are on one NIC:
  ringfence lab exec --lab {lab} hv1 saquery PR --sgid-to-dgid {own}
  ringfence lab exec --lab {lab} hv1 saquery PR --sgid-to-dgid {across}
  ringfence lab exec --lab {lab} hv3 saquery PR --sgid-to-dgid {theirs}
  ringfence lab exec --lab {lab} hv3 saquery PR --sgid-to-dgid {back}
The partition keys of a port, from the port; what a workload's CNI plugin would read; NCCL's settings; the
hardware; and store, hosts and fabric beside each other:
  ringfence lab exec --lab {lab} sm0 smpquery -G pkeys {guid}
  ringfence lab exec --lab {lab} hv1 cat {berths}
  ringfence gang export train --tenant acme --node gpu1 --as nccl
  ringfence ipam inventory
  ringfence ipam audit
And back. It ends when no port has the tenant's key any more, and no VF a driver:
  ringfence gang release train --tenant acme --wait
  ringfence gang release train --tenant umbra --wait
  ringfence lab exec --lab {lab} sm0 smpquery -G pkeys {guid}
  ringfence lab down --lab {lab}
NICs and fabric are simulated: docs/ipam.md says what that can't show."""


def build(name: str, plan: Plan, say: Say = say_nothing) -> Rails:
    """`plan.hypervisors` servers; on failure everything is removed."""
    if plan.hypervisors not in NODES:
        raise LabError(f"the lab of rails has {NODES.start} to {NODES.stop - 1} servers")
    missing = [t for t in TOOLS if shutil.which(t) is None] + [p for p in (PRELOAD,) if not Path(p).exists()]
    if missing:
        raise LabError(f"a simulated fabric needs {', '.join(missing)}: `make setup` installs it")
    lab = open_lab(name, say)
    try:
        return _built(lab, plan.hypervisors)
    except LabError as error:
        logs = lab.logs()
        lab.close()
        raise LabError(f"{error}\n{logs}") from error
    except BaseException:
        lab.close()
        raise


def _built(lab: Lab, count: int) -> Rails:
    control = Control(lab)
    control.start_center()
    lab.tick("store and API answer")
    made = Rails(lab, control, FabricNode(_AT, lab.cell, lab.directory, _simulated(lab, _AT)))
    lab.add(made.fabric)
    made.manifests.write_text(_text(documents(count)))
    for tenant, jobs in requests().items():
        made.request(tenant).write_text(_text([jobs]))
    control.apply(documents(count))
    made.adapters = _adapters(made)
    _start_fabric(made)
    lab.tick(f"ibsim has {len(made.adapters)} VFs on {RAILS} rails, OpenSM manages them")
    _start_hosts(made, count)
    lab.tick(f"{count} servers with simulated NICs run")
    return made


def documents(count: int) -> list[Document]:
    """Tenants, hosts, hardware."""
    pfs = [
        {"name": f"rail{n}", "pci": f"0000:{bus:02x}:00.0", "kind": "infiniband", "rail": n, "numa": n // 4,
         "gpu": n, "vfs": VFS, "pkeys": _PKEYS}
        for n, bus in enumerate(_BUSES)
    ]  # fmt: skip
    gpus = [{"pci": f"0000:{bus:02x}:00.0", "numa": n // 4} for n, bus in enumerate(_GPUS)]
    rails = [
        {"name": f"rail{n}", "ipv4": f"10.{128 + n}.0.0/16", "ipv6": f"fd00:128:{n}::/48", "leaf": f"leaf{n}"}
        for n in range(RAILS)
    ]
    fabric = {
        "kind": "infiniband", "pkeys": "0x0001-0x3fff", "guids": ["0200:5200:0000:0000-0200:5200:ffff:ffff"],
        "addressing": "tenant", "block4": 20, "block6": 64, "coolDown": _COOL_DOWN, "rails": rails,
    }  # fmt: skip
    found = [_document("Tenant", tenant) for tenant in TENANTS]
    found += [_document("Hypervisor", f"hv{n}", vtep=f"172.16.0.{n}") for n in range(1, count + 1)]
    found += [_document("Sku", SKU, gpus=gpus, pfs=pfs), _document("Fabric", FABRIC, **fabric)]
    found += [
        _document("Node", f"gpu{n}", sku=SKU, fabric=FABRIC, host=f"hv{n}") for n in range(1, count + 1)
    ]
    return found


def requests() -> dict[str, Document]:
    """A job of each tenant on two servers, of which one is the other's too."""
    nodes = {"acme": ["gpu1", "gpu2"], "umbra": ["gpu2", "gpu3"]}
    return {
        tenant: {"tenant": tenant, "name": JOB, "fabric": FABRIC, "nodes": nodes[tenant]}
        for tenant in TENANTS
    }


def gid(guid: int) -> str:
    """Of a port, in the subnet that OpenSM has without settings."""
    return f"fe80::{format_guid(guid)}"


def _adapters(made: Rails) -> tuple[Adapter, ...]:
    """From the manifests, and the keys that the product gave the nodes."""
    wanted = parse([Source(str(made.manifests), made.manifests.read_text())]).wanted
    (said,) = (each for each in wanted if isinstance(each, WantedFabric))
    fabric = Fabric(said.name, said.kind, said.rails, guids=said.guids)
    nodes = [
        Node(n["metadata"]["name"], NodeKey(n["status"]["key"]), SKU, FABRIC, HostName(n["spec"]["host"]))
        for n in made.control.get("nodes")
    ]
    return adapters(fabric, find_sku(made.manifests, SKU), nodes)


def _start_fabric(made: Rails) -> None:
    """First who writes the partitions, then OpenSM: without their file it opens the fabric to all."""
    home, control = made.fabric.directory, made.control
    (home / "net").write_text(drawing(made.adapters))
    os.mkfifo(home / "console")
    (home / "opensm.conf").write_text(_settings(home))
    out = home / "ibsim.out"
    # ibsim ends at the end of its console, which here has no end.
    simulator = _daemon(
        made.fabric,
        "ibsim",
        ["sh", "-c", 'exec ibsim -s "$0" <>"$1"', str(home / "net"), str(home / "console")],
        lambda: "sim> " in out.read_text("ascii", "replace"),
        {"IBSIM_SOCKNAME": made.lab.name},
    )
    partitions, log = home / "partitions.conf", home / "opensm.log"
    command = ringfenced(
        "fabric",
        "--fabric",
        FABRIC,
        "--driver",
        "opensm",
        "--store",
        f"unix:{control.store_socket}",
        "--port",
        f"0x{MANAGERS[0]:016x}",
        "--partitions",
        str(partitions),
        "--pid-file",
        str(home / "pid"),
        "--conf",
        str(home / "opensm.conf"),
    )
    driver = _daemon(made.fabric, DRIVER, command, partitions.exists, made.fabric.simulated)
    manager = _daemon(
        made.fabric,
        MANAGER,
        [
            "sh",
            "-c",
            'echo $$ >"$0"; exec "$@"',
            str(home / "pid"),
            "opensm",
            "-F",
            str(home / "opensm.conf"),
            "-f",
            str(log),
        ],
        lambda: log.exists() and "SUBNET UP" in log.read_text("ascii", "replace"),
        {**made.fabric.simulated, "OSM_CACHE_DIR": f"{home}/", "OSM_TMP_DIR": f"{home}/"},
    )
    manager.before = lambda: log.unlink(missing_ok=True)
    for daemon in (simulator, driver, manager):
        daemon.start()


def _settings(home: Path) -> str:
    """The configuration that is shipped, filled in as its text says."""
    text = _SHIPPED.read_text()
    filled = {"guid": f"0x{MANAGERS[0]:016x}", "partition_config_file": str(home / "partitions.conf")}
    filled |= {name: f"0x{secrets.randbits(63) + 2:016x}" for name in ("m_key", "sm_key", "sa_key")}
    for name, value in filled.items():
        text, count = re.subn(rf"(?m)^{name} .*$", f"{name} {value}", text)
        if count != 1:
            raise LabError(f"{_SHIPPED} has no setting {name}")
    return f"{text}force_log_flush TRUE\n"


def _start_hosts(made: Rails, count: int) -> None:
    """A kernel and, after it, the agent's device half on each."""
    kernels, bearers = [], []
    for number in range(1, count + 1):
        name = f"hv{number}"
        port = made.adapter(f"gpu{number}", 0, 0).name
        host = RailHost(name, made.lab.cell, made.lab.directory, made.fabric, _simulated(made.lab, port))
        made.hosts[name] = host
        made.lab.add(host)
        words = [str(host.directory), str(made.manifests), SKU, str(number)]
        path = host.directory / SOCKET
        kernels.append(_daemon(host, KERNEL, _python("firmware", *words), partial(listens, path), {}))
        words = [f"unix:{made.control.store_socket}", name, str(host.directory)]
        berths = host.directory / BERTHS
        bearers.append(_daemon(host, BEARER, _python("bearer", *words), berths.exists, {}))
    for daemons in (kernels, bearers):
        for daemon in daemons:
            daemon.launch()
        for daemon in daemons:
            daemon.await_ready()


def _python(program: str, *words: str) -> list[str]:
    return [sys.executable, "-m", f"topologies.{program}", *words]


def _daemon(
    node: LabNode, name: str, command: list[str], ready: Callable[[], object], env: Mapping[str, str]
) -> Daemon:
    return node.daemon(name, command, ready, env={**python_path(), **env})


def _simulated(lab: Lab, host: str) -> dict[str, str]:
    """For a program that is to use the port of an adapter."""
    return {"IBSIM_SOCKNAME": lab.name, "SIM_HOST": host, "LD_PRELOAD": PRELOAD}


def _document(what: str, name: str, /, **spec: Any) -> Document:
    made: Document = {"apiVersion": API_VERSION, "kind": what, "metadata": {"name": name}}
    return made | ({"spec": spec} if spec else {})


def _text(found: Sequence[Mapping[str, Any]]) -> str:
    return yaml.safe_dump_all([dict(each) for each in found], sort_keys=False, default_flow_style=None)
