"""A kernel that reacts: a made-up sysfs whose files do something when they are written, and VFs over netlink.

What it does was seen on Linux 6.1 with igb's VFs: VFs appear with sriov_numvfs, EBUSY if there are some; with
autoprobe off only the driver of the override is bound, ENODEV for any other; driver_override reads `(null)`
when there is none.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipam.devices.links import VfLink
from model.hardware import format_pci, parse_pci
from tests.fakes.sysfs import Sysfs

NEW = VfLink(0, vlan=(0, 0), rates=(0, 0), spoof=1, trust=0, link=0)


@dataclass
class Reacting:
    """`broken`: a path's end, `netlink` or `devlink` -> the errno with which it is refused; 0: it is
    acknowledged, and nothing is done. `written` is all that was asked for."""

    tree: Sysfs
    native: str = "mlx5_core"
    told: dict[str, dict[int, VfLink]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    broken: dict[str, int] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    @property
    def root(self) -> Path:
        return self.tree.root

    def prepare(self, address: str, netdev: str, index: int, driver: str = "mlx5_core") -> None:
        """A PF of the tree, without VFs, with an index of its netdev, a switch and drivers for VFs."""
        home = self.tree.homes[address]
        (home / "sriov_drivers_autoprobe").write_text("1\n")
        (home / "net" / netdev / "ifindex").write_text(f"{index}\n")
        self.told[netdev] = {}
        self.modes[address] = "legacy"
        for name in (driver, self.native, "vfio-pci"):
            (self.root / "bus/pci/drivers" / name).mkdir(parents=True, exist_ok=True)

    def write(self, path: str, text: str) -> None:
        self.written.append(f"{path.removeprefix('bus/pci/devices/')} {text.strip()}")
        name = path.rpartition("/")[2]
        if self._refuses(name):
            return
        if name in {"bind", "unbind"}:
            self._bind(path, name, text)
            return
        file = self.root / path
        if not file.is_file():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if name == "sriov_numvfs":
            self._make(path.split("/")[-2], int(text))
        elif name == "driver_override":
            file.write_text((text.strip() or "(null)") + "\n")
        else:
            file.write_text(text)

    def send(self, message: bytes) -> None:
        self.written.append("netlink")
        if self._refuses("netlink"):
            return
        (index,) = struct.unpack_from("=i", message, 20)
        netdev = next(n for n in self.told if self._index(n) == index)
        kind, value = next(_inner(message))
        vf, first = struct.unpack_from("=II", value.ljust(12, b"\0"))
        if vf not in self.told[netdev]:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        pair = struct.unpack_from("=II", value.ljust(12, b"\0"), 4)
        wide = struct.unpack_from("=Q", value.ljust(16, b"\0"), 8)[0]
        names = {1: ("mac", int.from_bytes(value[4:10], "big"))}
        names |= {2: ("vlan", pair), 6: ("rates", pair)}
        names |= {4: ("spoof", first), 5: ("link", first), 9: ("trust", first)}
        names |= {10: ("node_guid", wide), 11: ("port_guid", wide)}
        key, new = names[kind]
        old = {name: getattr(self.told[netdev][vf], name) for name in VfLink.__slots__}
        self.told[netdev][vf] = VfLink(**(old | {key: new}))

    def links(self, netdev: str) -> tuple[VfLink, ...]:
        return tuple(vf for _, vf in sorted(self.told[netdev].items()))

    def mode(self, address: str) -> str:
        return self.modes.get(address, "")

    def set_mode(self, address: str, mode: str) -> None:
        self.written.append(f"devlink {mode}")
        if not self._refuses("devlink"):
            self.modes[address] = mode

    def _refuses(self, what: str) -> bool:
        """Whether it is swallowed; OSError if it is refused."""
        code = self.broken.get(what)
        if code:
            raise OSError(code, os.strerror(code))
        return code == 0

    def _index(self, netdev: str) -> int:
        (file,) = self.root.glob(f"devices/**/net/{netdev}/ifindex")
        return int(file.read_text())

    def _make(self, address: str, count: int) -> None:
        home = self.tree.homes[address]
        (netdev,) = (name for name in os.listdir(home / "net"))
        had = int((home / "sriov_numvfs").read_text())
        if had and count:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        for index in range(had):
            vf = os.readlink(home / f"virtfn{index}").rpartition("/")[2]
            (home / f"virtfn{index}").unlink()
            self.tree.remove(vf)
        probing = (home / "sriov_drivers_autoprobe").read_text().strip() == "1"
        self.tree.vfs(address, count, self.native if probing else "")
        for index in range(count):
            vf = os.readlink(home / f"virtfn{index}").rpartition("/")[2]
            (self.tree.homes[vf] / "driver_override").write_text("(null)\n")
        told = {name: getattr(NEW, name) for name in VfLink.__slots__ if name != "index"}
        self.told[netdev] = {index: VfLink(index, **told) for index in range(count)}

    def _bind(self, path: str, name: str, text: str) -> None:
        address = format_pci(parse_pci(text))
        home = self.tree.homes[address]
        place = self.root / path
        if not place.parent.is_dir():
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        if name == "unbind":
            (home / "driver").unlink()
            return
        driver = path.split("/")[-2]
        override = (home / "driver_override").read_text().strip()
        owner = self.tree.homes[os.readlink(home / "physfn").rpartition("/")[2]]
        probing = (owner / "sriov_drivers_autoprobe").read_text().strip() == "1"
        if override != driver and (override != "(null)" or not probing or driver == "vfio-pci"):
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))
        if (home / "driver").is_symlink():
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.tree.bind(address, driver)


def _inner(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The one attribute in IFLA_VFINFO_LIST, IFLA_VF_INFO."""
    length, kind = struct.unpack_from("=HH", message, 40)
    yield kind, message[44 : 40 + length]
