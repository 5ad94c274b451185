"""Kits for tests of exports: gangs of a made-up estate, with VFs where a host says that they are."""

from __future__ import annotations

from ipam.exports.kit import Kit, kit
from model.fabric import Addressing, Fabric
from model.gang import Use
from model.hardware import PciAddress, Sku
from model.sighting import SeenPf, SeenVf, Sighting
from tests.fakes.estate import Yard, infiniband, roce, sku, yard

FABRICS = {
    "infiniband": infiniband(),
    "roce": roce(),
    "roce-node": roce(addressing=Addressing.NODE),
    "roce-tenant": roce(addressing=Addressing.TENANT),
}


def sighting(kind: Sku) -> Sighting:
    """Every VF of a SKU, one function behind the other as most drivers number them."""
    return Sighting(
        tuple(
            SeenPf(
                slot.pci, made=slot.vfs, vfs=tuple(SeenVf(n, behind(slot.pci, n)) for n in range(slot.vfs))
            )
            for slot in kind.pfs
        )
    )


def behind(pf: int, number: int) -> PciAddress:
    """On a bus of its own for each PF, so that it is no GPU and no PF."""
    return PciAddress(0x8000 + (pf & 0xFF) * 0x100 + 1 + number)


def estate(fabric: Fabric) -> tuple[Yard, Sku]:
    kind = sku(kind=fabric.kind)
    return yard(fabric, kind, 2), kind


def kit_of(fabric: Fabric, seen: Sighting | None = None, **more: object) -> Kit:
    """Of its first node."""
    held, kind = estate(fabric)
    gang = held.reserve(**{"name": "train", "count": 1, "use": Use.VM, **more})
    return kit(gang, gang.berths[0], fabric, kind, sighting(kind) if seen is None else seen)
