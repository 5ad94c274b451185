"""Carrying: operations carried out on this host's devices, each read back before the next one.

Place: effect, after `operations`. A VF is found anew by its PF's PCI address and its number before each
write: a device that came, went or was renamed meanwhile is never taken for another. Stops at the first thing
that the kernel refuses, or takes and does not do. Must not decide what is to be done.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from ipam.devices import reading
from ipam.devices.desired import DesiredPf, Setting
from ipam.devices.found import FoundPf, FoundVf
from ipam.devices.kernel import Kernel
from ipam.devices.netdevs import uplink
from ipam.devices.operations import Operation, place, plan, undo
from ipam.devices.tree import Tree
from ipam.devices.vf_messages import change
from model.errors import Fault
from model.hardware import PciAddress, format_pci

_MOST_INDEX: Final = 0x7FFFFFFF
_REMEDIES: Final = {
    Setting.AUTOPROBE: "Use a kernel that has sriov_drivers_autoprobe (4.12 and later).",
    Setting.ESWITCH: "See `devlink dev eswitch show` and the kernel's log: firmware or driver may be old.",
    Setting.VFS: "See the kernel's log: BIOS (SR-IOV, room on the bus) or the NIC's firmware said no.",
    Setting.OVERRIDE: "Is sysfs writable here? The agent must run as root of the host, not of a container.",
    Setting.DRIVER: "Load the driver's module, turn the IOMMU on for vfio-pci, end the VM that still has it.",
}
_OTHER: Final = "See the kernel's log: the PF's driver or firmware refuses this; compare its version's notes."


@dataclass(frozen=True, slots=True)
class Outcome:
    """`done`: what was carried out, in order: what `undo` takes. `faults`: empty if that is all of it."""

    done: tuple[Operation, ...]
    faults: tuple[Fault, ...]


def apply(kernel: Kernel, operations: Iterable[Operation]) -> Outcome:
    """Carry them out, as far as it goes."""
    done: list[Operation] = []
    for one in operations:
        fault = _refused(kernel, one)
        if fault is not None:
            # A write that failed may have done a part: whether it did is read, not believed.
            begun = [one] if _value(kernel, one) == one.after else []
            return Outcome((*done, *begun), (fault,))
        done.append(one)
    return Outcome(tuple(done), ())


def settle(kernel: Kernel, desired: Iterable[DesiredPf]) -> Outcome:
    """Look, work out what is missing, do it. PFs with an obstacle are told, and the others served."""
    wanted = tuple(desired)
    found = [pf for want in wanted if (pf := reading.observe(kernel, want.pci)) is not None]
    made = plan(wanted, found)
    outcome = carry(kernel, made.operations, lambda *_: True)
    return Outcome(outcome.done, (*made.faults, *outcome.faults))


def carry(
    kernel: Kernel, operations: Iterable[Operation], may: Callable[[PciAddress, int | None], bool]
) -> Outcome:
    """Operations of a plan, device by device: a VF that refuses stops itself alone, a PF all of its VFs.
    `may`: asked before each device; one that may not now is passed over."""
    done: list[Operation] = []
    faults: list[Fault] = []
    stopped: set[PciAddress] = set()
    for (pf, vf), group in groupby(operations, key=lambda one: (one.pf, one.vf)):
        if pf in stopped:
            continue
        outcome = apply(kernel, group) if may(pf, vf) else None
        if outcome is not None:
            done += outcome.done
            faults += outcome.faults
        if vf is None and (outcome is None or outcome.faults):
            stopped.add(pf)
    return Outcome(tuple(done), tuple(faults))


def revert(kernel: Kernel, done: Iterable[Operation]) -> Outcome:
    """Take operations back."""
    return apply(kernel, undo(tuple(done)))


def _refused(kernel: Kernel, one: Operation) -> Fault | None:
    """Carry one out and read it back; why it is not done, if so."""
    try:
        fault = _WRITES.get(one.setting, _tell)(kernel, one)
    except OSError as error:
        word = "unsupported" if error.errno == errno.EOPNOTSUPP else "refused"
        return _fault(one, word, f"the kernel refused it: {error.strerror or error}")
    if fault is not None:
        return fault
    now = _value(kernel, one)
    return None if now == one.after else _fault(one, "not-taken", f"the kernel took it, and says {now!r}")


def _fault(one: Operation, word: str, message: str) -> Fault:
    rule = f"{one.setting.name.lower().replace('_', '-')}-{word}"
    remedy = _REMEDIES.get(one.setting, _OTHER)
    return Fault(place(one.pf, one.vf), rule, f"{one.setting.value} to {one.after!r}: {message}", remedy)


def _write_autoprobe(kernel: Kernel, one: Operation) -> None:
    kernel.write(f"{reading.home(one.pf)}/sriov_drivers_autoprobe", f"{one.after}\n")


def _write_mode(kernel: Kernel, one: Operation) -> Fault | None:
    if _number_of_vfs(kernel, one.pf) != 0:
        return _fault(one, "in-use", "it has VFs (or does not tell), which a change would cut off")
    kernel.set_mode(format_pci(one.pf), str(one.after))
    return None


def _write_number(kernel: Kernel, one: Operation) -> Fault | None:
    """The last guard before VFs vanish: whatever asked for it, none goes that a driver has."""
    found = reading.observe(kernel, one.pf)
    if found is None or (found.made and one.after):
        return _fault(one, "in-use", "it has VFs already (or is gone)")
    used = [
        vf.index for vf in found.vfs if vf.settings.get(Setting.DRIVER) or vf.settings.get(Setting.OVERRIDE)
    ]
    if used:
        return _fault(one, "in-use", f"VF {used[0]} is in use")
    kernel.write(f"{reading.home(one.pf)}/sriov_numvfs", f"{one.after}\n")
    return None


def _write_override(kernel: Kernel, one: Operation) -> None:
    # An empty line takes it away (Documentation/ABI/testing/sysfs-bus-pci).
    where = _vf_home(kernel, one)
    kernel.drive(where.rpartition("/")[2], f"{where}/driver_override", f"{one.after}\n")


def _write_driver(kernel: Kernel, one: Operation) -> None:
    where = _vf_home(kernel, one)
    address = where.rpartition("/")[2]
    if not one.after:
        kernel.drive(address, f"{where}/driver/unbind", address)
        return
    # With autoprobe off a VF is bound to the driver of its override alone (pci_device_can_probe). It has that
    # one already, but when something is taken back.
    override = _override(kernel, where)
    if override != one.after:
        kernel.drive(address, f"{where}/driver_override", f"{one.after}\n")
    try:
        kernel.drive(address, f"bus/pci/drivers/{one.after}/bind", address)
    finally:
        if override != one.after:
            kernel.drive(address, f"{where}/driver_override", f"{override}\n")


def _tell(kernel: Kernel, one: Operation) -> None:
    """Over netlink, by the PF's own link: its index stays when it is renamed."""
    tree = Tree(kernel.root)
    link = uplink(tree, reading.home(one.pf))
    index = tree.number(f"{link}/ifindex", _MOST_INDEX) if link else None
    if index is None or one.vf is None:
        raise OSError(errno.ENODEV, "the PF has no netdev in this network namespace")
    kernel.send(change(index, one.vf, one.setting, one.after))


