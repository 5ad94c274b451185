"""A kernel whose VFs react (`topologies.nics`), that can be told to refuse and remembers what was asked."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from pathlib import Path

from ipam.devices.links import VfLink
from topologies.nics import Nics
from topologies.sysfs import Sysfs


@dataclass
class Reacting:
    """`broken`: a path's end, `netlink` or `devlink` -> the errno with which it is refused; 0: it is
    acknowledged, and nothing is done. `written` is all that was asked for. `keepers`: VFs whose VM does not
    let go; `kept`: those that were taken from it nevertheless, and are still there.
    """

    tree: Sysfs
    native: str = "mlx5_core"
    broken: dict[str, int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)
    keepers: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.nics = Nics(self.tree, self.native)

    @property
    def root(self) -> Path:
        return self.tree.root

    @property
    def told(self) -> dict[str, dict[int, VfLink]]:
        return self.nics.told

    @property
    def modes(self) -> dict[str, str]:
        return self.nics.modes

    def prepare(self, address: str, netdev: str, index: int, driver: str = "mlx5_core") -> None:
        self.nics.prepare(address, netdev, index, driver)

    def write(self, path: str, text: str) -> None:
        self.written.append(f"{path.removeprefix('bus/pci/devices/')} {text.strip()}")
        if not self._refuses(path.rpartition("/")[2]):
            self.nics.write(path, text)

    def drive(self, address: str, path: str, text: str) -> None:
        if address in self.kept:
            raise OSError(errno.EBUSY, "a VM has it")
        self.write(path, text)
        if path.endswith("/unbind") and address in self.keepers:
            # Of sysfs it is gone already, while the VM still has it.
            self.kept.add(address)
            raise OSError(errno.EBUSY, "a VM has it")

    def override(self, address: str) -> str:
        if address in self.kept:
            raise OSError(errno.EBUSY, "a VM has it")
        return self.nics.override(address)

    def send(self, message: bytes) -> None:
        self.written.append("netlink")
        if not self._refuses("netlink"):
            self.nics.send(message)

    def links(self, netdev: str) -> tuple[VfLink, ...]:
        return self.nics.links(netdev)

    def mode(self, address: str) -> str:
        return self.nics.mode(address)

    def set_mode(self, address: str, mode: str) -> None:
        self.written.append(f"devlink {mode}")
        if not self._refuses("devlink"):
            self.nics.set_mode(address, mode)

    def _refuses(self, what: str) -> bool:
        """Whether it is swallowed; OSError if it is refused."""
        code = self.broken.get(what)
        if code:
            raise OSError(code, os.strerror(code))
        return code == 0
