"""`migrate` through the real API: what it writes, and mistakes."""

from __future__ import annotations

import pytest

from controller.cli.client import Refused
from model.errors import Conflict
from model.ids import HostName
from tests.unit.api.house import House
from tests.unit.api.test_hosts import bound, tenant_on
from tests.unit.api.test_objects import apply, document


def shown(house: House, tenant: str) -> dict:
    return house.api.get("/v1/ports/p", {"tenant": tenant})


def test_a_port_moves_and_can_be_kept(house: House) -> None:
    tenant_on(house, "mover", 131, "m1")
    apply(house, document("Hypervisor", "m2", vtep="192.0.2.132"))
    house.api.post("/v1/ports/mover/p/migration", {"to": "m2"})
    port = shown(house, "mover")
    assert (port["status"]["movingTo"], port["status"]["host"]) == ("m2", "m1")
    assert port["spec"]["hosts"] == ["m1", "m2"]
    house.api.post("/v1/ports/mover/p/migration/cancel")
    assert "movingTo" not in shown(house, "mover")["status"]
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/ports/mover/p/migration/cancel")
    assert caught.value.faults[0]["rule"] == "not-moving"


def test_the_target_takes_it_over(house: House) -> None:
    uid = tenant_on(house, "moved", 133, "m3")
    apply(house, document("Hypervisor", "m4", vtep="192.0.2.134"))
    house.api.post("/v1/ports/moved/p/migration", {"to": "m4", "moment": "now"})
    assert house.store.bind(uid, HostName("m4")).sequence == 1


def test_what_is_left_on_the_target_gets_the_port_until_it_is_forgotten(house: House) -> None:
    uid = tenant_on(house, "stuck", 243, "m9")
    apply(house, document("Hypervisor", "m10", vtep="192.0.2.244"))
    house.api.post("/v1/ports/stuck/p/migration", {"to": "m10"})
    house.api.post("/v1/ports/stuck/p/migration/cancel")
    house.store.unbind(uid, HostName("m9"))
    bound(house, "stuck", uid, "m10")  # cancelling leaves the target in its hosts
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/ports/stuck/p/migration/forget", {"host": "m10"})
    assert caught.value.faults[0]["rule"] == "still-bound"
    house.store.unbind(uid, HostName("m10"))
    bound(house, "stuck", uid, "m9")
    house.api.post("/v1/ports/stuck/p/migration", {"to": "m10", "moment": "now"})
    house.api.post("/v1/ports/stuck/p/migration/forget", {"host": "m10"})
    port = shown(house, "stuck")
    assert "movingTo" not in port["status"] and port["spec"]["hosts"] == ["m9"]
    house.store.unbind(uid, HostName("m9"))
    with pytest.raises(Conflict):
        house.store.bind(uid, HostName("m10"))
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/ports/stuck/p/migration/forget", {"host": "m10"})
    assert caught.value.faults[0]["rule"] == "not-its-host"


@pytest.mark.parametrize(
    ("path", "query", "rule"),
    [
        ("/v1/ports/wrong/p/migration", {"to": "none"}, "not-found"),
        ("/v1/ports/wrong/q/migration", {"to": "m5"}, "not-found"),
        ("/v1/ports/nobody/p/migration", {"to": "m5"}, "not-found"),
        ("/v1/ports/wrong/p/migration", {"to": "m5"}, "already-there"),
        ("/v1/ports/wrong/p/migration", {"to": "m6"}, "external-host"),
        ("/v1/ports/wrong/q2/migration", {"to": "m5"}, "not-bound"),
        ("/v1/ports/wrong/p/migration", {"to": "m7", "moment": "soon"}, "malformed-request"),
        ("/v1/ports/wrong/p/migration", {}, "malformed-request"),
    ],
)
def test_mistakes_are_named_and_change_nothing(house: House, path: str, query: dict, rule: str) -> None:
    try:
        shown(house, "wrong")
    except Refused:
        tenant_on(house, "wrong", 135, "m5")
        apply(
            house,
            document("Hypervisor", "m6", vtep="192.0.2.136", external=True),
            document("Hypervisor", "m7", vtep="192.0.2.137"),
            document("Port", "q2", "wrong", network="net", hosts=["m5"]),
        )
    with pytest.raises(Refused) as caught:
        house.api.post(path, query)
    assert [fault["rule"] for fault in caught.value.faults] == [rule]
    assert caught.value.faults[0]["remedy"]
    assert "movingTo" not in shown(house, "wrong")["status"]