_WRITES: Final[dict[Setting, Callable[[Kernel, Operation], Fault | None]]] = {
    Setting.AUTOPROBE: _write_autoprobe,
    Setting.ESWITCH: _write_mode,
    Setting.VFS: _write_number,
    Setting.OVERRIDE: _write_override,
    Setting.DRIVER: _write_driver,
}


def _vf_home(kernel: Kernel, one: Operation) -> str:
    pci = None if one.vf is None else reading.vf_address(Tree(kernel.root), one.pf, one.vf)
    if pci is None:
        raise OSError(errno.ENODEV, "the VF is not there")
    return reading.home(pci)


def _override(kernel: Kernel, where: str) -> str:
    text = kernel.override(where.rpartition("/")[2])
    return "" if text == reading.NO_OVERRIDE else text


def _number_of_vfs(kernel: Kernel, pci: PciAddress) -> int | None:
    return Tree(kernel.root).number(f"{reading.home(pci)}/sriov_numvfs", _MOST_INDEX)


def _value(kernel: Kernel, one: Operation) -> object:
    """What the kernel says now; None if it does not."""
    try:
        if one.vf is None:
            found: FoundPf | FoundVf | None = reading.observe(kernel, one.pf)
        else:
            found = reading.observe_vf(kernel, one.pf, one.vf)
    except OSError:
        return None
    return None if found is None else found.settings.get(one.setting)
