"""A sysfs tree for tests: PCI switches, GPUs, NICs with VFs, as Linux shows them of a DGX.

What it shows was written after the kernel's documentation and the output of servers, not copied from one: it
can't prove that a driver writes its files so. The real tree of the test machine is looked at as well.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

NICS = (0x18, 0x40, 0x4F, 0x5E, 0x9A, 0xC0, 0xCE, 0xDC)
GPUS = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)


@dataclass
class Sysfs:
    """`root`: what a reader gets in /sys's place. Addresses are text, as the kernel has them."""

    root: Path
    homes: dict[str, Path] = field(default_factory=dict)

    def add(self, address: str, above: str = "", **files: str) -> Path:
        """A PCI device below another one; `files`: name -> content."""
        parent = self.homes[above] if above else self.root / "devices" / f"pci{address[:7]}"
        home = parent / address
        home.mkdir(parents=True)
        self.homes[address] = home
        usual = {"vendor": "0x8086", "device": "0x1030", "class": "0x060400", "numa_node": "0"}
        for name, text in (usual | files).items():
            (home / name).write_text(text + "\n")
        bus = self.root / "bus/pci/devices"
        bus.mkdir(parents=True, exist_ok=True)
        (bus / address).symlink_to(os.path.relpath(home, bus))
        return home

    def remove(self, address: str) -> None:
        """It is pulled out."""
        shutil.rmtree(self.homes.pop(address))
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


def h200(root: Path, vfs: int = 8) -> Sysfs:
    """Eight GPUs, each beside a ConnectX-7 with an InfiniBand port; two Ethernet functions besides."""
    made = _server(root, "0x2335")
    for index, bus in enumerate(NICS):
        address = f"0000:{bus:02x}:00.0"
        made.nic(address, made.homes[address_of_switch(bus)].name, index // 4, kind="0x020700")
        made.port(address, f"mlx5_{index}", "InfiniBand", 0xA088C20300B0E000 + index, 128)
        made.netdev(address, f"ibp{bus}s0", "00:00:10:49:fe:80" + ":00" * 14)
        made.vfs(address, vfs)
    return _fronts(made, vfs=2 * vfs)


def b200(root: Path, vfs: int = 16) -> Sysfs:
    """Eight GPUs, each beside an Ethernet port with RoCE; two BlueField-3 functions besides."""
    made = _server(root, "0x2901")
    for index, bus in enumerate(NICS):
        address = f"0000:{bus:02x}:00.0"
        made.nic(address, made.homes[address_of_switch(bus)].name, index // 4, device="0xa2dc")
        made.port(address, f"mlx5_{index}", "Ethernet", 0xA088C20300B0F000 + index, 1)
        made.netdev(address, f"enp{bus}s0np0", f"a0:88:c2:00:00:{index:02x}")
        made.vfs(address, vfs)
    return _fronts(made, device="0xa2dc", vfs=2 * vfs)


def address_of_switch(bus: int) -> str:
    """The bridge above the NIC on that bus."""
    return f"0000:{bus - 1:02x}:00.0"


def _server(root: Path, gpu: str) -> Sysfs:
    made = Sysfs(root)
    for index, (nic, other) in enumerate(zip(NICS, GPUS, strict=True)):
        _, below = made.switch(nic, index // 4)
        made.gpu(f"0000:{other:02x}:00.0", below, index // 4, gpu)
    return made


def _fronts(made: Sysfs, device: str = "0x1021", vfs: int = 16) -> Sysfs:
    for bus, numa in ((0x29, 0), (0xAA, 1)):
        port, address = f"0000:{bus - 1:02x}:01.0", f"0000:{bus:02x}:00.0"
        made.add(port, numa_node=str(numa))
        home = made.nic(address, port, numa, device)
        (home / "sriov_totalvfs").write_text("64\n")
        made.netdev(address, f"enp{bus}s0f0np0", f"a0:88:c2:01:00:{bus:02x}")
        made.vfs(address, vfs)
    return made
