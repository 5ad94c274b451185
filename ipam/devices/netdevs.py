"""Netdevs of a PF: its own link, and the representors of its VFs.

Place: under `sysfs`, `reading` and `carrying`. A PF whose switch is in mode `switchdev` has all of them in
one directory, so that the first by name may be a VF's representor. Must not write, and believes no name: what
a netdev is follows from phys_port_name (Documentation/networking/switchdev.rst).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from ipam.devices.tree import Tree
from model.hardware import PciAddress, format_pci

_OF_VF: Final = re.compile(r"(?:c(\d{1,3}))?pf(\d{1,3})vf(\d{1,4})")
"""`pf0vf3`; behind another controller (a DPU's host) `c1pf0vf3`."""
_OF_OTHERS: Final = re.compile(r"(?:c\d{1,3})?pf\d{1,3}(?:sf\d{1,5})?")


@dataclass(frozen=True, slots=True)
class Representor:
    """The host's end of a VF. `switch`: phys_switch_id, the same for all ports of one switch."""

    netdev: str
    pf: PciAddress
    vf: int
    switch: str


def uplink(tree: Tree, home: str) -> str:
    """Directory of the PF's own netdev, "" if it has none; of virtio it lies one level below."""
    found = netdevs(tree, home)
    if len(found) == 1:
        return found[0]
    return next((path for path in found if not _stands_for_another(tree.quiet(f"{path}/phys_port_name"))), "")


def netdevs(tree: Tree, home: str) -> list[str]:
    """Directories of all netdevs of a device."""
    places = [home, *(f"{home}/{name}" for name in tree.names(home) if name.startswith("virtio"))]
    return [f"{place}/net/{name}" for place in places for name in tree.names(f"{place}/net")]


def representors(tree: Tree, pci: PciAddress) -> tuple[Representor, ...]:
    """Those of a PF's VFs, by VF. One of another switch, another function or another controller's is none;
    of two for one VF neither is: that would be a guess.
    """
    home = f"bus/pci/devices/{format_pci(pci)}"
    own = uplink(tree, home)
    switch = tree.quiet(f"{own}/phys_switch_id") if own else ""
    found: dict[int, list[Representor]] = {}
    for path in netdevs(tree, home):
        parts = _OF_VF.fullmatch(tree.quiet(f"{path}/phys_port_name"))
        if parts is None or not switch or tree.quiet(f"{path}/phys_switch_id") != switch:
            continue
        controller, function, vf = parts.groups()
        if controller in {None, "0"} and int(function) == pci & 7:
            one = Representor(path.rpartition("/")[2], pci, int(vf), switch)
            found.setdefault(one.vf, []).append(one)
    for vf, several in sorted(found.items()):
        if len(several) > 1:
            names = ", ".join(one.netdev for one in several)
            tree.note("representor-twice", home, f"VF {vf} has several representors: {names}")
    return tuple(several[0] for _, several in sorted(found.items()) if len(several) == 1)


def _stands_for_another(name: str) -> bool:
    return bool(_OF_VF.fullmatch(name) or _OF_OTHERS.fullmatch(name))
