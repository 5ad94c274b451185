"""Ports with VFs through the real API: shown as they are applied, and what stops them."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.unit.api.house import House
from tests.unit.api.test_objects import apply, document, refused

PF = {"name": "fe0", "pci": "0000:18:00.0", "kind": "ethernet", "vfs": 4, "eswitch": "switchdev"}
TENANT = "plugged"
FABRIC = document("Fabric", "plugged", rails=[{"name": "rail0", "ipv4": "10.250.0.0/16"}])
FABRIC["spec"]["kind"] = "roce"


def port(**more):
    return document("Port", "p", TENANT, network="net", hosts=["plugged1"], **more)


@pytest.fixture
def nics(house: House) -> Iterator[House]:
    """A node with a PF for ports; it goes again: the house is everybody's."""
    found = [
        document("Hypervisor", "plugged1", vtep="198.51.100.151"),
        document("Hypervisor", "plugged2", vtep="198.51.100.152"),
        document("Tenant", TENANT),
        document("Network", "net", TENANT, subnets=["10.0.0.0/24"]),
        document("Sku", "plugged", pfs=[PF]),
        FABRIC,
        document("Node", "plugged1", sku="plugged", fabric="plugged", host="plugged1"),
        port(),
    ]
    apply(house, *found)
    yield house
    text = "\n---\n".join(map(json.dumps, found))
    house.api.post("/v1/delete", body={"sources": [{"name": "plugged", "text": text}]})


def test_it_is_shown_as_it_can_be_applied_and_does_not_move(nics: House) -> None:
    apply(nics, port(vf={"pf": "fe0", "index": 3, "for": "vm"}))
    shown = nics.api.get("/v1/ports/p", {"tenant": TENANT})
    assert shown["spec"]["vf"] == {"pf": "fe0", "index": 3, "for": "vm"}
    assert not apply(nics, shown, dryRun=True)["changed"]
    caught = refused(lambda: nics.api.post(f"/v1/ports/{TENANT}/p/migration/forget", {"host": "plugged1"}))
    assert [fault["rule"] for fault in caught.faults] == ["vf-stays"]
    for vf, rule in (({"pf": "fe0"}, "missing-field"), ({"pf": "fe0", "index": 300}, "range")):
        caught = refused(lambda vf=vf: apply(nics, port(vf=vf)))
        assert [fault["rule"] for fault in caught.faults] == [rule]
    apply(nics, port(vf={}))
    assert "vf" not in nics.api.get("/v1/ports/p", {"tenant": TENANT})["spec"]
