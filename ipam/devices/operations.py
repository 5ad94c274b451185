"""Operations: the shortest way from how devices are set to how they are to be, and the way back.

Place: pure; between `desired`, `found` and `carrying`. Never takes a VF away that exists (the number of VFs
is written only where there are none), never changes a switch's mode under VFs, never touches what is not
desired.

The order is the kernel's: number, then what a driver reads when it is bound, then the driver, then the link.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from ipam.devices.desired import IDENTITY, LINK_DISABLE, DesiredPf, DesiredVf, Setting, Value, VfDriver
from ipam.devices.found import FoundPf, FoundVf
from model.errors import Fault
from model.hardware import PciAddress, format_pci

NATIVE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "mlx5_core": "mlx5_core",
        "mlx4_core": "mlx4_core",
        "bnxt_en": "bnxt_en",
        "igb": "igbvf",
        "ixgbe": "ixgbevf",
        "i40e": "iavf",
        "ice": "iavf",
    }
)
"""Driver of a PF -> that of its VFs, as Linux has them."""

_WHILE_UNBOUND: Final = (*IDENTITY, Setting.VLAN, Setting.RATES, Setting.SPOOF, Setting.TRUST)
_FRESH: Final[Mapping[Setting, Value]] = MappingProxyType({Setting.OVERRIDE: "", Setting.DRIVER: ""})
"""What is known of a VF that was just made, with autoprobe off."""
_EMPTY_IT: Final = "Move what uses its VFs away, write 0 to sriov_numvfs of {}; the rest follows."
_GUIDS: Final = frozenset({Setting.NODE_GUID, Setting.PORT_GUID})


@dataclass(frozen=True, slots=True)
class Operation:
    """One write. `vf` None: of the PF itself. `before` None: the kernel does not tell, or the VF is new."""

    pf: PciAddress
    vf: int | None
    setting: Setting
    before: Value | None
    after: Value

    def __str__(self) -> str:
        return f"{place(self.pf, self.vf)}: {self.setting.value} {self.before!r} -> {self.after!r}"


@dataclass(frozen=True, slots=True)
class Plan:
    """`operations` in order. `faults`: PFs for which nothing is done, and why."""

    operations: tuple[Operation, ...]
    faults: tuple[Fault, ...]


def place(pf: PciAddress, vf: int | None) -> str:
    """What people read: `PF 0000:18:00.0`, `VF 3 of 0000:18:00.0`."""
    return f"PF {format_pci(pf)}" if vf is None else f"VF {vf} of {format_pci(pf)}"


def plan(desired: Iterable[DesiredPf], found: Iterable[FoundPf]) -> Plan:
    """What is still to be done; nothing, if all is as it should be."""
    there = {pf.pci: pf for pf in found}
    operations: list[Operation] = []
    faults: list[Fault] = []
    for wish in sorted(desired, key=lambda pf: pf.pci):
        pf = there.get(wish.pci)
        want = wish if pf is None else _without_gone(wish, pf)
        fault = _obstacle(want, pf)
        if fault is not None:
            faults.append(fault)
        elif pf is not None:
            operations += _pf(want, pf)
    return Plan(tuple(operations), tuple(faults))


def undo(done: Sequence[Operation]) -> tuple[Operation, ...]:
    """What takes these operations back, the last first. What was not told is left as it is; so is a GUID that
    was 0, which no kernel takes back (all zeros are nobody's)."""
    return tuple(
        Operation(one.pf, one.vf, one.setting, one.after, one.before)
        for one in reversed(done)
        if one.before is not None and not (one.setting in _GUIDS and one.before == 0)
    )


def _without_gone(want: DesiredPf, pf: FoundPf) -> DesiredPf:
    """A VF that is to be parked and is not there needs nothing: none is made for that."""
    if not pf.made and _serves(want):
        return want  # all of them are made at once
    left = tuple(vf for vf in want.vfs if vf.driver is not VfDriver.NONE or pf.vf(vf.index) is not None)
    return want if left == want.vfs else replace(want, vfs=left)


def _serves(want: DesiredPf) -> bool:
    return any(vf.driver is not VfDriver.NONE for vf in want.vfs)


def _obstacle(want: DesiredPf, pf: FoundPf | None) -> Fault | None:
    """Why nothing is done to a PF."""
    if pf is None:
        return _fault(
            want.pci, "pf-missing", "there is no such PF", "Look for it with lspci -D, and compare the Sku."
        )
    needed = max((vf.index + 1 for vf in want.vfs), default=0)
    if pf.made and needed > pf.made:
        return _fault(
            want.pci,
            "vfs-in-use",
            f"it has {pf.made} VFs, VF {needed - 1} is needed, and their number changes only from 0",
            _EMPTY_IT.format(format_pci(want.pci)),
        )
    if not pf.made and needed > pf.total:
        return _fault(
            want.pci,
            "vfs-impossible",
            f"VF {needed - 1} is needed, its firmware allows {pf.total} VFs",
            "Turn SR-IOV on in the BIOS, set the number of VFs in the NIC's firmware, start the server anew.",
        )
    return _mode_obstacle(want, pf) or _driver_obstacle(want, pf)


def _mode_obstacle(want: DesiredPf, pf: FoundPf) -> Fault | None:
    mode = pf.settings.get(Setting.ESWITCH)
    if want.eswitch is None or mode == want.eswitch.value or not _serves(want):
        return None  # VFs are parked in whatever mode they are found
    if mode is None:
        return _fault(
            want.pci,
            "eswitch-missing",
            f"its switch is to be in mode {want.eswitch.value}, and the kernel tells of no switch",
            "Load its driver (devlink dev eswitch show must answer), or leave eswitch out of the Sku.",
        )
    if pf.made:
        return _fault(
            want.pci,
            "eswitch-in-use",
            f"its switch is in mode {mode}, not {want.eswitch.value}, and a change would cut its VFs off",
            _EMPTY_IT.format(format_pci(want.pci)),
        )
    return None


def _driver_obstacle(want: DesiredPf, pf: FoundPf) -> Fault | None:
    if pf.driver in NATIVE or not any(vf.driver is VfDriver.NATIVE for vf in want.vfs):
        return None
    return _fault(
        want.pci,
        "driver-unknown",
        f"which driver the VFs of {pf.driver or 'a PF without driver'} have is not known here",
        f"Use one of {', '.join(sorted(NATIVE))}, or give its VFs to VMs (vfio-pci).",
    )


def _fault(pci: PciAddress, rule: str, message: str, remedy: str) -> Fault:
    return Fault(place(pci, None), rule, message, remedy)


def _pf(want: DesiredPf, pf: FoundPf) -> Iterator[Operation]:
    if want.vfs and not pf.made:
        yield from _make(want, pf)
    for one in want.vfs:
        yield from _vf(pf, one, pf.vf(one.index) or FoundVf(one.index, None, _FRESH))


def _make(want: DesiredPf, pf: FoundPf) -> Iterator[Operation]:
    """With VFs that no driver takes at once: it would read an identity that is not set yet."""
    mode = pf.settings.get(Setting.ESWITCH)
    if want.eswitch is not None and mode != want.eswitch.value:
        yield Operation(pf.pci, None, Setting.ESWITCH, mode, want.eswitch.value)
    autoprobe = pf.settings.get(Setting.AUTOPROBE)
    if autoprobe != 0:
        yield Operation(pf.pci, None, Setting.AUTOPROBE, autoprobe, 0)
    needed = max(vf.index + 1 for vf in want.vfs)
    yield Operation(pf.pci, None, Setting.VFS, 0, max(needed, min(want.count, pf.total)))


def _vf(pf: FoundPf, want: DesiredVf, there: FoundVf) -> Iterator[Operation]:
    def write(setting: Setting, after: Value, before: Value | None) -> Operation:
        return Operation(pf.pci, want.index, setting, before, after)

    now = there.settings
    differing = {s: v for s, v in want.settings.items() if now.get(s) != v}
    driver = _driver(pf, want)
    bound = now.get(Setting.DRIVER, "")
    # A VM's VF is not pulled from under it: it learns its identity at its next reset.
    stale = bound != VfDriver.VFIO.value and any(s in differing for s in IDENTITY)
    rebind = bool(bound) and (bound != driver or stale)
    link = differing.get(Setting.LINK)
    if link == LINK_DISABLE:
        yield write(Setting.LINK, link, now.get(Setting.LINK))
    if rebind:
        yield write(Setting.DRIVER, "", bound)
    for setting in _WHILE_UNBOUND:
        if setting in differing:
            yield write(setting, differing[setting], now.get(setting))
    if now.get(Setting.OVERRIDE, "") != driver:
        yield write(Setting.OVERRIDE, driver, now.get(Setting.OVERRIDE, ""))
    if driver and (rebind or not bound):
        yield write(Setting.DRIVER, driver, "")
    if link is not None and link != LINK_DISABLE:
        yield write(Setting.LINK, link, now.get(Setting.LINK))


def _driver(pf: FoundPf, want: DesiredVf) -> str:
    return NATIVE[pf.driver] if want.driver is VfDriver.NATIVE else want.driver.value
