"""Vm: a workload with one interface, eth0.

Place: plugged into a Hypervisor or a FrrHost. Must not run anything that sends by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from topologies.cell import Cell
from topologies.directory import LabDirectory
from topologies.nodes.node import LabNode

INTERFACE = "eth0"


class Vm(LabNode):
    """A namespace; `mac` and `addresses` (with prefix length) are set when it is plugged."""

    def __init__(self, name: str, cell: Cell, lab: LabDirectory) -> None:
        super().__init__(name, cell, lab)
        self.mac = ""
        self.addresses: tuple[str, ...] = ()
        # No duplicate address detection: it delays the first packet, and is the guest's affair.
        self.run(
            "sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0"
            " net.ipv6.conf.default.accept_ra=0"
        )

    def _quiet(self) -> str:
        """A VM speaks IPv6 as guests do."""
        return ""

    def configure(self, mac: str, addresses: Sequence[str]) -> None:
        """Set eth0's addresses."""
        self.mac, self.addresses = mac, tuple(addresses)
        lines = [f"ip address add {a} dev {INTERFACE}{' nodad' if ':' in a else ''}" for a in addresses]
        if lines:
            self.run("\n".join(lines))
