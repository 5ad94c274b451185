"""Sysfs: a made-up tree of PCI switches, GPUs and NICs with VFs, as Linux shows them.

Place: under `nics`, and under trees that tests make up. All of it is files, so that it outlives whoever made
it. What it shows was written after the kernel's documentation and the output of servers, not copied from
one: it can't prove that a driver writes its files so. Must not react to what is written: `nics` does.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Homes:
    """Where each device is, by its address, as the bus lists them now; KeyError for one that is not there."""

    bus: Path

    def __getitem__(self, address: str) -> Path:
        try:
            return Path(os.path.normpath(self.bus / os.readlink(self.bus / address)))
        except FileNotFoundError:
            raise KeyError(address) from None

    def __contains__(self, address: str) -> bool:
        return (self.bus / address).is_symlink()


@dataclass
class Sysfs:
    """`root`: what a reader gets in /sys's place. Addresses are text, as the kernel has them."""

    root: Path

    @property
    def homes(self) -> Homes:
        """Its devices."""
        return Homes(self.root / "bus/pci/devices")

    def add(self, address: str, above: str = "", **files: str) -> Path:
        """A PCI device below another one; `files`: name -> content."""
        parent = self.homes[above] if above else self.root / "devices" / f"pci{address[:7]}"
        home = parent / address
        home.mkdir(parents=True)
        usual = {"vendor": "0x8086", "device": "0x1030", "class": "0x060400", "numa_node": "0"}
        for name, text in (usual | files).items():
            (home / name).write_text(text + "\n")
        bus = self.root / "bus/pci/devices"
        bus.mkdir(parents=True, exist_ok=True)
        (bus / address).symlink_to(os.path.relpath(home, bus))
        return home

    def remove(self, address: str) -> None:
        """It is pulled out."""
        shutil.rmtree(self.homes[address])
        (self.root / "bus/pci/devices" / address).unlink()

    def bind(self, address: str, driver: str) -> None:
        """A driver has the device."""
        place = self.root / "bus/pci/drivers" / driver
        place.mkdir(parents=True, exist_ok=True)
        (self.homes[address] / "driver").symlink_to(os.path.relpath(place, self.homes[address]))

    def switch(self, bus: int, numa: int) -> tuple[str, str]:
        """A PCI switch below a root port: the bridges below which a NIC and a GPU are."""
        port, up = f"0000:{bus - 3:02x}:01.0", f"0000:{bus - 2:02x}:00.0"
        downs = f"0000:{bus - 1:02x}:00.0", f"0000:{bus - 1:02x}:04.0"
        self.add(port, numa_node=str(numa))
        self.add(up, port, numa_node=str(numa))
        for down in downs:
            self.add(down, up, numa_node=str(numa))
        return downs

    def gpu(self, address: str, above: str, numa: int, device: str = "0x2335") -> None:
        self.add(address, above, vendor="0x10de", device=device, numa_node=str(numa), **{"class": "0x030200"})
        self.bind(address, "nvidia")

    def nic(
        self, address: str, above: str, numa: int, device: str = "0x1021", kind: str = "0x020000"
    ) -> Path:
        home = self.add(
            address,
            above,
            vendor="0x15b3",
            device=device,
            numa_node=str(numa),
            sriov_totalvfs="16",
            sriov_numvfs="0",
            **{"class": kind},
        )
        self.bind(address, "mlx5_core")
        return home

    def port(self, address: str, name: str, link: str, guid: int, pkeys: int) -> None:
        """Its RDMA device."""
        device = self.homes[address] / "infiniband" / name
        port = device / "ports/1"
        (port / "pkeys").mkdir(parents=True)
        (port / "gids").mkdir()
        text = ":".join(f"{guid:016x}"[i : i + 4] for i in range(0, 16, 4))
        (device / "node_guid").write_text(text + "\n")
        (port / "link_layer").write_text(link + "\n")
        (port / "gids/0").write_text(f"fe80:0000:0000:0000:{text}\n")
        for index in range(pkeys):
            (port / "pkeys" / str(index)).write_text("0x7fff\n" if not index else "0x0000\n")

    def netdev(self, address: str, name: str, mac: str) -> None:
        place = self.homes[address] / "net" / name
        place.mkdir(parents=True)
        (place / "address").write_text(mac + "\n")

    def vfs(self, address: str, count: int, driver: str = "mlx5_core") -> None:
        """As a write to sriov_numvfs makes them."""
        home = self.homes[address]
        (home / "sriov_numvfs").write_text(f"{count}\n")
        above = home.parent.name
        for index in range(count):
            routing = index + 2
            vf = f"{address[:7]}:{routing >> 3:02x}.{routing & 7}"
            made = self.add(vf, above, vendor="0x15b3", device="0x101e", **{"class": "0x020000"})
            (made / "physfn").symlink_to(f"../{address}")
            (home / f"virtfn{index}").symlink_to(f"../{vf}")
            if driver:
                self.bind(vf, driver)
