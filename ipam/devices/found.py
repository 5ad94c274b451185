"""Found: how a PF and its VFs are set now, with all that `operations` compares.

Place: pure type; read from the kernel by `ipam.devices.reading`. More than `model.sighting` has, and of few
PFs: it stays on the host. Must not hold names, which change: PCI addresses and numbers of VFs only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipam.devices.desired import Setting, Value
from model.hardware import PciAddress


@dataclass(frozen=True, slots=True)
class FoundVf:
    """`pci` None: it is not made yet. `settings`: what the kernel tells; OVERRIDE and DRIVER always."""

    index: int
    pci: PciAddress | None
    settings: Mapping[Setting, Value]


@dataclass(frozen=True, slots=True)
class FoundPf:
    """`driver`: of the PF itself, "" = none. `total`: VFs that it can have. `settings`: AUTOPROBE, ESWITCH
    (not told: it has no switch), VFS. `vfs` by index."""

    pci: PciAddress
    driver: str
    total: int
    settings: Mapping[Setting, Value]
    vfs: tuple[FoundVf, ...] = ()

    @property
    def made(self) -> int:
        """How many VFs it has."""
        count = self.settings.get(Setting.VFS, 0)
        return count if isinstance(count, int) else 0

    def vf(self, index: int) -> FoundVf | None:
        """The VF of that number; None if there is none."""
        return next((vf for vf in self.vfs if vf.index == index), None)
