"""Outlets: VFs through which workloads of ordinary ports are plugged in, instead of a tap or a veth.

Place: declared with a port, read from the store; the host's agent sets the VF and puts its representor into
the bridge. Must not hold what a PF's PCI address is: the node's Sku says that.
"""

from __future__ import annotations

from dataclasses import dataclass

from model.gang import Use
from model.hardware import VFS
from model.ids import Mac, Uid


@dataclass(frozen=True, slots=True)
class Outlet:
    """A VF of the port's only host: the PF by its name in the Sku, the VF by number. `use`: who has it."""

    pf: str
    index: int
    use: Use = Use.CONTAINER


@dataclass(frozen=True, slots=True)
class Served:
    """A port and the VF that serves it, as its host needs to know them."""

    uid: Uid
    mac: Mac
    outlet: Outlet


def format_outlet(outlet: Outlet) -> str:
    """As the store has it: `fe0/3/vm`."""
    return f"{outlet.pf}/{outlet.index}/{outlet.use.value}"


def parse_outlet(text: str) -> Outlet:
    """Inverse of `format_outlet`; ValueError for anything else."""
    parts = text.split("/")
    if len(parts) != 3 or not parts[0] or not parts[1].isdecimal() or int(parts[1]) not in VFS:
        raise ValueError("a port's VF is PF/NUMBER/container or PF/NUMBER/vm")
    return Outlet(parts[0], int(parts[1]), Use(parts[2]))
