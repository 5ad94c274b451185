"""NICs in memory that keep the kernel's rules: what a plan of operations is tried on.

The rules were written after Linux' sources (drivers/pci/iov.c, pci-driver.c): they can't prove what a NIC's
driver does besides. What breaks a rule is an AssertionError: no plan may try it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType

from ipam.devices.desired import IDENTITY, Setting, Value
from ipam.devices.found import FoundPf, FoundVf
from ipam.devices.operations import NATIVE, Operation
from model.hardware import PciAddress

NEW = {
    Setting.MAC: 0,
    Setting.NODE_GUID: 0,
    Setting.PORT_GUID: 0,
    Setting.VLAN: (0, 0),
    Setting.RATES: (0, 0),
    Setting.SPOOF: 1,
    Setting.TRUST: 0,
    Setting.LINK: 0,
    Setting.OVERRIDE: "",
    Setting.DRIVER: "",
}


@dataclass
class Vf:
    """`read`: the identity that its driver has read."""

    settings: dict[Setting, Value] = field(default_factory=lambda: dict(NEW))
    read: dict[Setting, Value] = field(default_factory=dict)


@dataclass
class Pf:
    driver: str = "mlx5_core"
    total: int = 8
    autoprobe: int = 1
    eswitch: str = "legacy"
    vfs: list[Vf] = field(default_factory=list)


@dataclass
class Host:
    """`written`: what was written, in order."""

    pfs: dict[PciAddress, Pf]
    written: list[Operation] = field(default_factory=list)

    def found(self) -> tuple[FoundPf, ...]:
        return tuple(_found(pci, pf) for pci, pf in sorted(self.pfs.items()))

    def write(self, one: Operation) -> None:
        pf = self.pfs[one.pf]
        self.written.append(one)
        if one.vf is not None:
            _write_vf(pf, pf.vfs[one.vf], one)
        elif one.setting is Setting.AUTOPROBE:
            assert isinstance(one.after, int)
            pf.autoprobe = one.after
        elif one.setting is Setting.ESWITCH:
            assert not pf.vfs, "a switch's mode changes under VFs"
            pf.eswitch = str(one.after)
        else:
            assert isinstance(one.after, int)
            assert not pf.vfs or not one.after, "EBUSY: the number of VFs changes from 0, or to 0"
            assert one.after <= pf.total, "ERANGE"
            assert not any(vf.settings[Setting.DRIVER] for vf in pf.vfs), "VFs that are in use are taken away"
            pf.vfs = [Vf() for _ in range(one.after)]
            if pf.autoprobe:
                for vf in pf.vfs:
                    bind(vf, NATIVE[pf.driver])


def bind(vf: Vf, driver: str) -> None:
    """A driver reads who it is once."""
    vf.settings[Setting.DRIVER] = driver
    vf.read = {setting: vf.settings[setting] for setting in IDENTITY}


def _write_vf(pf: Pf, vf: Vf, one: Operation) -> None:
    if one.setting is not Setting.DRIVER:
        vf.settings[one.setting] = one.after
    elif not one.after:
        assert vf.settings[Setting.DRIVER], "ENODEV: no driver is bound"
        vf.settings[Setting.DRIVER], vf.read = "", {}
    else:
        # Whoever writes `bind` sees to it that the override lets this driver in: `carrying` does.
        assert not vf.settings[Setting.DRIVER], "EBUSY: another driver is bound"
        assert one.after in {NATIVE.get(pf.driver), "vfio-pci"}
        bind(vf, str(one.after))


def _found(pci: PciAddress, pf: Pf) -> FoundPf:
    vfs = tuple(
        FoundVf(index, PciAddress(pci + 2 + index), MappingProxyType(dict(vf.settings)))
        for index, vf in enumerate(pf.vfs)
    )
    settings: dict[Setting, Value] = {
        Setting.AUTOPROBE: pf.autoprobe,
        Setting.ESWITCH: pf.eswitch,
        Setting.VFS: len(pf.vfs),
    }
    return FoundPf(pci, pf.driver, pf.total, MappingProxyType(settings), vfs)
