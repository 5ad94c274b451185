"""Sighting: which network devices and GPUs a host really has, as its kernel tells it.

Place: made by `ipam.devices`, carried in the host's report, compared with SKU and node by `ipam.inventory`.
Must not hold what should be there. Text is parsed here too, because a host may be compromised: what does not
fit is a ValueError, and what is too long is cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from model.foreign import items, mapping, number, text
from model.hardware import PciAddress, format_pci, parse_pci

MOST_PFS: Final = 64
MOST_VFS: Final = 256
"""Of one PF."""
MOST_FUNCTIONS: Final = 1024
"""VFs of all PFs together: a report stays near 100 kB."""
MOST_GPUS: Final = 64
MOST_FINDINGS: Final = 32
MOST_TEXT: Final = 200

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class SeenVf:
    """A VF. `driver` "" = none is bound. MAC, GUIDs and VLAN as its PF has them, 0 = not told, or none."""

    index: int
    pci: PciAddress
    driver: str = ""
    mac: int = 0
    node_guid: int = 0
    port_guid: int = 0
    vlan: int = 0


@dataclass(frozen=True, slots=True)
class SeenPf:
    """A PCI network function that is no VF. Empty text, 0 and None: not told.

    `id`: vendor and device, `15b3:1021`. `gpus`: those with the longest common path of PCI bridges, at least
    one; several, if they are equally near. `link`: `infiniband`, `ethernet`. `rdma`: name of its RDMA device.
    `pkeys`: entries of its port's PKey table. `total`, `made`: VFs that it can have, and has. `eswitch`:
    `legacy`, `switchdev`.
    """

    pci: PciAddress
    id: str = ""
    driver: str = ""
    numa: int | None = None
    gpus: tuple[PciAddress, ...] = ()
    netdev: str = ""
    mac: int = 0
    rdma: str = ""
    link: str = ""
    node_guid: int = 0
    port_guid: int = 0
    pkeys: int = 0
    total: int = 0
    made: int = 0
    eswitch: str = ""
    vfs: tuple[SeenVf, ...] = ()


@dataclass(frozen=True, slots=True)
class SeenGpu:
    pci: PciAddress
    id: str = ""
    numa: int | None = None


@dataclass(frozen=True, slots=True)
class Oddity:
    """Something that could not be read as it should. `rule`: a stable kebab-case code; `where`: the device or
    file, within the tree."""

    rule: str
    where: str
    message: str


@dataclass(frozen=True, slots=True)
class Sighting:
    """By PCI address. `oddities`: the first of them, by rule and place."""

    pfs: tuple[SeenPf, ...] = ()
    gpus: tuple[SeenGpu, ...] = ()
    oddities: tuple[Oddity, ...] = ()

    def pf(self, pci: int) -> SeenPf | None:
        """The PF at that address; None if there is none."""
        return next((pf for pf in self.pfs if pf.pci == pci), None)


def plain(seen: Sighting) -> dict[str, Any]:
    """As JSON has it: PCI addresses as text, and nothing that was not told."""
    return {
        "pfs": [_pf(pf) for pf in seen.pfs],
        "gpus": [_told({"pci": format_pci(g.pci), "id": g.id, "numa": g.numa}) for g in seen.gpus],
        "oddities": [{"rule": o.rule, "where": o.where, "message": o.message} for o in seen.oddities],
    }


def _pf(pf: SeenPf) -> dict[str, Any]:
    found: dict[str, Any] = {name: getattr(pf, name) for name in pf.__slots__}
    found["pci"], found["gpus"] = format_pci(pf.pci), [format_pci(pci) for pci in pf.gpus]
    found["vfs"] = [
        _told({name: getattr(vf, name) for name in vf.__slots__ if name != "pci"})
        | {"pci": format_pci(vf.pci)}
        for vf in pf.vfs
    ]
    return _told(found)


def _told(found: dict[str, Any]) -> dict[str, Any]:
    """NUMA node 0 and VF 0 are told, an address of 0 is not."""
    kept = {"numa", "index"}
    return {key: value for key, value in found.items() if value or (key in kept and value is not None)}


def parse(document: object) -> Sighting:
    """Inverse of `plain`; ValueError for what does not fit. Unknown keys are ignored."""
    found = mapping(document)
    return Sighting(
        pfs=tuple(_seen_pf(each) for each in items(found, "pfs", MOST_PFS)),
        gpus=tuple(
            SeenGpu(_pci(each, "pci"), _text(each, "id"), _maybe(each, "numa"))
            for each in items(found, "gpus", MOST_GPUS)
        ),
        oddities=tuple(
            Oddity(_text(each, "rule"), _text(each, "where"), _text(each, "message"))
            for each in items(found, "oddities", MOST_FINDINGS)
        ),
    )


def _seen_pf(each: Mapping[str, Any]) -> SeenPf:
    gpus = each.get("gpus", [])
    if not isinstance(gpus, list):
        raise ValueError("gpus is no list")
    return SeenPf(
        pci=_pci(each, "pci"),
        id=_text(each, "id"),
        driver=_text(each, "driver"),
        numa=_maybe(each, "numa"),
        gpus=tuple(_address(pci) for pci in gpus[:MOST_GPUS]),
        netdev=_text(each, "netdev"),
        mac=_number(each, "mac", 48),
        rdma=_text(each, "rdma"),
        link=_text(each, "link"),
        node_guid=_number(each, "node_guid", 64),
        port_guid=_number(each, "port_guid", 64),
        pkeys=_number(each, "pkeys", 16),
        total=_number(each, "total", 16),
        made=_number(each, "made", 16),
        eswitch=_text(each, "eswitch"),
        vfs=tuple(_seen_vf(vf) for vf in items(each, "vfs", MOST_VFS)),
    )


def _seen_vf(each: Mapping[str, Any]) -> SeenVf:
    return SeenVf(
        index=_number(each, "index", 16),
        pci=_pci(each, "pci"),
        driver=_text(each, "driver"),
        mac=_number(each, "mac", 48),
        node_guid=_number(each, "node_guid", 64),
        port_guid=_number(each, "port_guid", 64),
        vlan=_number(each, "vlan", 12),
    )


def _text(found: Mapping[str, Any], key: str) -> str:
    return text(found, key, MOST_TEXT)


def _number(found: Mapping[str, Any], key: str, bits: int) -> int:
    return number(found.get(key, 0), key, bits)


def _maybe(found: Mapping[str, Any], key: str) -> int | None:
    return None if found.get(key) is None else _number(found, key, 16)


def _pci(found: Mapping[str, Any], key: str) -> PciAddress:
    return _address(found.get(key))


def _address(value: object) -> PciAddress:
    if not isinstance(value, str):
        raise ValueError("a PCI address is no text")
    return parse_pci(value)
