"""Nodes of the lab of rails: where the simulated fabric runs, and hosts whose programs speak through a VF.

Place: beside the other node types, under the lab of rails. ibsim's sockets are names of a network namespace,
so that hosts share the fabric's. Must not give a host a way to another's files.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from topologies.cell import Cell, Streams
from topologies.directory import LabDirectory
from topologies.nodes.node import LabNode


class FabricNode(LabNode):
    """Where ibsim, the subnet manager and who drives it run. A command for which nobody says more has
    `simulated` in its environment: it finds the subnet manager's RDMA device.
    """

    def __init__(self, name: str, cell: Cell, lab: LabDirectory, simulated: Mapping[str, str]) -> None:
        self.simulated = simulated
        super().__init__(name, cell, lab)

    def spawn(
        self, command: list[str], streams: Streams, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """In its own directory: the simulator's library leaves files where a program runs."""
        here = ["env", f"--chdir={self.directory}", *_more(self.simulated if env is None else env)]
        return super().spawn([*here, *command], streams)


class RailHost(LabNode):
    """A server. A command for which nobody says more finds the adapter that `simulated` names."""

    def __init__(
        self, name: str, cell: Cell, lab: LabDirectory, fabric: FabricNode, simulated: Mapping[str, str]
    ) -> None:
        self.fabric, self.simulated = fabric, simulated
        super().__init__(name, cell, lab)

    def spawn(
        self, command: list[str], streams: Streams, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """In its own mount namespace, and the fabric's network namespace."""
        rooms = [f"--net=/proc/{self.fabric.pid}/ns/net", f"--mount=/proc/{self.pid}/ns/mnt"]
        here = ["env", f"--chdir={self.directory}", *_more(self.simulated if env is None else env)]
        return self.cell.spawn(["nsenter", *rooms, *here, *command], streams)


def _more(env: Mapping[str, str]) -> list[str]:
    """What differs from this process' environment, for env(1): a library that is to be preloaded may be so
    only inside the node, since it looks for the simulator at once.
    """
    return [f"{name}={value}" for name, value in env.items() if os.environ.get(name) != value]
