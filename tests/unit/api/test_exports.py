"""Exports through real HTTP, a real store and the CLI."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest
import yaml

from controller.cli.client import Refused
from controller.cli.main import main
from model.hardware import PciAddress
from model.sighting import SeenPf, SeenVf, Sighting
from tests.unit.api import rails as own
from tests.unit.api.rails import rails
from tests.unit.api.test_hosts import tell
from tests.unit.api.test_objects import refused

__all__ = ["rails"]

PF = PciAddress(0x1800)
PLACE = f"{own.PLACE}/train/export"


def seen(*numbers: int) -> Sighting:
    vfs = tuple(SeenVf(number, PciAddress(PF + 8 + number)) for number in numbers)
    return Sighting((SeenPf(PF, made=len(vfs), vfs=vfs),))


def command(house, *arguments: str) -> int:
    return main(
        ["--api", f"unix:{house.socket}", "gang", "export", "train", "--tenant", "rails-tenant", *arguments]
    )


@pytest.fixture(scope="module")
def train(rails):
    """A gang on the first rail of two nodes; one host has told of its VFs."""
    own.ask(rails, rails=["plane0"], **{"for": "vm"})
    tell(rails, "rails-hv1", 1, devices=seen(*range(4)))
    return rails


def test_everything_for_a_program(train) -> None:
    answer = train.api.get(PLACE)
    assert (answer["kind"], answer["as"]) == ("GangExport", "json")
    first, second = answer["items"]
    assert (first["node"], first["state"], first["pkeyIndex"]) == ("rails-1", "reserved", 0)
    (one,) = first["interfaces"]
    assert (one["name"], one["rail"], one["gpu"]) == ("rail0", "plane0", 0)
    assert one["pci"] == f"0000:18:01.{one['vf']}"
    assert one["portGuid"].startswith("0200:5300:")
    assert "pci" not in second["interfaces"][0], "its host has told of nothing"
    assert "text" not in first


def test_each_form_has_its_text(train, capsys: pytest.CaptureFixture[str]) -> None:
    texts = {}
    for form in ("libvirt", "libvirt-hostdev", "cloud-init", "nccl"):
        assert command(train, "--as", form, "--node", "rails-1") == 0
        texts[form] = capsys.readouterr().out
    assert texts["libvirt"] == texts["libvirt-hostdev"]
    (device,) = ElementTree.fromstring(texts["libvirt"])
    assert (device.tag, device.attrib["managed"]) == ("hostdev", "no")
    links = yaml.safe_load(texts["cloud-init"])["network"]["ethernets"]
    assert list(links) == ["rail0"]
    assert "NCCL_IB_PKEY=0" in texts["nccl"]
    assert command(train, "--as", "json", "--node", "rails-1") == 0
    assert len(json.loads(capsys.readouterr().out)["items"]) == 1
    assert command(train, "--as", "nccl", "-o", "json") == 0
    assert [item["node"] for item in json.loads(capsys.readouterr().out)["items"]] == ["rails-1", "rails-2"]


def test_settings_reach_the_text(train, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(train, "--as", "libvirt", "--node", "rails-1", "--managed", "yes") == 0
    assert "managed='yes'" in capsys.readouterr().out
    assert command(train, "--as", "cloud-init", "--node", "rails-1", "--mtu", "4092") == 0
    assert "mtu: 4092" in capsys.readouterr().out
    assert refused(lambda: train.api.get(PLACE, {"mtu": 20})).status == 422


def test_a_text_is_of_one_node(train, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command(train, "--as", "nccl")
    assert caught.value.code == 2
    assert "rails-1 rails-2" in capsys.readouterr().err


def test_refusals(train) -> None:
    def rule(place: str, **query: str) -> tuple[int, str, str]:
        with pytest.raises(Refused) as caught:
            train.api.get(place, query)
        (fault,) = caught.value.faults
        return caught.value.status, fault["rule"], fault["object"]

    number = train.api.get(PLACE)["items"][1]["interfaces"][0]["vf"]
    unseen = (409, "vf-unseen", f"Node rails-2, PF rail0, VF {number}")
    assert rule(PLACE, **{"as": "libvirt", "node": "rails-2"}) == unseen
    assert rule(PLACE, node="elsewhere")[:2] == (404, "not-found")
    assert rule("/v1/tenants/nobody/gangs/train/export")[:2] == (404, "not-found")
    assert rule(PLACE, **{"as": "novel"})[1] == "malformed-request"
    tell(train, "rails-hv2", 1, devices=seen(3))
    assert rule(PLACE, **{"as": "libvirt", "node": "rails-2"}) == unseen, "it told of another one"
