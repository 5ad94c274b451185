"""Sysfs trees for tests: servers like a DGX, as Linux shows them.

The real tree of the test machine is looked at as well.
"""

from __future__ import annotations

from pathlib import Path

from topologies.sysfs import Sysfs

NICS = (0x18, 0x40, 0x4F, 0x5E, 0x9A, 0xC0, 0xCE, 0xDC)
GPUS = (0x1B, 0x43, 0x52, 0x61, 0x9D, 0xC3, 0xD1, 0xDF)


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
