"""The networks that are shipped for Multus: YAML and JSON that the plugin takes as a runtime sends them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.cni.main import respond
from tests.fakes.berths import gang, interface
from tests.unit.cni.conftest import Desk

PAGE = Path(__file__).parents[3] / "packaging" / "cni" / "network-attachment-definitions.yaml"
NETWORKS = list(yaml.safe_load_all(PAGE.read_text(encoding="utf-8")))
GUID = "02:00:52:00:00:01:00:03"


def test_they_are_network_attachment_definitions() -> None:
    assert len(NETWORKS) == 3
    assert {(each["apiVersion"], each["kind"]) for each in NETWORKS} == {
        ("k8s.cni.cncf.io/v1", "NetworkAttachmentDefinition")
    }
    names = [each["metadata"]["name"] for each in NETWORKS]
    assert [json.loads(each["spec"]["config"])["name"] for each in NETWORKS] == names


@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: network["metadata"]["name"])
def test_the_plugin_takes_it(desk: Desk, network: dict[str, Any]) -> None:
    """As Multus sends it: the device of the device plugin, and the pod's arguments."""
    rails = [
        interface(number, rail=number, railName=f"rail{number}", portGuid=f"0200:5200:0001:000{3 + number}")
        for number in range(2)
    ]
    desk.write(gang(rails, pkey=0x10))
    config = json.loads(network["spec"]["config"])
    ours = config.get("ipam", config)
    number = int(str(ours["rail"])[-1])
    if "resourceName" in json.dumps(network["metadata"]):
        config["runtimeConfig"] = {"deviceID": f"0000:18:01.{number}"}
    else:
        config["args"] = {"cni": {"guid": GUID}}
    settings = {key: desk.config["ipam"][key] for key in ("berths", "dataDir", "sysfs")}
    # As IPAM in any case: no device is moved here.
    asked = {**config, "type": "other", "ipam": {**ours, **settings, "type": "ringfence-cni"}}
    code, answer = respond(desk.environ("ADD", "c1"), json.dumps(asked).encode())
    assert code == 0, answer
    assert answer is not None
    assert answer["ips"][0]["address"] == f"10.128.0.{10 + number}/24"
    assert all(route["gw"] for route in answer["routes"])
