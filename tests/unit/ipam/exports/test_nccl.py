"""The file for NCCL where it is read: real shells, and a sysfs whose devices have unforeseen names."""

from __future__ import annotations

import os
import subprocess
from ipaddress import IPv6Address
from pathlib import Path

import pytest

from ipam.exports.kit import Card, Kit
from ipam.exports.nccl import nccl
from model.addresses import format_mac
from model.fabric import FabricKind, RailIndex, format_guid
from tests.fakes.kits import FABRICS, kit_of

SHELLS = ("dash", "bash")
TWO = (RailIndex(0), RailIndex(3))
PRINTED = 'echo "$?"; env; set | grep -c "^_ringfence_" || :; echo "$1"'


def device(root: Path, name: str, card: Card, kind: FabricKind, place: int = 3, link: str = "") -> None:
    """An RDMA device with a port: one GID of version 1, and the same of version 2."""
    home = root / "class/infiniband" / name
    net = home / "device/net" / (link or f"net-{name}")
    for made in (net, home / "ports/1/gids", home / "ports/1/gid_attrs/types"):
        made.mkdir(parents=True)
    (home / "node_guid").write_text(format_guid(card.node_guid) + "\n")
    infiniband = kind is FabricKind.INFINIBAND
    (net / "address").write_text("80:00:02:08:fe:80\n" if infiniband else format_mac(card.mac) + "\n")
    mapped = IPv6Address(f"::ffff:{card.addresses[0].ip}").exploded
    gids = {0: ("fe80:" + "0000:" * 6 + "0001", "IB/RoCE v1"), 1: ("0000:" * 7 + "0000", "")}
    gids |= {place - 1: (mapped, "IB/RoCE v1"), place: (mapped, "RoCE v2")}
    for index, (gid, version) in gids.items():
        (home / "ports/1/gids" / str(index)).write_text(gid + "\n")
        (home / "ports/1/gid_attrs/types" / str(index)).write_text(version + "\n")


def sourced(
    kit: Kit, root: Path, shell: str, before: str = "set -u", **given: str
) -> tuple[dict[str, str], str]:
    """NCCL's variables afterwards, and what was said on stderr; everything else is as before."""
    file = root / "nccl.sh"
    file.write_text(nccl(kit))
    ran = subprocess.run(
        [shell, "-c", f'{before}; set -- untouched; . "{file}"; {PRINTED}'],
        env={"PATH": os.environ["PATH"], "RINGFENCE_SYSFS": str(root), **given},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    status, *lines, left, first = ran.stdout.splitlines()
    assert (left, first) == ("0", "untouched"), "it leaves nothing of its own behind"
    assert status == ("0" if not ran.stderr else "1")
    return dict(line.split("=", 1) for line in lines if line.startswith("NCCL_")), ran.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_infiniband_devices_are_found_by_their_guid(tmp_path: Path, shell: str) -> None:
    kit = kit_of(FABRICS["infiniband"], rails=TWO)
    for name, card in zip(("mlx5_9", "ibp1 s0;id"), kit.cards, strict=True):
        device(tmp_path, name, card, kit.kind)
    other = kit_of(FABRICS["infiniband"], rails=(RailIndex(5),)).cards[0]
    device(tmp_path, "mlx5_0", other, kit.kind)
    found, said = sourced(kit, tmp_path, shell)
    assert found == {
        "NCCL_IB_HCA": "=mlx5_9:1,ibp1 s0;id:1",
        "NCCL_SOCKET_IFNAME": "^=lo,docker0,net-mlx5_9,net-ibp1 s0;id",
        "NCCL_IB_PKEY": "0",
        "NCCL_CROSS_NIC": "0",
    }
    assert said == ""


@pytest.mark.parametrize("shell", SHELLS)
def test_roce_devices_are_found_by_their_mac_and_their_gid_by_its_address(tmp_path: Path, shell: str) -> None:
    kit = kit_of(FABRICS["roce"], rails=TWO)
    for name, card in zip(("rocep1", "rocep2"), kit.cards, strict=True):
        device(tmp_path, name, card, kit.kind, 5)
    found, _ = sourced(kit, tmp_path, shell, NCCL_SOCKET_IFNAME="=eth9", NCCL_CROSS_NIC="2")
    assert found == {
        "NCCL_IB_HCA": "=rocep1:1,rocep2:1",
        "NCCL_SOCKET_IFNAME": "=eth9",
        "NCCL_IB_ROCE_VERSION_NUM": "2",
        "NCCL_CROSS_NIC": "2",
        "NCCL_IB_GID_INDEX": "5",
    }


@pytest.mark.parametrize("shell", SHELLS)
def test_gids_at_different_places_are_left_to_nccl(tmp_path: Path, shell: str) -> None:
    kit = kit_of(FABRICS["roce"], rails=TWO)
    for place, card in zip((3, 5), kit.cards, strict=True):
        device(tmp_path, f"roce{place}", card, kit.kind, place)
    assert "NCCL_IB_GID_INDEX" not in sourced(kit, tmp_path, shell)[0]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_rail_that_is_missing_is_said_and_is_an_error(tmp_path: Path, shell: str) -> None:
    kit = kit_of(FABRICS["roce"], rails=TWO)
    device(tmp_path, "rocep1", kit.cards[0], kit.kind)
    found, said = sourced(kit, tmp_path, shell)
    assert "no RDMA device here for rail3:" in said
    assert found["NCCL_IB_HCA"] == "=rocep1:1"


@pytest.mark.parametrize("shell", SHELLS)
def test_without_devices_nothing_is_said_of_them(tmp_path: Path, shell: str) -> None:
    kit = kit_of(FABRICS["roce"], rails=(RailIndex(0),))
    found, said = sourced(kit, tmp_path, shell)
    assert found == {"NCCL_IB_ROCE_VERSION_NUM": "2"}, "one rail has none to cross to"
    assert "rail0" in said


@pytest.mark.parametrize("shell", SHELLS)
def test_a_strict_shell_goes_on_if_all_is_there(tmp_path: Path, shell: str) -> None:
    kit = kit_of(FABRICS["roce"], rails=(RailIndex(0),))
    device(tmp_path, "rocep1", kit.cards[0], kit.kind)
    assert sourced(kit, tmp_path, shell, "set -eu")[0]["NCCL_IB_HCA"] == "=rocep1:1"
