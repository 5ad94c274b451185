"""Inventory: what a node should have, beside what its host sees, and how they differ.

Place: pure; the API shows the result. Each difference says what was expected, what was found and what to do.
Must not decide whether a node may be used.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from model.fabric import FabricKind
from model.hardware import PciAddress, PfSlot, Sku, format_pci
from model.sighting import SeenPf, Sighting

_LINKS = {FabricKind.INFINIBAND: "infiniband", FabricKind.ROCE: "ethernet", FabricKind.ETHERNET: "ethernet"}


@dataclass(frozen=True, slots=True)
class Difference:
    """`rule`: a stable kebab-case code."""

    rule: str
    expected: str
    found: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Compared:
    """A PF of the SKU; `seen` None: there is none at its PCI address."""

    slot: PfSlot
    seen: SeenPf | None
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Inventory:
    """`pfs` in the SKU's order. `gpus`: differences of GPUs. `strangers`: network functions that the SKU does
    not have, which is no fault."""

    pfs: tuple[Compared, ...]
    gpus: tuple[Difference, ...] = ()
    strangers: tuple[SeenPf, ...] = ()

    @property
    def count(self) -> int:
        """How many differences there are."""
        return len(self.gpus) + sum(len(pf.differences) for pf in self.pfs)


def compare(sku: Sku, seen: Sighting) -> Inventory:
    """The SKU beside the sighting."""
    known = {slot.pci for slot in sku.pfs}
    strangers = tuple(pf for pf in seen.pfs if pf.pci not in known)
    return Inventory(
        pfs=tuple(_compare(sku, slot, seen, strangers) for slot in sku.pfs),
        gpus=tuple(_gpus(sku, seen)),
        strangers=strangers,
    )


def _gpus(sku: Sku, seen: Sighting) -> Iterator[Difference]:
    there = {gpu.pci: gpu for gpu in seen.gpus}
    for number, gpu in enumerate(sku.gpus):
        found = there.get(gpu.pci)
        if found is None:
            yield Difference(
                "gpu-missing",
                f"GPU {number} at {format_pci(gpu.pci)}",
                "none",
                "Look for it with lspci -d ::0302; if it has another address, correct gpus of the Sku.",
            )
        elif None not in {gpu.numa, found.numa} and gpu.numa != found.numa:
            yield Difference(
                "gpu-numa-mismatch",
                f"GPU {number} at NUMA node {gpu.numa}",
                f"NUMA node {found.numa}",
                "Correct numa in gpus of the Sku, or the BIOS (sub-NUMA clustering changes the numbers).",
            )


def _compare(sku: Sku, slot: PfSlot, seen: Sighting, strangers: tuple[SeenPf, ...]) -> Compared:
    pf = seen.pf(slot.pci)
    if pf is None:
        return Compared(slot, None, (_missing(sku, slot, strangers),))
    parts = (_link(slot, pf), _place(sku, slot, pf), _functions(slot, pf), _switch(slot, pf))
    return Compared(slot, pf, tuple(one for part in parts for one in part))


def _missing(sku: Sku, slot: PfSlot, strangers: tuple[SeenPf, ...]) -> Difference:
    """Not there; or elsewhere, if one that nobody expects is beside its GPU."""
    expected = f"a network function at {format_pci(slot.pci)}"
    gpu = _gpu(sku, slot)
    for other in strangers:
        if gpu is not None and gpu in other.gpus and other.link in {_LINKS[slot.kind], ""}:
            return Difference(
                "pf-moved",
                expected,
                f"one at {format_pci(other.pci)}, beside its GPU",
                f"Correct pci of PF {slot.name} in the Sku; a server that is wired otherwise needs a Sku"
                " of its own.",
            )
    return Difference(
        "pf-missing",
        expected,
        "none",
        f"Look for it: lspci -s {format_pci(slot.pci)}; the NIC may be unseated, dead or off in the BIOS.",
    )


def _gpu(sku: Sku, slot: PfSlot) -> PciAddress | None:
    return None if slot.gpu is None or slot.gpu >= len(sku.gpus) else sku.gpus[slot.gpu].pci


def _link(slot: PfSlot, pf: SeenPf) -> Iterator[Difference]:
    if not pf.driver:
        yield Difference(
            "driver-missing",
            "a driver of the kernel",
            "none",
            f"modprobe the NIC's driver, or bind it: /sys/bus/pci/devices/{format_pci(pf.pci)}.",
        )
        return
    expected = _LINKS[slot.kind]
    if pf.link != expected:
        number = 1 if slot.kind is FabricKind.INFINIBAND else 2
        yield Difference(
            "link-mismatch",
            expected,
            pf.link or "no port",
            f"Set the port's type: mlxconfig -d {format_pci(pf.pci)} set LINK_TYPE_P1={number}; reset it.",
        )
    elif slot.kind is FabricKind.ROCE and not pf.rdma:
        yield Difference("rdma-missing", "an RDMA device", "none", "modprobe the NIC's RDMA driver: mlx5_ib.")
    if slot.pkeys and pf.link == "infiniband" and pf.pkeys < slot.pkeys:
        yield Difference(
            "pkeys-fewer",
            f"{slot.pkeys} PKeys",
            f"{pf.pkeys}",
            f"Write pkeys: {pf.pkeys} for PF {slot.name} in the Sku, or give the NIC the usual firmware.",
        )


def _place(sku: Sku, slot: PfSlot, pf: SeenPf) -> Iterator[Difference]:
    if None not in {slot.numa, pf.numa} and slot.numa != pf.numa:
        yield Difference(
            "numa-mismatch",
            f"NUMA node {slot.numa}",
            f"NUMA node {pf.numa}",
            f"Correct numa of PF {slot.name} in the Sku, or the slot that the NIC is in.",
        )
    gpu = _gpu(sku, slot)
    if gpu is not None and gpu not in pf.gpus:
        yield Difference(
            "gpu-mismatch",
            f"next to GPU {slot.gpu} at {format_pci(gpu)}" + _of_rail(slot),
            _nearest(sku, pf),
            f"Correct gpu of PF {slot.name} in the Sku, or the cabling: traffic of a GPU on another's rail"
            " crosses the CPU.",
        )


def _of_rail(slot: PfSlot) -> str:
    return "" if slot.rail is None else f" (rail {slot.rail})"


def _nearest(sku: Sku, pf: SeenPf) -> str:
    """The GPUs that it is next to, with the rail that the SKU has for them."""
    words = []
    for pci in pf.gpus:
        number = next((n for n, gpu in enumerate(sku.gpus) if gpu.pci == pci), None)
        rail = next((_of_rail(s) for s in sku.pfs if number is not None and s.gpu == number), "")
        words.append(f"GPU {format_pci(pci)}" if number is None else f"GPU {number}{rail}")
    return f"next to {', '.join(words)}" if words else "no GPU under its PCI switch"


def _functions(slot: PfSlot, pf: SeenPf) -> Iterator[Difference]:
    if pf.total < slot.vfs:
        yield Difference(
            "vfs-impossible",
            f"{slot.vfs} VFs",
            f"at most {pf.total}",
            f"mlxconfig -d {format_pci(pf.pci)} set SRIOV_EN=1 NUM_OF_VFS={slot.vfs}, SR-IOV on in the BIOS,"
            " and a reset; or write fewer vfs in the Sku.",
        )
    elif pf.made and (pf.made < slot.vfs or len(pf.vfs) < slot.vfs):
        # None at all is no difference: the agent makes them for the first gang that comes.
        yield Difference(
            "vfs-fewer",
            f"{slot.vfs} VFs",
            f"{min(pf.made, len(pf.vfs))}",
            f"With no VF in use: echo 0, then {slot.vfs}, into"
            f" /sys/bus/pci/devices/{format_pci(pf.pci)}/sriov_numvfs.",
        )


def _switch(slot: PfSlot, pf: SeenPf) -> Iterator[Difference]:
    # Until there are VFs the agent sets the mode itself, before it makes them.
    settled = pf.made or not pf.eswitch
    if slot.eswitch is not None and settled and pf.eswitch != slot.eswitch.value:
        yield Difference(
            "eswitch-mismatch",
            slot.eswitch.value,
            pf.eswitch or "not told",
            f"Without VFs: devlink dev eswitch set pci/{format_pci(pf.pci)} mode {slot.eswitch.value}."
            if pf.eswitch
            else "The kernel needs devlink, and the NIC a driver that has it.",
        )
