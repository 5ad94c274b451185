"""Chassis: the NICs and GPUs of a server, made up as its SKU says, without VFs, as after a boot.

Place: between `sysfs` and `nics`, for the lab of rails. Must not do anything that firmware and kernel do not
do before somebody asks: no VFs, drivers for PFs only.
"""

from __future__ import annotations

from pathlib import Path

from model.fabric import FabricKind
from model.hardware import PfSlot, Sku, format_pci
from topologies.nics import Nics
from topologies.sysfs import Sysfs

TOTAL = 16
"""VFs that the firmware allows for each PF."""
_PF_GUID = 0xA088_C203_0000_0000


def boot(root: Path, sku: Sku, serial: int) -> Nics:
    """A tree in an empty directory. `serial`: of the server, 16 bits; it is in the GUIDs of its PFs.

    Each PF and the GPU next to it are under a switch of their own.
    """
    tree = Sysfs(root)
    made = Nics(tree)
    beside = {slot.gpu: slot for slot in sku.pfs if slot.gpu is not None}
    above: dict[str, str] = {}
    for place, slot in enumerate(sku.pfs):
        address, numa = format_pci(slot.pci), slot.numa or 0
        below, other = tree.switch(slot.pci >> 8 & 0xFF, numa)
        above[slot.name] = other
        _add_pf(tree, slot, below, _PF_GUID | serial << 8 | place)
        made.prepare(address, netdev(slot), 2 + place)
    for number, gpu in enumerate(sku.gpus):
        near = beside.get(number)
        tree.gpu(format_pci(gpu.pci), above[near.name] if near else "", gpu.numa or 0)
    return made


def netdev(slot: PfSlot) -> str:
    """As udev would name its link."""
    return f"{'en' if slot.kind is FabricKind.ETHERNET else 'ib'}p{slot.pci >> 8 & 0xFF}s0"


def _add_pf(tree: Sysfs, slot: PfSlot, below: str, guid: int) -> None:
    address, numa = format_pci(slot.pci), slot.numa or 0
    kind = "0x020700" if slot.kind is FabricKind.INFINIBAND else "0x020000"
    home = tree.nic(address, below, numa, kind=kind)
    (home / "sriov_totalvfs").write_text(f"{TOTAL}\n")
    if slot.kind is FabricKind.INFINIBAND:
        tree.port(address, f"mlx5_{slot.pci >> 8 & 0xFF}", "InfiniBand", guid, slot.pkeys)
        tree.netdev(address, netdev(slot), "00:00:10:49:fe:80" + ":00" * 14)
    else:
        tree.port(address, f"mlx5_{slot.pci >> 8 & 0xFF}", "Ethernet", guid, 1)
        tree.netdev(
            address,
            netdev(slot),
            "02:00:5e:" + ":".join(f"{guid & 0xFFFFFF:06x}"[i : i + 2] for i in (0, 2, 4)),
        )
