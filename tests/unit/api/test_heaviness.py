"""Policies that make too many flows, through real HTTP and a real store: refused to a tenant, whatever of it
comes last; said to the operator."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.api.test_objects import apply, document, refused
from tests.unit.api.test_policies import delete

OURS = {"matchLabels": {"ringfence/name": "heavy"}}


def rules(count: int, peers: dict[str, Any] | None = None, first: int = 1) -> list[dict[str, Any]]:
    """Each makes 25 flows: 10 addresses, 10 subjects, a service of either IP version, and 3 of its own."""
    return [
        {
            "direction": "in",
            "action": "allow",
            "from": [peers or {"ports": {}}],
            "services": [{"protocol": "tcp", "port": number}],
        }
        for number in range(first, first + count)
    ]


def policy(count: int) -> dict[str, Any]:
    return document("SecurityPolicy", "web", "heavy", rules=rules(count))


def port(number: int) -> dict[str, Any]:
    return document("Port", f"p{number}", "heavy", network="n")


@pytest.fixture
def tenant(house, monkeypatch):
    """One with 10 ports of one address each; 100 flows are the limit."""
    documents = (
        document("Tenant", "heavy"),
        document("Network", "n", "heavy", subnets=["10.77.0.0/24"]),
        *map(port, range(10)),
    )
    apply(house, *documents)
    monkeypatch.setattr("ipam.laws_policies.MOST_FLOWS", 100)
    yield
    delete(house, *documents)


def test_a_tenant_is_refused_what_a_host_would_die_of(house, tenant) -> None:
    apply(house, policy(4))
    try:
        error = refused(lambda: apply(house, policy(5)))
        (fault,) = error.faults
        assert (fault["rule"], fault["object"]) == ("policy-too-heavy", "SecurityPolicy heavy/web")
        assert "tenant heavy would make 125 flows" in fault["message"] and fault["remedy"]
        error = refused(lambda: apply(house, *(port(number) for number in range(10, 12))))
        assert [(fault["rule"], fault["object"]) for fault in error.faults] == [
            ("policy-too-heavy", "Port heavy/p10")
        ]
        assert house.api.get("/v1/securitypolicies/web", {"tenant": "heavy"})["spec"]["rules"] == rules(4)
    finally:
        delete(house, policy(0))


def test_the_operator_is_told_and_not_refused(house, tenant) -> None:
    light, heavy = (
        document("OperatorPolicy", name, tier="operator", subject={"tenants": OURS}, rules=written)
        for name, written in (("light", rules(3)), ("heavy", rules(2, {"tenants": OURS}, first=7)))
    )
    try:
        before = apply(house, light)
        assert before["warnings"] == []
        (told,) = apply(house, heavy)["warnings"]
        assert (told["rule"], told["object"], told["path"]) == (
            "policy-heavy",
            "OperatorPolicy heavy",
            "spec.rules[0]",
        )
        assert "operator make 125 flows" in told["message"]
        assert "rule 1 of heavy makes 25 (10 addresses of ports" in told["message"]
        assert apply(house, document("Tenant", "heavy"))["warnings"] == [], "said to who writes policies"
    finally:
        delete(house, light, heavy)
