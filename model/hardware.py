"""Hardware: what a kind of server has in its slots, and which servers there are.

Place: declared by the operator, read from the store; what a host really has is `model.sighting`. Must not
hold who uses what: those are allocations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final, NewType

from model.fabric import FabricKind, RailIndex
from model.ids import HostName

PciAddress = NewType("PciAddress", int)
"""Domain (32 bits; Intel VMD needs more than 16), bus 8, device 5, function 3 bits. Orders as its text."""
NodeKey = NewType("NodeKey", int)
"""16 bits, 1..65535, allocated in the store: what is derived for a node's VFs starts from it."""

NODE_KEYS: Final = range(1, 1 << 16)
VFS: Final = range(256)
"""VFs of one PF: what NICs of today can have, and what fits 8 bits of a VF's serial."""
SLOTS: Final = range(32)
"""PFs of one SKU."""
GPUS: Final = range(32)
NUMA_NODES: Final = range(64)
PKEY_CAPACITIES: Final = range(1, 1025)
"""Entries of a port's PKey table."""

_PCI: Final = re.compile(r"(?:([0-9a-f]{4,8}):)?([0-9a-f]{2}):([01][0-9a-f])\.([0-7])")


class Eswitch(Enum):
    """The mode of a PF's embedded switch. SWITCHDEV: each VF has a representor."""

    LEGACY = "legacy"
    SWITCHDEV = "switchdev"


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU of a SKU; its number is its place there."""

    pci: PciAddress
    numa: int | None = None


@dataclass(frozen=True, slots=True)
class PfSlot:
    """A physical function. `rail` None: it is on none (storage, front end). `numa` None: not said.

    `gpu`: number of the GPU next to it (under the same PCI switch), None = none. `vfs`: how many VFs it is
    to have. `pkeys`: entries of its port's PKey table, 0 unless InfiniBand. `eswitch` None: not compared.
    """

    name: str
    pci: PciAddress
    kind: FabricKind
    rail: RailIndex | None = None
    numa: int | None = None
    gpu: int | None = None
    vfs: int = 0
    pkeys: int = 0
    eswitch: Eswitch | None = None


@dataclass(frozen=True, slots=True)
class Sku:
    """A kind of server. `pfs` in the order declared: a PF's place there is fixed, as is a GPU's."""

    name: str
    gpus: tuple[Gpu, ...]
    pfs: tuple[PfSlot, ...]

    def slot(self, name: str) -> PfSlot | None:
        """The PF of that name; None if there is none."""
        return next((slot for slot in self.pfs if slot.name == name), None)

    def on_rail(self, rail: int) -> tuple[PfSlot, ...]:
        """PFs of one rail, in their order."""
        return tuple(slot for slot in self.pfs if slot.rail == rail)

    @property
    def rails(self) -> tuple[RailIndex, ...]:
        """Rails that it reaches, by index."""
        return tuple(sorted({slot.rail for slot in self.pfs if slot.rail is not None}))


@dataclass(frozen=True, slots=True)
class Node:
    """A server on a fabric. `host`: the Hypervisor whose agent sees its devices.

    `leaves`: the switch that it meets on each rail, by index; () = the rails' own.
    """

    name: str
    key: NodeKey
    sku: str
    fabric: str
    host: HostName
    leaves: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class Vf:
    """The place of a virtual function: it stays the same when the VF is made again."""

    node: str
    pf: str
    index: int


def vfs(node: Node, sku: Sku) -> Iterator[Vf]:
    """The VFs that a node is to have, in the order of its PFs."""
    for slot in sku.pfs:
        for index in range(slot.vfs):
            yield Vf(node.name, slot.name, index)


def parse_pci(text: str) -> PciAddress:
    """`0000:18:00.0`, or `18:00.0` of domain 0, either case; ValueError for any other form."""
    found = _PCI.fullmatch(text.lower())
    if found is None:
        raise ValueError("a PCI address is DOMAIN:BUS:DEVICE.FUNCTION in hex, such as 0000:18:00.0")
    domain, bus, device, function = (int(part or "0", 16) for part in found.groups())
    return PciAddress(domain << 16 | bus << 8 | device << 3 | function)


def format_pci(pci: int) -> str:
    """As the kernel writes it: `0000:18:00.0`."""
    return f"{pci >> 16:04x}:{pci >> 8 & 0xFF:02x}:{pci >> 3 & 0x1F:02x}.{pci & 7}"
