"""Counters of VFs: netlink messages as the kernel writes them, and a made-up sysfs. No real NIC was asked."""

from __future__ import annotations

import errno
import struct
from collections.abc import Mapping
from pathlib import Path

import pytest

from ipam.devices import tallies, vf_counts
from ipam.devices.tallies import MOST, Subject
from ipam.devices.vf_counts import VfCount
from model.fabric import FabricKind
from model.gang import Use
from model.hardware import parse_pci
from model.tally import FULL, Manner, Medium, Tally
from tests.fakes.sysfs import Sysfs

NIC = "0000:18:00.0"
PF = parse_pci(NIC)
LINE, BUS = 25_000_000_000, 32_000_000_000
COUNTS = {0: VfCount((1, 60), (2, 130)), 1: VfCount((3, 300), (4, 4_000))}
PORT = {"port_xmit_packets": 7, "port_xmit_data": 700, "port_rcv_packets": 9, "port_rcv_data": 1_000}


def nla(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def vf(index: int, *stats: int) -> bytes:
    """IFLA_VF_INFO with IFLA_VF_STATS: packets in and out, bytes in and out, as rtnl_fill_vfinfo has them."""
    told = b"".join(nla(kind, struct.pack("=Q", value)) for kind, value in enumerate(stats))
    return nla(1, nla(1, struct.pack("=I32s", index, b"")) + nla(8, told))


def answer(*vfs: bytes) -> bytes:
    body = struct.pack("=BxHiII", 0, 1, 7, 0, 0) + nla(22, b"".join(vfs))
    return struct.pack("=IHHII", 16 + len(body), 16, 0, 1, 0) + body


def test_what_a_vf_receives_and_sends_is_not_mixed_up() -> None:
    told = vf_counts.parse(answer(vf(0, 2, 1, 130, 60, 5, 6), vf(1, 4, 3, 4_000, 300)))
    assert told == COUNTS
    assert vf_counts.parse(answer(vf(3, 1, 2, 3))) == {}, "a list that the kernel cut off"
    assert vf_counts.parse(answer()) == {}
    whole = answer(vf(0, 2, 1, 130, 60), vf(1, 4, 3, 4_000, 300))
    for at in range(32, len(whole) - 1):
        vf_counts.parse(whole[:at] + b"\xff\xff" + whole[at + 2 :])  # whatever it makes of it
    assert vf_counts.observe("lo") == {}


@pytest.fixture
def tree(tmp_path: Path) -> Sysfs:
    made = Sysfs(tmp_path / "sys")
    down, _ = made.switch(0x18, 0)
    home = made.nic(NIC, down, 0)
    made.netdev(NIC, "rail0", "a0:88:c2:00:00:01")
    made.vfs(NIC, 2)
    for name, text in (("current_link_speed", "16.0 GT/s PCIe"), ("current_link_width", "16")):
        (home / name).write_text(text + "\n")
    for name, text in (("ifindex", "7"), ("speed", "200000")):
        (home / "net/rail0" / name).write_text(text + "\n")
    return made


def home_of(tree: Sysfs, index: int) -> Path:
    return (tree.homes[NIC] / f"virtfn{index}").resolve()


def read(tree: Sysfs, use: Use, kind: FabricKind = FabricKind.ETHERNET) -> Tally | None:
    """Of VF 1."""
    asked = []

    def counts(netdev: str) -> Mapping[int, VfCount]:
        asked.append(netdev)
        return COUNTS

    found = tallies.observe(tree.root, counts, [Subject(PF, 1, kind, use)] * 2)
    assert len(asked) < 2, "a PF is asked once"
    return found.get((PF, 1))


def port(tree: Sysfs, counters: Mapping[str, object], place: str = "counters") -> Path:
    made = home_of(tree, 1) / "infiniband/mlx5_9/ports/1"
    (made / place).mkdir(parents=True, exist_ok=True)
    (made / "rate").write_text("400 Gb/sec (4X NDR)\n")
    for name, value in counters.items():
        (made / place / name).write_text(f"{value}\n")
    return made


@pytest.mark.parametrize("use", Use)
def test_a_pf_tells_of_vfs_whoever_has_them(tree: Sysfs, use: Use) -> None:
    found = read(tree, use)
    assert found is not None and found.life.startswith("pf 7 vf ")
    assert found == Tally(found.life, Medium.VF, Manner.WIDE, 1, (3, 300), (4, 4_000), BUS)
    port(tree, PORT | {"unicast_xmit_packets": 1})
    assert read(tree, use) == found, "the RoCE packets of its RDMA device are in it already"


def test_the_bound_is_the_faster_of_link_and_bus(tree: Sysfs) -> None:
    def speed() -> int | None:
        found = read(tree, Use.VM)
        assert found is not None
        return found.speed

    (tree.homes[NIC] / "current_link_width").write_text("4\n")
    assert speed() == LINE
    (tree.homes[NIC] / "net/rail0/speed").write_text("-1\n")
    assert speed() == BUS // 4
    (tree.homes[NIC] / "current_link_speed").write_text("Unknown\n")
    assert speed() is None


def test_a_driver_that_does_not_count_vfs_is_not_believed(tree: Sysfs) -> None:
    (tree.homes[NIC] / "driver").unlink()
    tree.bind(NIC, "igb")
    assert read(tree, Use.VM) is None
    assert read(tree, Use.CONTAINER) is None, "its netdev is in a container"
    own = home_of(tree, 1) / "net/eth7"
    (own / "statistics").mkdir(parents=True)
    (own / "ifindex").write_text("21\n")
    for name, value in (("tx_packets", 1), ("tx_bytes", 60), ("rx_packets", 2), ("rx_bytes", 150)):
        (own / "statistics" / name).write_text(f"{value}\n")
    found = read(tree, Use.CONTAINER)
    assert found is not None and found.life.startswith("netdev 21 vf ")
    assert (found.sent, found.received, found.unit) == ((1, 60), (2, 150), 1)


@pytest.mark.parametrize(
    ("place", "counters", "manner"),
    [
        ("counters", PORT | {"unicast_xmit_packets": 3}, Manner.WIDE),
        ("counters", PORT, Manner.STICKS),
        ("counters", PORT | {"port_rcv_data": FULL}, Manner.STICKS),
        ("counters", PORT | {"port_rcv_data": FULL + 1}, Manner.WIDE),
        ("counters_ext", {f"{name}_64": value for name, value in PORT.items()}, Manner.WIDE),
    ],
)
def test_a_port_counts_words_of_four(
    tree: Sysfs, place: str, counters: Mapping[str, int], manner: Manner
) -> None:
    port(tree, counters, place)
    found = read(tree, Use.CONTAINER, FabricKind.INFINIBAND)
    assert found is not None and found.life.startswith("rdma ")
    assert (found.medium, found.manner, found.unit) == (Medium.INFINIBAND, manner, 4)
    assert (found.sent, found.received[0], found.speed) == ((7, 700), 9, 50_000_000_000)


def test_a_vm_s_port_is_read_at_the_pf(tree: Sysfs) -> None:
    port(tree, PORT)
    found = read(tree, Use.VM, FabricKind.INFINIBAND)
    assert found is not None
    assert (found.medium, found.unit, found.sent) == (Medium.INFINIBAND, 1, (3, 300))


def test_what_can_not_be_read_is_left_out(tree: Sysfs) -> None:
    assert read(tree, Use.CONTAINER, FabricKind.INFINIBAND) is None, "no driver has it"
    made = port(tree, PORT | {"port_rcv_data": "N/A (no PMA)"})
    assert read(tree, Use.CONTAINER, FabricKind.INFINIBAND) is None
    (made / "counters/port_rcv_data").write_text(f"{MOST + 1}\n")
    assert read(tree, Use.CONTAINER, FabricKind.INFINIBAND) is None

    def refused(netdev: str) -> Mapping[int, VfCount]:
        raise OSError(errno.ENODEV, netdev)

    subject = Subject(PF, 1, FabricKind.ETHERNET, Use.VM)
    assert tallies.observe(tree.root, refused, [subject]) == {}
    assert tallies.observe(tree.root, lambda _: {1: VfCount((0, MOST + 1), (0, 0))}, [subject]) == {}
    assert tallies.observe(tree.root, lambda _: COUNTS, [Subject(PF, 9, FabricKind.ETHERNET, Use.VM)]) == {}


def test_another_netdev_of_the_pf_is_another_life(tree: Sysfs) -> None:
    first, again = read(tree, Use.VM), read(tree, Use.VM)
    assert first is not None and first == again
    (tree.homes[NIC] / "net/rail0/ifindex").write_text("30\n")
    other = read(tree, Use.VM)
    assert other is not None and other.life != first.life
