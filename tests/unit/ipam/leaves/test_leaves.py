"""Rules for leaf switches: at which ports, in whose words, and where there are none."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from ipaddress import ip_address
from itertools import count

import pytest

from ipam.contents import Contents
from ipam.draft import Draft
from ipam.leaves.acl import acl
from ipam.leaves.nft import PORT_NAME, nft
from ipam.leaves.rules import Socket, sockets
from ipam.plan import plan
from model.errors import Conflict, Invalid, NotFound
from model.fabric import FabricKind
from model.ids import HostName
from model.wanted import WantedHypervisor
from tests.fakes.audited import world
from tests.unit.ipam.conftest import commit, numbered

NAMED = (Socket("leaf0", "r0", "n1", "mlx0", "swp1"), Socket("leaf0", "r0", "n2", "mlx0"))


def contents(kind: FabricKind = FabricKind.ROCE, vtep: str = "192.0.2.1") -> Contents:
    made = world(kind, count=2).contents()
    want = WantedHypervisor(HostName("hv1"), ip_address(vtep))
    return commit(made, plan(made, (want,), 1_000, numbered(count(1))))


def test_every_pf_on_a_rail_has_a_place() -> None:
    found = sockets(contents(), "roce", {("n1", "mlx0"): "swp1"})
    assert found == (
        Socket("leaf0", "r0", "n1", "mlx0", "swp1"),
        Socket("leaf0", "r0", "n2", "mlx0"),
        Socket("leaf1", "r1", "n1", "mlx1"),
        Socket("leaf1", "r1", "n2", "mlx1"),
    )


def test_a_node_that_meets_another_leaf_says_so() -> None:
    draft = Draft(contents())
    record = draft.nodes["n2"]
    draft.put(replace(record, value=replace(record.value, leaves=("", "far"))))
    found = sockets(draft.contents(), "roce", {})
    assert [each.leaf for each in found if each.node == "n2"] == ["far", "leaf0"]


@pytest.mark.parametrize(
    ("made", "fabric", "names", "error", "rule"),
    [
        (contents(), "other", {}, NotFound, "not-found"),
        (contents(FabricKind.INFINIBAND), "ib", {}, Invalid, "infiniband"),
        (contents(), "roce", {("n9", "mlx0"): "swp1"}, Invalid, "not-found"),
        (contents(vtep="10.64.3.3"), "roce", {}, Conflict, "vtep-on-rail"),
    ],
)
def test_what_can_not_be_had_says_why(made: Contents, fabric: str, names, error, rule: str) -> None:
    with pytest.raises(error) as caught:
        sockets(made, fabric, names)
    (fault,) = caught.value.faults
    assert fault.rule == rule
    assert fault.remedy


def test_a_port_without_a_name_has_no_rule_and_says_so() -> None:
    for text in (nft("west", "leaf0", NAMED), acl("west", "leaf0", NAMED)):
        assert "r0: n2/mlx0 HAS NO RULE: say --port n2/mlx0=NAME" in text
        assert "swp1" in text
    assert "elements" not in nft("west", "leaf0", NAMED[1:])


def test_the_policy_file_is_what_iptables_takes(tmp_path) -> None:
    """`-j DROP` both ways in four chains, for both families; the sections are cl-acltool's."""
    assert shutil.which("iptables-restore"), "install iptables"
    sections = acl("west", "leaf0", NAMED).split("\n[")[1:]
    assert [section.partition("]")[0] for section in sections] == ["iptables", "ip6tables"]
    for section in sections:
        name, _, body = section.partition("]")
        rules = [line for line in body.splitlines() if line.startswith("-A")]
        assert len(rules) == 12
        table = "\n".join(["*filter", *rules, "COMMIT", ""])
        done = subprocess.run(
            ["unshare", "-n", f"{name}-restore", "--test"],
            input=table,
            text=True,
            capture_output=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["swp1", "Ethernet1_1", "swp1.100", "eth-0"])
def test_names_of_ports(name: str) -> None:
    assert PORT_NAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", 'a"; flush ruleset', "a b", "-i", "a/b", "x" * 16, "a\nb", "{"])
def test_what_is_no_name_of_a_port(name: str) -> None:
    assert not PORT_NAME.fullmatch(name)
