"""Discovery in sysfs: servers as they should be, trees that are broken or hostile, and this machine's own."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from ipam.devices import look, sysfs
from model.hardware import format_pci, parse_pci
from model.sighting import MOST_FINDINGS, MOST_VFS, Sighting, parse, plain
from tests.fakes.sysfs import GPUS, NICS, Sysfs, b200, h200

NIC = "0000:18:00.0"


def rules(seen: Sighting) -> list[str]:
    return [each.rule for each in seen.oddities]


def test_an_h200_is_seen_whole(tmp_path: Path) -> None:
    h200(tmp_path)
    seen = sysfs.observe(tmp_path)
    assert seen.oddities == ()
    assert [format_pci(gpu.pci) for gpu in seen.gpus] == [f"0000:{bus:02x}:00.0" for bus in GPUS]
    assert {(gpu.id, gpu.numa) for gpu in seen.gpus} == {("10de:2335", 0), ("10de:2335", 1)}
    assert len(seen.pfs) == 10
    for index, (nic, gpu) in enumerate(zip(NICS, GPUS, strict=True)):
        pf = seen.pf(parse_pci(f"{nic:02x}:00.0"))
        assert pf is not None
        assert pf.gpus == (parse_pci(f"{gpu:02x}:00.0"),)
        assert (pf.numa, pf.link, pf.pkeys, pf.rdma) == (index // 4, "infiniband", 128, f"mlx5_{index}")
        assert pf.node_guid == pf.port_guid == 0xA088C20300B0E000 + index
        assert (pf.id, pf.driver, pf.mac, pf.netdev) == ("15b3:1021", "mlx5_core", 0, f"ibp{nic}s0")
        assert (pf.total, pf.made) == (16, 8)
        assert [vf.index for vf in pf.vfs] == list(range(8))
        assert format_pci(pf.vfs[0].pci) == f"0000:{nic:02x}:00.2"
        assert {vf.driver for vf in pf.vfs} == {"mlx5_core"}
    front = seen.pf(parse_pci("29:00.0"))
    assert front is not None
    assert (front.link, front.gpus, front.mac, front.total) == ("ethernet", (), 0xA088C2010029, 64)


def test_a_b200_is_seen_whole(tmp_path: Path) -> None:
    b200(tmp_path)
    seen = sysfs.observe(tmp_path)
    assert seen.oddities == ()
    rail = seen.pfs[0]
    assert (rail.id, rail.link, rail.rdma, rail.pkeys, rail.port_guid) == (
        *("15b3:a2dc", "ethernet", "mlx5_0", 1, 0),
    )
    assert len(rail.vfs) == 16
    assert seen == sysfs.observe(tmp_path)


def test_a_sighting_survives_its_text(tmp_path: Path) -> None:
    h200(tmp_path)
    shutil.rmtree(tmp_path / "devices/pci0000:15")
    seen = sysfs.observe(tmp_path)
    assert seen.oddities
    assert parse(plain(seen)) == seen


def test_this_machines_own_tree_is_read() -> None:
    seen = look.observe()
    listed = {path.name for path in Path("/sys/bus/pci/devices").iterdir()}
    assert {format_pci(pf.pci) for pf in seen.pfs} <= listed
    assert parse(plain(seen)) == seen
    assert bool(listed) or rules(seen) == ["sysfs-missing"]


def test_no_tree_at_all_is_said(tmp_path: Path) -> None:
    assert rules(sysfs.observe(tmp_path)) == ["sysfs-missing"]
    assert rules(sysfs.observe(tmp_path / "none")) == ["sysfs-missing"]
    (tmp_path / "bus/pci").mkdir(parents=True)
    (tmp_path / "bus/pci/devices").write_text("no directory")
    assert "directory-unreadable" in rules(sysfs.observe(tmp_path))


def test_several_gpus_that_are_equally_near_are_all_told(tmp_path: Path) -> None:
    made = Sysfs(tmp_path)
    nic, gpu = made.switch(0x18, 0)
    made.nic(NIC, nic, 0)
    made.gpu("0000:1b:00.0", gpu, 0)
    made.gpu("0000:1c:00.0", gpu, 0)
    # One below another root port shares no bridge, and one below the same root port only one.
    _, far = made.switch(0x40, 0)
    made.gpu("0000:43:00.0", far, 0)
    (pf,) = sysfs.observe(tmp_path).pfs
    assert [format_pci(pci) for pci in pf.gpus] == ["0000:1b:00.0", "0000:1c:00.0"]


@pytest.mark.parametrize(
    ("file", "text", "rule"),
    [
        ("sriov_totalvfs", "many", "file-garbled"),
        ("sriov_totalvfs", "-7", "file-garbled"),
        ("sriov_numvfs", "99999999999999999999999999", "file-garbled"),
        ("numa_node", "0x1", "file-garbled"),
        ("numa_node", "4711", "file-garbled"),
        ("vendor", "\x00\x01\x02", "file-garbled"),
        ("device", "x" * 100_000, "file-garbled"),
        ("class", "", None),
        ("class", "0xzz", "file-garbled"),
        ("infiniband/mlx5_0/node_guid", "zz", "file-garbled"),
        ("infiniband/mlx5_0/node_guid", "0000:0000:0000:0000", "file-garbled"),
        ("infiniband/mlx5_0/ports/1/link_layer", "Token Ring", "file-garbled"),
        ("infiniband/mlx5_0/ports/1/gids/0", "fe80::1", "file-garbled"),
    ],
)
def test_a_file_that_is_garbled_is_named_and_the_rest_is_told(
    tmp_path: Path, file: str, text: str, rule: str | None
) -> None:
    made = h200(tmp_path, vfs=0)
    (made.homes[NIC] / file).write_text(text)
    seen = sysfs.observe(tmp_path)
    assert rule is None or rule in rules(seen)
    assert all(each.message.isprintable() and len(each.message) <= 200 for each in seen.oddities)
    assert len(seen.pfs) == (9 if file == "class" else 10)


@pytest.mark.parametrize("file", ["class", "vendor", "sriov_numvfs", "infiniband/mlx5_0/ports/1/link_layer"])
def test_a_file_that_is_none_does_not_hold_the_reader(tmp_path: Path, file: str) -> None:
    made = h200(tmp_path, vfs=0)
    for make in (os.mkfifo, os.mkdir, lambda path: os.symlink(path, path)):
        place = made.homes[NIC] / file
        shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink(missing_ok=True)
        make(place)
        seen = sysfs.observe(tmp_path)
        assert {"file-garbled", "file-missing"} & set(rules(seen))


@pytest.mark.parametrize("gone", ["vendor", "numa_node", "sriov_numvfs", "driver", "net", "infiniband"])
def test_what_is_missing_is_left_out(tmp_path: Path, gone: str) -> None:
    made = h200(tmp_path, vfs=0)
    place = made.homes[NIC] / gone
    shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
    pf = sysfs.observe(tmp_path).pf(parse_pci(NIC))
    assert pf is not None
    assert pf.pci == parse_pci(NIC)


def test_an_rdma_device_without_port_is_said(tmp_path: Path) -> None:
    made = h200(tmp_path, vfs=0)
    shutil.rmtree(made.homes[NIC] / "infiniband/mlx5_0/ports")
    assert "port-missing" in rules(sysfs.observe(tmp_path))


def test_a_vf_that_vanishes_is_said_and_the_others_are_told(tmp_path: Path) -> None:
    made = h200(tmp_path)
    shutil.rmtree(made.homes["0000:18:00.4"])
    seen = sysfs.observe(tmp_path)
    pf = seen.pf(parse_pci(NIC))
    assert pf is not None
    assert [vf.index for vf in pf.vfs] == [0, 1, 3, 4, 5, 6, 7]
    assert "vf-vanished" in rules(seen)


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("virtfn0", "link-broken"),
        ("/etc/passwd", "link-broken"),
        ("../0000:18:00.0", "vf-vanished"),
        ("../0000:ff:00.0", "vf-vanished"),
        ("../0000:18:00.3", "link-broken"),
        ("..", "link-broken"),
    ],
)
def test_a_link_to_a_vf_that_leads_elsewhere_is_not_followed(tmp_path: Path, target: str, rule: str) -> None:
    made = h200(tmp_path)
    link = made.homes[NIC] / "virtfn5"
    link.unlink()
    link.symlink_to(target)
    seen = sysfs.observe(tmp_path)
    pf = seen.pf(parse_pci(NIC))
    assert pf is not None
    assert 5 not in [vf.index for vf in pf.vfs]
    assert rule in rules(seen)


def test_loops_and_strangers_among_the_devices_lead_nowhere(tmp_path: Path) -> None:
    h200(tmp_path, vfs=0)
    bus = tmp_path / "bus/pci/devices"
    (bus / "0000:ee:00.0").symlink_to("0000:ef:00.0")
    (bus / "0000:ef:00.0").symlink_to("0000:ee:00.0")
    (bus / "not a device").mkdir()
    (bus / "0000:ed:00.0").symlink_to("0000:18:00.0")
    seen = sysfs.observe(tmp_path)
    assert {"file-missing", "file-garbled", "link-broken"} <= set(rules(seen))
    assert {format_pci(pf.pci) for pf in seen.pfs} >= {f"0000:{bus:02x}:00.0" for bus in NICS}


def test_what_is_told_is_bounded(tmp_path: Path) -> None:
    made = Sysfs(tmp_path)
    made.nic(NIC, "", 0)
    for index in range(MOST_VFS + 9):
        (made.homes[NIC] / f"virtfn{index}").symlink_to("../nowhere")
    seen = sysfs.observe(tmp_path)
    assert len(seen.oddities) == MOST_FINDINGS
    assert seen.pfs[0].vfs == ()


def test_vfs_of_all_pfs_together_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysfs, "MOST_FUNCTIONS", 5)
    b200(tmp_path, vfs=2)
    seen = sysfs.observe(tmp_path)
    assert [len(pf.vfs) for pf in seen.pfs] == [2, 3, *[0] * 8]
    assert rules(seen) == ["too-many"]
    assert {pf.made for pf in seen.pfs} == {2, 4}


def test_a_tree_that_is_broken_anywhere_is_still_read(tmp_path: Path) -> None:
    """Whatever is taken away, turned into a loop or filled with noise: a sighting, no exception."""
    made = h200(tmp_path, vfs=2)
    rng = random.Random(7)
    places = sorted(made.homes[NIC].rglob("*")) + sorted((tmp_path / "bus").rglob("*"))
    for place in rng.sample(places, 60):
        if not os.path.lexists(place) or (place.is_dir() and not place.is_symlink()):
            continue
        place.unlink()
        match rng.randrange(4):
            case 0:
                place.symlink_to(place.name)
            case 1:
                place.write_bytes(rng.randbytes(40))
            case 2:
                place.mkdir()
            case _:
                pass
        seen = sysfs.observe(tmp_path)
        assert parse(plain(seen)) == seen
