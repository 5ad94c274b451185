"""NICs: a kernel with SR-IOV that is none, whose files react when they are written; VFs over netlink as well.

Place: what `ipam.devices` is given in the kernel's place, by tests and by the lab of rails: kernels without
such hardware have no VFs. What it does was seen on Linux 6.1 with igb's VFs: VFs appear with sriov_numvfs,
EBUSY if there are some; with autoprobe off only the driver of the override is bound, ENODEV for any other;
driver_override reads `(null)` when there is none. Must not be taken for mlx5: it knows no firmware.
"""

from __future__ import annotations

import errno
import os
import shutil
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipam.devices.links import VfLink
from ipam.devices.tree import Tree
from model.hardware import format_pci, parse_pci
from topologies.sysfs import Sysfs

NEW = VfLink(0, vlan=(0, 0), rates=(0, 0), spoof=1, trust=0, link=0)
_VFIO = "vfio-pci"
_SWITCHDEV = "switchdev"


@dataclass
class Nics:
    """A `Kernel` of `ipam.devices`. `told`: what netlink says of each netdev's VFs; `modes`: of switches."""

    tree: Sysfs
    native: str = "mlx5_core"
    told: dict[str, dict[int, VfLink]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """In the place of /sys."""
        return self.tree.root

    def prepare(self, address: str, netdev: str, index: int, driver: str = "mlx5_core") -> None:
        """A PF of the tree, without VFs, with an index of its netdev, a switch and drivers for VFs."""
        home = self.tree.homes[address]
        (home / "sriov_drivers_autoprobe").write_text("1\n")
        (home / "net" / netdev / "ifindex").write_text(f"{index}\n")
        self.told[netdev] = {}
        self.modes[address] = "legacy"
        for name in (driver, self.native, _VFIO):
            (self.root / "bus/pci/drivers" / name).mkdir(parents=True, exist_ok=True)

    def write(self, path: str, text: str) -> None:
        """To a file of sysfs; OSError as the kernel has it."""
        name = path.rpartition("/")[2]
        if name in {"bind", "unbind"}:
            self._bind(path, name, text)
            return
        file = self.root / path
        if not file.is_file():
            raise _refused(errno.ENOENT)
        if name == "sriov_numvfs":
            self._make(path.split("/")[-2], int(text))
        elif name == "driver_override":
            file.write_text((text.strip() or "(null)") + "\n")
        else:
            file.write_text(text)

    def drive(self, address: str, path: str, text: str) -> None:
        """As `write`."""
        self.write(path, text)

    def override(self, address: str) -> str:
        """As it is read."""
        return Tree(self.root).text(f"bus/pci/devices/{address}/driver_override")

    def send(self, message: bytes) -> None:
        """RTM_NEWLINK with one setting of one VF; OSError as the kernel has it."""
        (index,) = struct.unpack_from("=i", message, 20)
        netdev = next((n for n in self.told if self._index(n) == index), None)
        if netdev is None:
            raise _refused(errno.ENODEV)
        kind, value = next(_inner(message))
        vf, first = struct.unpack_from("=II", value.ljust(12, b"\0"))
        if vf not in self.told[netdev]:
            raise _refused(errno.EINVAL)
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
        """VFs of a PF by its netdev."""
        return tuple(vf for _, vf in sorted(self.told[netdev].items()))

    def mode(self, address: str) -> str:
        """Of a PF's switch, "" if it has none."""
        return self.modes.get(address, "")

    def set_mode(self, address: str, mode: str) -> None:
        """Change it."""
        self.modes[address] = mode

    def _index(self, netdev: str) -> int:
        (file,) = self.root.glob(f"bus/pci/devices/*/net/{netdev}/ifindex")
        return int(file.read_text())

    def _make(self, address: str, count: int) -> None:
        home = self.tree.homes[address]
        netdev = self._uplink(home)
        had = int((home / "sriov_numvfs").read_text())
        if had and count:
            raise _refused(errno.EBUSY)
        for index in range(had):
            vf = os.readlink(home / f"virtfn{index}").rpartition("/")[2]
            (home / f"virtfn{index}").unlink()
            self.tree.remove(vf)
            shutil.rmtree(home / "net" / f"{netdev}r{index}", ignore_errors=True)
        probing = (home / "sriov_drivers_autoprobe").read_text().strip() == "1"
        self.tree.vfs(address, count, self.native if probing else "")
        for index in range(count):
            vf = os.readlink(home / f"virtfn{index}").rpartition("/")[2]
            (self.tree.homes[vf] / "driver_override").write_text("(null)\n")
        told = {name: getattr(NEW, name) for name in VfLink.__slots__ if name != "index"}
        self.told[netdev] = {index: VfLink(index, **told) for index in range(count)}
        if self.modes.get(address) == _SWITCHDEV:
            self._represent(address, home, netdev, count)

    def _uplink(self, home: Path) -> str:
        (netdev,) = (name for name in os.listdir(home / "net") if name in self.told)
        return netdev

    def _represent(self, address: str, home: Path, netdev: str, count: int) -> None:
        """As mlx5 has them: beside the PF's own link, told apart by phys_port_name; `NETDEVrN` by udev."""
        ports = [(netdev, f"p{address[-1]}")]
        ports += [(f"{netdev}r{index}", f"pf{address[-1]}vf{index}") for index in range(count)]
        for name, port in ports:
            place = home / "net" / name
            place.mkdir(exist_ok=True)
            (place / "phys_port_name").write_text(f"{port}\n")
            (place / "phys_switch_id").write_text(f"{parse_pci(address):016x}\n")

    def _bind(self, path: str, name: str, text: str) -> None:
        address = format_pci(parse_pci(text))
        home = self.tree.homes[address]
        place = self.root / path
        if not place.parent.is_dir():
            raise _refused(errno.ENOENT)
        if name == "unbind":
            (home / "driver").unlink()
            return
        driver = path.split("/")[-2]
        override = (home / "driver_override").read_text().strip()
        owner = self.tree.homes[os.readlink(home / "physfn").rpartition("/")[2]]
        probing = (owner / "sriov_drivers_autoprobe").read_text().strip() == "1"
        if override != driver and (override != "(null)" or not probing or driver == _VFIO):
            raise _refused(errno.ENODEV)
        if (home / "driver").is_symlink():
            raise _refused(errno.EBUSY)
        self.tree.bind(address, driver)


def _refused(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def _inner(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The one attribute in IFLA_VFINFO_LIST, IFLA_VF_INFO."""
    length, kind = struct.unpack_from("=HH", message, 40)
    yield kind, message[44 : 40 + length]
