"""A host with two NICs whose kernel reacts, and what a store would say that it is to bear.

Place: imported by tests. Holds no rule of the product.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from controller.store.moorings import Mooring, Moorings
from ipam.devices.links import VfLink
from model.fabric import FabricKind, Guid, PKey, RailIndex
from model.gang import Berth, GangRequest, GangState, Interface, Progress
from model.hardware import Node, NodeKey, Sku, parse_pci
from model.ids import HostName, Mac, Uid
from tests.fakes.estate import infiniband, roce, sku
from tests.fakes.reacting import Reacting
from tests.fakes.sysfs import Sysfs

HOST = HostName("hv1")
NICS = ("0000:18:00.0", "0000:40:00.0")
CLUSTER = Uid("00000000-0000-0000-0000-00000000c1c1")
S = GangState


def reacting(root: Path) -> Reacting:
    """Two NICs without VFs."""
    tree = Sysfs(root)
    made = Reacting(tree)
    for index, nic in enumerate(NICS):
        down, _ = tree.switch(int(nic[5:7], 16), 0)
        tree.nic(nic, down, 0)
        tree.netdev(nic, f"rail{index}", f"a0:88:c2:00:00:0{index}")
        made.prepare(nic, f"rail{index}", 7 + index)
    return made


def layout(kind: FabricKind = FabricKind.ROCE) -> Sku:
    """Their SKU: `mlx0` and `mlx1`."""
    plain = sku(2, 4, kind)
    return replace(
        plain, pfs=tuple(replace(pf, pci=parse_pci(nic)) for pf, nic in zip(plain.pfs, NICS, strict=True))
    )


def interface(rail: int, vf: int, kind: FabricKind = FabricKind.ROCE) -> Interface:
    """The VF of that number on that rail, with an identity that nobody else has."""
    number = rail << 8 | vf
    here = Interface(number, f"mlx{rail}", vf, RailIndex(rail), ())
    if kind is FabricKind.INFINIBAND:
        base = 0x02 << 56 | number << 1
        return replace(here, node_guid=Guid(base + 16), port_guid=Guid(base + 17))
    return replace(here, mac=Mac(0x020A00000001 + number))


def mooring(
    generation: int,
    state: GangState,
    begun: GangState | None = None,
    vf: int = 1,
    kind: FabricKind = FabricKind.ROCE,
    node: str = "n1",
) -> Mooring:
    """A gang that has one VF on each rail here."""
    request = GangRequest("acme", f"job{generation}", "ib" if kind is FabricKind.INFINIBAND else "roce")
    berth = Berth(node, HOST, (), tuple(interface(rail, vf, kind) for rail in range(2)))
    key = PKey(0x10 if kind is FabricKind.INFINIBAND else 0)
    return Mooring(generation, request, Progress(state, begun or state), key, (), berth)


def moorings(*gangs: Mooring, generation: int = 100, kind: FabricKind = FabricKind.ROCE) -> Moorings:
    """What the store says: one node of two rails, and these gangs."""
    fabric = infiniband(2) if kind is FabricKind.INFINIBAND else roce(2)
    node = Node("n1", NodeKey(1), "h", fabric.name, HOST)
    return Moorings(
        CLUSTER,
        generation,
        nodes=(node,),
        skus={"h": layout(kind)},
        fabrics={fabric.name: fabric},
        gangs=tuple(sorted(gangs, key=lambda gang: gang.generation)),
    )


def reboot(kernel: Reacting) -> None:
    """It comes up again: no PF has VFs."""
    for nic in NICS:
        take_away(kernel, nic)
        (kernel.tree.homes[nic] / "sriov_drivers_autoprobe").write_text("1\n")


def take_away(kernel: Reacting, nic: str) -> None:
    """Somebody wrote 0 to sriov_numvfs."""
    kernel.write(f"bus/pci/devices/{nic}/sriov_numvfs", "0\n")


def told(kernel: Reacting, rail: int, vf: int) -> VfLink:
    """What the kernel says of a VF."""
    return kernel.told[f"rail{rail}"][vf]


def driver(kernel: Reacting, nic: str, vf: int) -> str:
    """Which driver has a VF."""
    place = kernel.tree.homes[nic] / f"virtfn{vf}"
    address = place.readlink().name
    link = kernel.tree.homes[address] / "driver"
    return link.readlink().name if link.is_symlink() else ""
