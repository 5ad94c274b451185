"""Standing: how far each gang of a host is with its VFs, by what was read back, and what is in its way.

Place: pure; after `carrying`. What a host says of a gang (`model.bearing`) is made here alone: nothing is
said because it was written, only because it was read. Must not decide what is to be done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from ipam.devices.desired import LINK_DISABLE, Setting, Stay, begun, desired, going, held, raised
from ipam.devices.found import FoundPf
from ipam.devices.operations import Operation, place, plan
from model.bearing import HostPart, Reached
from model.errors import Fault
from model.hardware import PciAddress, PfSlot, Sku

Place = tuple[PciAddress, int]
"""A VF: its PF, and its number there."""
_MOST_SHOWN: Final = 3


def places(sku: Sku, stay: Stay) -> tuple[Place, ...]:
    """The VFs of a stay that the SKU has a PF for."""
    slots = {slot.name: slot for slot in sku.pfs}
    return tuple((slots[i.pf].pci, i.vf) for i in stay.berth.interfaces if i.pf in slots)


def obstacles(sku: Sku, stays: Iterable[Stay]) -> Mapping[int, tuple[Fault, ...]]:
    """What the store itself has wrong, by the generation of the gang: nothing of it is done before it is
    right. Of two gangs that claim a VF the first one has it."""
    slots: Mapping[str, PfSlot] = {slot.name: slot for slot in sku.pfs}
    taken: dict[Place, int] = {}
    found: dict[int, list[Fault]] = {}
    for stay in sorted(stays, key=lambda stay: stay.generation):
        if not begun(stay.progress) or not (held(stay.progress) or going(stay.progress)):
            continue
        for name in sorted({i.pf for i in stay.berth.interfaces} - slots.keys()):
            message = f"Sku {sku.name} has no PF {name}"
            found.setdefault(stay.generation, []).append(
                Fault(f"node {stay.berth.node}", "pf-undeclared", message, "Put the PF back into the Sku.")
            )
        for at in places(sku, stay):
            first = taken.setdefault(at, stay.generation)
            if first != stay.generation:
                message = f"the gang of generation {first} has it"
                found.setdefault(stay.generation, []).append(
                    Fault(place(*at), "vf-twice", message, "Release one of the two gangs.")
                )
    return {generation: tuple(faults) for generation, faults in found.items()}


def part(sku: Sku, stay: Stay, found: Iterable[FoundPf], faults: Iterable[Fault]) -> HostPart | None:
    """What is said of one gang after a round; None of one that is gone. `faults`: all of the host's, of which
    those of the gang's own devices are taken."""
    progress = stay.progress
    if not held(progress) and not going(progress):
        return None
    own = {place(*at) for at in places(sku, stay)} | {place(pf, None) for pf, _ in places(sku, stay)}
    mine = tuple(dict.fromkeys(fault for fault in faults if fault.object in own))
    return HostPart(stay.generation, progress.state, progress.begun, _reached(sku, stay, tuple(found)), mine)


def _reached(sku: Sku, stay: Stay, found: tuple[FoundPf, ...]) -> Reached:
    progress = stay.progress
    if not begun(progress):
        return Reached.PARKED if going(progress) else Reached.NOTHING
    left = _left(sku, stay, found)
    if left is None or len(places(sku, stay)) < len(stay.berth.interfaces):
        return Reached.NOTHING
    if going(progress):
        return Reached.NOTHING if left else Reached.PARKED
    if any(one.setting is not Setting.LINK or one.after == LINK_DISABLE for one in left):
        return Reached.NOTHING
    return Reached.UP if raised(progress) and not left else Reached.SET


def missing(sku: Sku, stay: Stay, found: Iterable[FoundPf]) -> tuple[Place, ...]:
    """Its VFs that are not there."""
    there = {pf.pci: pf for pf in found}
    return tuple(
        (pci, vf)
        for pci, vf in places(sku, stay)
        if pci not in there or (one := there[pci].vf(vf)) is None or one.pci is None
    )


def astray(sku: Sku, stay: Stay, found: Iterable[FoundPf]) -> tuple[Fault, ...]:
    """What is not as it was when it was last read back, of a gang whose VFs were all set: somebody took a VF
    away or changed it, or the host was started anew."""
    there = tuple(found)
    gone = missing(sku, stay, there)
    if gone:
        names = ", ".join(place(*at) for at in gone[:_MOST_SHOWN])
        message = (
            f"{len(gone)} VFs were gone ({names}): the host was started anew, or somebody took them away"
        )
        remedy = "They are made and set anew; start what used them anew, too."
        return (Fault(f"node {stay.berth.node}", "vfs-vanished", message, remedy),)
    changed = [one for one in _left(sku, stay, there) or () if one.setting is not Setting.LINK]
    message = "; ".join(str(one) for one in changed[:_MOST_SHOWN])
    remedy = "It is set back; find out who else sets VFs of this host."
    return (Fault(f"node {stay.berth.node}", "vfs-changed", message, remedy),) if changed else ()


def _left(sku: Sku, stay: Stay, found: tuple[FoundPf, ...]) -> tuple[Operation, ...] | None:
    """What is still to be done for one gang; None: something stands in the way of it."""
    made = plan(desired(sku, [stay]), found)
    return None if made.faults else made.operations
