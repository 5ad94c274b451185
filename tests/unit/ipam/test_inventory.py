"""Comparison of a SKU with what a host shows: each kind of difference, told once, with what to do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controller.manifest.manifest import Source, parse
from ipam.devices import sysfs
from ipam.inventory import Inventory, compare
from model.hardware import Eswitch, Sku, parse_pci
from model.sighting import SeenPf, Sighting
from model.wanted import WantedSku
from tests.fakes.sysfs import b200, h200

EXAMPLES = Path(__file__).parents[3] / "examples"
RAIL0 = parse_pci("18:00.0")


def sku(name: str) -> Sku:
    text = (EXAMPLES / f"09-sku-{name}.yaml").read_text()
    (wanted,) = parse([Source(name, text)]).wanted
    assert isinstance(wanted, WantedSku)
    return Sku(wanted.name, wanted.gpus, wanted.pfs)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Sighting:
    """An H200 as its SKU says; a fake sysfs has no devlink, so its modes are put in here."""
    root = tmp_path_factory.mktemp("h200")
    h200(root)
    return switched(sysfs.observe(root), sku("h200"))


def switched(seen: Sighting, of: Sku) -> Sighting:
    modes = {slot.pci: slot.eswitch.value for slot in of.pfs if slot.eswitch is not None}
    return replace(seen, pfs=tuple(replace(pf, eswitch=modes.get(pf.pci, "")) for pf in seen.pfs))


def altered(seen: Sighting, change: Callable[[SeenPf], SeenPf]) -> Sighting:
    """With the NIC of rail 0 changed."""
    return replace(seen, pfs=tuple(change(pf) if pf.pci == RAIL0 else pf for pf in seen.pfs))


def rules(found: Inventory) -> list[tuple[str, str]]:
    per_pf = [(each.slot.name, one.rule) for each in found.pfs for one in each.differences]
    return per_pf + [("", one.rule) for one in found.gpus]


def test_a_server_as_its_sku_says_has_no_difference(seen: Sighting) -> None:
    found = compare(sku("h200"), seen)
    assert rules(found) == []
    assert found.count == 0
    assert found.strangers == ()


def test_the_other_example_fits_the_other_server(tmp_path: Path) -> None:
    b200(tmp_path)
    found = compare(sku("b200"), switched(sysfs.observe(tmp_path), sku("b200")))
    assert rules(found) == []
    # The eight rails of an H200 speak InfiniBand, and have room for PKeys.
    wrong = {rule for _, rule in rules(compare(sku("h200"), sysfs.observe(tmp_path)))}
    assert wrong == {"link-mismatch", "eswitch-mismatch"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"driver": ""}, "driver-missing"),
        ({"link": "ethernet", "rdma": ""}, "link-mismatch"),
        ({"link": ""}, "link-mismatch"),
        ({"pkeys": 64}, "pkeys-fewer"),
        ({"numa": 1}, "numa-mismatch"),
        ({"gpus": ()}, "gpu-mismatch"),
        ({"gpus": (parse_pci("43:00.0"),)}, "gpu-mismatch"),
        ({"total": 4, "made": 4}, "vfs-impossible"),
        ({"made": 4}, "vfs-fewer"),
        ({"vfs": ()}, "vfs-fewer"),
    ],
)
def test_each_difference_is_told_once_with_a_remedy(seen: Sighting, change, expected: str) -> None:
    found = compare(sku("h200"), altered(seen, lambda pf: replace(pf, **change)))
    assert rules(found) == [("rail0", expected)]
    (one,) = found.pfs[0].differences
    assert one.expected and one.found and one.remedy.endswith(".")


@pytest.mark.parametrize(
    "change",
    [
        {"numa": None},
        {"total": 200},
        {"pkeys": 4096},
        {"made": 0, "vfs": ()},
        {"made": 0, "vfs": (), "eswitch": "legacy"},
    ],
)
def test_what_is_not_told_or_more_than_needed_is_no_difference(seen: Sighting, change) -> None:
    assert rules(compare(sku("h200"), altered(seen, lambda pf: replace(pf, **change)))) == []


def test_a_nic_that_is_next_to_another_rails_gpu_is_told_with_both_rails(seen: Sighting) -> None:
    swapped = altered(seen, lambda pf: replace(pf, gpus=(parse_pci("43:00.0"),)))
    (one,) = compare(sku("h200"), swapped).pfs[0].differences
    assert "(rail 0)" in one.expected
    assert one.found == "next to GPU 1 (rail 1)"


def test_a_nic_that_is_gone_and_one_that_moved(tmp_path: Path) -> None:
    made = h200(tmp_path, vfs=0)
    shutil.rmtree(made.homes["0000:18:00.0"])
    (tmp_path / "bus/pci/devices/0000:18:00.0").unlink()
    seen = sysfs.observe(tmp_path)
    (one,) = compare(sku("h200"), seen).pfs[0].differences
    assert (one.rule, one.expected) == ("pf-missing", "a network function at 0000:18:00.0")
    made.nic("0000:19:00.0", made.homes["0000:17:00.0"].name, 0, kind="0x020700")
    moved = compare(sku("h200"), sysfs.observe(tmp_path))
    (one,) = moved.pfs[0].differences
    assert (one.rule, one.found) == ("pf-moved", "one at 0000:19:00.0, beside its GPU")
    assert [pf.pci for pf in moved.strangers] == [parse_pci("19:00.0")]


def test_a_gpu_that_is_gone_or_at_another_node_is_told(seen: Sighting) -> None:
    (one,) = compare(sku("h200"), replace(seen, gpus=seen.gpus[1:])).gpus
    assert (one.rule, one.expected) == ("gpu-missing", "GPU 0 at 0000:1b:00.0")
    other = (replace(seen.gpus[0], numa=3), *seen.gpus[1:])
    (one,) = compare(sku("h200"), replace(seen, gpus=other)).gpus
    assert (one.rule, one.found) == ("gpu-numa-mismatch", "NUMA node 3")


@pytest.mark.parametrize(("mode", "found"), [("legacy", "legacy"), ("", "not told")])
def test_a_switch_in_another_mode_is_told(seen: Sighting, mode: str, found: str) -> None:
    wanted = sku("h200")
    slots = (*wanted.pfs[:8], replace(wanted.pfs[8], eswitch=Eswitch.SWITCHDEV), wanted.pfs[9])
    pfs = tuple(replace(pf, eswitch=mode) if pf.pci == slots[8].pci else pf for pf in seen.pfs)
    compared = compare(replace(wanted, pfs=slots), replace(seen, pfs=pfs))
    (one,) = compared.pfs[8].differences
    assert (one.rule, one.expected, one.found) == ("eswitch-mismatch", "switchdev", found)


def test_nothing_seen_is_everything_missing() -> None:
    found = compare(sku("h200"), Sighting())
    assert {rule for _, rule in rules(found)} == {"pf-missing", "gpu-missing"}
    assert found.count == 18
