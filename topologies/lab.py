"""Lab: the nodes of one running lab, with the cell that holds their processes and the directory of its files.

Place: made by fabrics, filled by scenarios, driven by tests and by the holder. Must not outlive `close`.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from topologies.cell import Cell
from topologies.datapath import Datapath, chosen
from topologies.directory import LabDirectory, claim
from topologies.errors import LabError
from topologies.nodes.frr import PROGRAMS, FrrHost, FrrNode
from topologies.nodes.hypervisor import SCHEMA, Hypervisor
from topologies.nodes.node import LabNode
from topologies.nodes.vm import Vm

TOOLS = ("mnexec", "setpriv", "bash", "ip", "bridge", "ethtool", "nft", "sysctl", "ping", "ovsdb-server",
         "ovsdb-tool", "ovs-vswitchd", "ovs-vsctl", "ovs-ofctl", "ovs-appctl", "vtysh")  # fmt: skip
_FILES = (SCHEMA, str(PROGRAMS / "zebra"), str(PROGRAMS / "bgpd"), "/dev/net/tun")

Say = Callable[[str], None]


def say_nothing(_line: str) -> None:
    """A listener for progress lines that does not care."""


def say_on_stderr(line: str) -> None:
    """Progress lines for a person."""
    print(line, file=sys.stderr, flush=True)


@dataclass(slots=True)
class Lab:
    """Nodes by name, by kind, in order of making. A context manager: leaving it removes everything."""

    name: str
    directory: LabDirectory
    cell: Cell
    datapath: Datapath
    say: Say = say_nothing
    nodes: dict[str, LabNode] = field(default_factory=dict)
    links: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Host name -> (fabric node, its interface) where the host is attached."""
    closed: bool = False
    started: float = field(default_factory=time.monotonic)

    def add(self, node: LabNode) -> LabNode:
        """Register a node that was made with this lab's cell and directory."""
        self.nodes[node.name] = node
        return node

    def vm(self, name: str) -> Vm:
        """Make a VM (not plugged)."""
        vm = Vm(name, self.cell, self.directory)
        self.add(vm)
        return vm

    def node(self, name: str) -> LabNode:
        """A node by name; LabError with the names there are."""
        try:
            return self.nodes[name]
        except KeyError:
            raise LabError(f"no node {name} in lab {self.name}; there are: {', '.join(self.nodes)}") from None

    @property
    def hypervisors(self) -> tuple[Hypervisor, ...]:
        """Hosts with Open vSwitch."""
        return tuple(n for n in self.nodes.values() if isinstance(n, Hypervisor))

    @property
    def reflectors(self) -> tuple[FrrNode, ...]:
        """FRR route reflectors."""
        return tuple(n for n in self.nodes.values() if isinstance(n, FrrNode) and not isinstance(n, FrrHost))

    @property
    def frr_hosts(self) -> tuple[FrrHost, ...]:
        """Hosts with kernel VXLAN and FRR, without our agent."""
        return tuple(n for n in self.nodes.values() if isinstance(n, FrrHost))

    @property
    def vms(self) -> tuple[Vm, ...]:
        """All VMs."""
        return tuple(n for n in self.nodes.values() if isinstance(n, Vm))

    def tick(self, what: str) -> None:
        """Say how long the lab has been building."""
        self.say(f"{time.monotonic() - self.started:6.2f} s  {what}")

    def logs(self) -> str:
        """The ends of the logs of all daemons, for a failed test."""
        return "\n".join(d.tail() for n in self.nodes.values() for d in n.daemons.values())

    def close(self) -> None:
        """End every process (and with them namespaces and links), remove the directory. Again: nothing."""
        if self.closed:
            return
        self.closed = True
        self.cell.close()
        for node in self.nodes.values():
            node.discard()
        self.nodes.clear()
        self.directory.release()

    def __enter__(self) -> Lab:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_lab(name: str, say: Say = say_nothing) -> Lab:
    """An empty lab: checks the machine, claims the directory, makes the cell. LabError names what lacks."""
    check_machine()
    datapath = chosen()
    directory = claim(name)
    try:
        return Lab(name, directory, Cell(), datapath, say)
    except BaseException:
        directory.release()
        raise


def check_machine() -> None:
    """LabError with one clear sentence if this machine can't run labs."""
    if os.geteuid() != 0:
        raise LabError("labs need root: they make network namespaces and run Open vSwitch in them")
    missing = [t for t in TOOLS if shutil.which(t) is None] + [f for f in _FILES if not os.path.exists(f)]
    if missing:
        raise LabError(
            f"labs need {', '.join(missing)}: install the packages openvswitch-switch, mininet, frr, ethtool,"
            " nftables, iproute2, iputils-ping and util-linux (`make setup` does)"
        )
