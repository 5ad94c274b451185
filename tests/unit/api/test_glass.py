"""The looking glass over the real API and store, with agents that answer as they are told."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cli.client import Refused
from tests.unit.api.house import House
from tests.unit.api.test_hosts import tenant_on
from tests.unit.api.test_objects import apply, document
from tests.unit.api.test_sight import agent
from topologies.deadline import until

ROUTE = {
    "kind": "mac",
    "type": 2,
    "network": "a/net",
    "vtep": "192.0.2.9",
    "mac": "02:00:00:00:00:01",
    "addresses": ["10.0.0.1"],
    "sequence": 7,
    "port": "p",
    "became": [{"cookie": "0x52f1500000000001", "flows": 2}],
}


def look(house: House, what: str, **query: Any) -> Any:
    return house.api.get(f"/v1/evpn/{what}", query)


def test_rows_come_with_their_host_and_filters_reach_the_agent(house, remote) -> None:
    tenant_on(house, "gl-a", 190, "gla1")
    key = house.api.get("/v1/tenants/gl-a")["status"]["key"]
    with agent(house, remote, "gla1", lambda _: {"ok": {"rows": [ROUTE], "left": 3}}) as heard:
        asked = {"tenant": "gl-a", "type": 2, "mac": "02:00:00:00:00:0A", "ip": "10.0.0.1", "limit": 5}
        found = look(house, "routes", host="gla1", **asked)
    assert found == {"kind": "List", "items": [{"host": "gla1"} | ROUTE], "left": 3, "silent": []}
    ((kind, body),) = heard
    assert kind == "evpn"
    asked |= {"what": "routes", "tenant": key, "mac": "02:00:00:00:00:0a", "ip": "10.0.0.1/32"}
    assert body == asked


def everywhere(house: House, host: str, **query: Any) -> Any:
    """Rows of all hosts; asked again if this machine was too busy for one's agent to answer in time."""
    found: list[Any] = []

    def heard() -> bool:
        found.append(look(house, "paths", **query))
        return host not in {each["host"] for each in found[-1]["silent"]}

    until(f"{host} answers in time", heard, 60)
    return found[-1]


def test_every_host_is_asked_and_the_silent_are_named(house, remote) -> None:
    tenant_on(house, "gl-b", 192, "glb1")
    apply(house, document("Hypervisor", "glb2", vtep="192.0.2.193"))
    apply(house, document("Hypervisor", "glb3", vtep="192.0.2.194", external=True))
    with agent(house, remote, "glb1", lambda _: {"ok": {"rows": [ROUTE, ROUTE], "left": 0}}):
        found = everywhere(house, "glb1")
        short = everywhere(house, "glb1", limit=1)
    assert [row["host"] for row in found["items"]] == ["glb1", "glb1"]
    silent = {each["host"]: each for each in found["silent"]}
    assert "glb2" in silent and not {"glb1", "glb3"} & set(silent)
    assert "never reported" in silent["glb2"]["reason"] and silent["glb2"]["remedy"]
    assert len(short["items"]) == 1 and short["left"] == 1


def test_what_an_agent_says_is_taken_within_bounds(house, remote) -> None:
    tenant_on(house, "gl-c", 195, "glc1")
    wild = {
        "network": ["x"],
        "mac": "m" * 9999,
        "sequence": -1,
        "addresses": "x",
        "became": [7, {"cookie": 1, "flows": "x"}],
        "host": "liar",
        "more": "x",
    }
    with agent(house, remote, "glc1", lambda _: {"ok": {"rows": [wild, 3], "left": "x"}}):
        found = look(house, "routes", host="glc1")
    (row,) = found["items"]
    assert (row["host"], row["network"], row["sequence"], row["addresses"]) == ("glc1", "", 0, [])
    assert len(row["mac"]) == 2000 and "more" not in row
    assert row["became"] == [{"cookie": "", "flows": 0}] and found["left"] == 0


@pytest.mark.parametrize(
    ("query", "status", "rule"),
    [
        ({"tenant": "nobody"}, 404, "not-found"),
        ({"mac": "02:00"}, 422, "mac-syntax"),
        ({"ip": "10.0.0.300"}, 422, "address-syntax"),
        ({"host": "nohost"}, 404, "not-found"),
        ({"type": 6}, 422, None),
        ({"limit": 0}, 422, None),
    ],
)
def test_mistakes_are_refused_in_words(house, query: dict[str, Any], status: int, rule: str | None) -> None:
    with pytest.raises(Refused) as caught:
        look(house, "routes", **query)
    assert caught.value.status == status
    assert rule is None or caught.value.faults[0]["rule"] == rule
    assert caught.value.faults[0]["remedy"]


def test_a_host_without_an_agent_of_ours_is_not_asked(house) -> None:
    apply(house, document("Hypervisor", "gle1", vtep="192.0.2.197", external=True))
    with pytest.raises(Refused) as caught:
        look(house, "neighbors", host="gle1")
    assert caught.value.faults[0]["rule"] == "external-host"
    apply(house, document("Hypervisor", "gle2", vtep="192.0.2.198"))
    with pytest.raises(Refused) as caught:
        look(house, "neighbors", host="gle2")
    assert (caught.value.status, caught.value.faults[0]["rule"]) == (503, "host-silent")
