"""Policies through real HTTP and a real store: what is applied comes back, whom a change is told of."""

from __future__ import annotations

from typing import Any

from immutables import Map

from controller.api.concern import concerned
from controller.store.records import Contents
from model.ids import HostName
from model.wanted import Kind, Reference
from tests.unit.api.test_objects import apply, document, refused

WEB: dict[str, Any] = {
    "subject": {"ports": {"matchLabels": {"app": "web"}}},
    "rules": [
        {
            "name": "https",
            "direction": "in",
            "action": "allow",
            "from": [{"ports": {}}, {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}],
            "services": [{"protocol": "tcp", "port": "443-444"}],
        },
        {"direction": "out", "action": "pass", "state": "count"},
    ],
    "defaults": {"in": {"action": "deny", "share": 10}},
    "onChange": "keep",
}


def allow(port: int) -> dict[str, Any]:
    return {"direction": "in", "action": "allow", "services": [{"protocol": "tcp", "port": port}]}


def delete(house, *documents: dict[str, Any]) -> Any:
    return house.api.once("POST", "/v1/delete", body={"documents": documents})


def test_what_is_applied_comes_back_and_applies_again(house) -> None:
    documents = (
        document("Tenant", "sealed", defaults={"in": "deny"}),
        document("SecurityPolicy", "web", "sealed", **WEB),
        document("OperatorPolicy", "floor", tier="baseline", order=3),
    )
    answer = apply(house, *documents)
    try:
        assert answer["counts"]["create"] == 3
        shown = house.api.get("/v1/securitypolicies/web", {"tenant": "sealed"})
        assert shown["spec"] == WEB
        assert len({*shown["status"]["rules"], *shown["status"]["defaults"].values()}) == 3
        floor = house.api.get("/v1/operatorpolicies/floor")
        assert floor["spec"] == {"tier": "baseline", "order": 3}
        tenant = house.api.get("/v1/tenants/sealed")
        assert tenant["spec"]["defaults"] == {"in": "deny"} and [*tenant["status"]["defaults"]] == ["in"]
        assert not apply(house, shown, floor, tenant)["changed"]
        assert not apply(house, document("Tenant", "sealed"))["changed"], "not written means left as it is"
        changed = apply(house, document("Tenant", "sealed", defaults={}))
        assert changed["changes"][0]["before"]["defaults"] == {"in": "deny"}
        assert "defaults" not in house.api.get("/v1/tenants/sealed")["spec"]
        error = refused(lambda: delete(house, documents[0]))
        assert [fault["rule"] for fault in error.faults] == ["still-used"]
    finally:
        assert delete(house, *documents)["counts"]["delete"] == 3


def test_a_policy_that_only_makes_room_is_told_as_unchanged(house) -> None:
    apply(house, document("Tenant", "tight"))
    try:
        apply(house, *(document("SecurityPolicy", name, "tight", rules=[allow(1)]) for name in "az"))
        moved = []
        for last in range(2, 40):
            rules = [allow(port) for port in range(1, last)]
            answer = apply(house, document("SecurityPolicy", "a", "tight", rules=rules))
            told = {each["name"]: each["verb"] for each in answer["changes"]}
            assert told.pop("a") == ("change" if last > 2 else "unchanged")
            moved += told.items()
        assert moved and {*moved} == {("z", "unchanged")}
    finally:
        gone = (document("SecurityPolicy", name, "tight") for name in "az")
        delete(house, document("Tenant", "tight"), *gone)


def test_hosts_of_the_tenant_are_waited_for_and_all_for_the_operators() -> None:
    homes = {("acme", "n"): Map({HostName("h1"): 1}), ("umbra", "n"): Map({HostName("h2"): 1})}
    named = Map({tenant: Map({"n": None}) for tenant in ("acme", "umbra")})
    bound = Map({HostName("h1"): 1, HostName("h2"): 1})
    contents = Contents(dwellers=Map(homes), networks_of=named, bound=bound)
    assert concerned(contents, [Reference(Kind.OPERATOR_POLICY, "floor")]) == {"h1", "h2"}
    assert concerned(contents, [Reference(Kind.SECURITY_POLICY, "web", "acme")]) == {"h1"}
