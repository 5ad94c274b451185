"""Which netdev of a PF is its own link, and which stand for its VFs: by phys_port_name, never by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipam.devices import sysfs
from ipam.devices.netdevs import Representor, representors, uplink
from ipam.devices.tree import Tree
from model.hardware import parse_pci
from tests.fakes.sysfs import Sysfs

NIC = "0000:18:00.1"
HOME = f"bus/pci/devices/{NIC}"


@pytest.fixture
def tree(tmp_path: Path) -> Sysfs:
    made = Sysfs(tmp_path)
    down, _ = made.switch(0x18, 0)
    made.nic(NIC, down, 0)
    return made


def netdev(tree: Sysfs, name: str, port: str = "", switch: str = "b8cef6") -> None:
    tree.netdev(NIC, name, "02:00:00:00:00:01")
    place = tree.homes[NIC] / "net" / name
    if port:
        (place / "phys_port_name").write_text(port + "\n")
    if switch:
        (place / "phys_switch_id").write_text(switch + "\n")


def test_the_uplink_is_found_among_representors(tree: Sysfs) -> None:
    for vf in range(3):
        netdev(tree, f"aa{vf}", f"pf1vf{vf}")
    netdev(tree, "zz", "p1")
    assert uplink(Tree(tree.root), HOME) == f"{HOME}/net/zz"
    seen = sysfs.observe(tree.root)
    assert (seen.pfs[0].netdev, seen.oddities) == ("zz", ())
    assert representors(Tree(tree.root), parse_pci(NIC)) == tuple(
        Representor(f"aa{vf}", parse_pci(NIC), vf, "b8cef6") for vf in range(3)
    )


def test_a_nic_whose_driver_names_no_port_has_one_link_and_no_representor(tree: Sysfs) -> None:
    netdev(tree, "eth0", switch="")
    assert uplink(Tree(tree.root), HOME) == f"{HOME}/net/eth0"
    assert representors(Tree(tree.root), parse_pci(NIC)) == ()


@pytest.mark.parametrize(
    ("port", "switch"),
    [
        ("pf0vf3", "b8cef6"),  # another function's
        ("c1pf1vf3", "b8cef6"),  # of another controller: the host behind a DPU
        ("pf1vf3", "123456"),  # of another switch
        ("pf1vf3", ""),
        ("pf1sf3", "b8cef6"),
        ("pf1vf3x", "b8cef6"),
        ("pf1vf", "b8cef6"),
        ("pf1vf٣", "b8cef6"),
    ],
)
def test_whatever_else_stands_there_is_no_representor(tree: Sysfs, port: str, switch: str) -> None:
    netdev(tree, "up", "p1")
    netdev(tree, "rep", "pf1vf2")
    netdev(tree, "other", port, switch)
    assert [each.netdev for each in representors(Tree(tree.root), parse_pci(NIC))] == ["rep"]


def test_two_that_claim_a_vf_are_both_left_out_and_told(tree: Sysfs) -> None:
    netdev(tree, "up", "p1")
    for name, port in (("one", "pf1vf2"), ("two", "pf1vf2"), ("three", "c0pf1vf3")):
        netdev(tree, name, port)
    looked = Tree(tree.root)
    assert [each.netdev for each in representors(looked, parse_pci(NIC))] == ["three"]
    assert [each.rule for each in looked.oddities()] == ["representor-twice"]
