"""Reading: a PF and its VFs as the kernel has them now.

Place: effect, before `operations` and after each of them. Reads `sriov_*`, `virtfnN`, `driver` and
`driver_override` (Documentation/ABI/testing/sysfs-bus-pci), rtnetlink and devlink. Must not write.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from ipam.devices.desired import Setting, Value
from ipam.devices.found import FoundPf, FoundVf
from ipam.devices.kernel import Kernel
from ipam.devices.links import VfLink
from ipam.devices.netdevs import uplink
from ipam.devices.tree import Tree
from model.hardware import VFS, PciAddress, format_pci, parse_pci

_MOST: Final = 0xFFFF
NO_OVERRIDE: Final = "(null)"
KEPT: Final = "(kept)"
"""Driver of a device that somebody does not let go of: which one it is can't be told, but it is not free."""


def home(pci: PciAddress) -> str:
    """Where a device is in the tree."""
    return f"bus/pci/devices/{format_pci(pci)}"


def observe(kernel: Kernel, pci: PciAddress) -> FoundPf | None:
    """None if nothing is at that address, or a VF."""
    tree, place = Tree(kernel.root), home(pci)
    if not tree.has(place) or tree.has(f"{place}/physfn"):
        return None
    settings: dict[Setting, Value] = {}
    for setting, name in ((Setting.VFS, "sriov_numvfs"), (Setting.AUTOPROBE, "sriov_drivers_autoprobe")):
        number = tree.number(f"{place}/{name}", _MOST) if tree.has(f"{place}/{name}") else None
        if number is not None:
            settings[setting] = number
    mode = kernel.mode(format_pci(pci))
    if mode:
        settings[Setting.ESWITCH] = mode
    total = tree.number(f"{place}/sriov_totalvfs", _MOST) if tree.has(f"{place}/sriov_totalvfs") else 0
    return FoundPf(
        pci, _driver(tree, place), total or 0, MappingProxyType(settings), _vfs(kernel, tree, pci, place)
    )


def observe_vf(kernel: Kernel, pf: PciAddress, index: int) -> FoundVf | None:
    """One VF alone, for what was just written to it; None if it is not there."""
    tree = Tree(kernel.root)
    pci = vf_address(tree, pf, index)
    if pci is None:
        return None
    netdev = uplink(tree, home(pf)).rpartition("/")[2]
    told = kernel.links(netdev) if netdev else ()
    return FoundVf(
        index, pci, _settings(kernel, tree, pci, next((link for link in told if link.index == index), None))
    )


def vf_address(tree: Tree, pf: PciAddress, index: int) -> PciAddress | None:
    """Where a VF is; None if it is not there, or says that it is another PF's."""
    try:
        pci = parse_pci(tree.target(f"{home(pf)}/virtfn{index}").rpartition("/")[2])
        owner = parse_pci(tree.target(f"{home(pci)}/physfn").rpartition("/")[2])
    except ValueError:
        return None
    return pci if owner == pf else None


def _vfs(kernel: Kernel, tree: Tree, pf: PciAddress, place: str) -> tuple[FoundVf, ...]:
    there = [(index, pci) for index in VFS if (pci := vf_address(tree, pf, index)) is not None]
    netdev = uplink(tree, place).rpartition("/")[2] if there else ""
    told = {link.index: link for link in kernel.links(netdev)} if netdev else {}
    return tuple(FoundVf(index, pci, _settings(kernel, tree, pci, told.get(index))) for index, pci in there)


def _settings(kernel: Kernel, tree: Tree, pci: PciAddress, link: VfLink | None) -> Mapping[Setting, Value]:
    try:
        override, driver = kernel.override(format_pci(pci)), _driver(tree, home(pci))
    except OSError:
        # While a driver is made to let go of it, sysfs shows none already.
        override = driver = KEPT
    found: dict[Setting, Value | None] = {
        Setting.OVERRIDE: "" if override == NO_OVERRIDE else override,
        Setting.DRIVER: driver,
    }
    if link is not None:
        found |= {
            Setting.MAC: link.mac,
            Setting.NODE_GUID: link.node_guid,
            Setting.PORT_GUID: link.port_guid,
            Setting.VLAN: link.vlan,
            Setting.RATES: link.rates,
            Setting.SPOOF: link.spoof,
            Setting.TRUST: link.trust,
            Setting.LINK: link.link,
        }
    return MappingProxyType({setting: value for setting, value in found.items() if value is not None})


def _driver(tree: Tree, place: str) -> str:
    return tree.target(f"{place}/driver").rpartition("/")[2]
