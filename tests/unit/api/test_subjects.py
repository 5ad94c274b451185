"""How many ports a policy judges: by its own labels, its network's and its tenant's."""

from __future__ import annotations

from controller.api.subjects import count_ports, describe
from controller.api.view import document
from model.labels import EVERYTHING, NAME, Operator, Requirement, Selector, matching
from model.policy import Policy, Selection, Tier
from model.wanted import Kind
from tests.unit.api.test_advice import operator, rule, security, stored

PLACES = """apiVersion: ringfence/v1
kind: Network
metadata: {{name: front, tenant: {0}, labels: {{zone: dmz}}}}
spec: {{subnets: [10.0.0.0/24]}}
---
apiVersion: ringfence/v1
kind: Network
metadata: {{name: back, tenant: {0}}}
spec: {{subnets: [10.0.1.0/24]}}
---
apiVersion: ringfence/v1
kind: Port
metadata: {{name: a, tenant: {0}, labels: {{tier: web}}}}
spec: {{network: front}}
---
apiVersion: ringfence/v1
kind: Port
metadata: {{name: b, tenant: {0}, labels: {{tier: web}}}}
spec: {{network: back}}
---
apiVersion: ringfence/v1
kind: Port
metadata: {{name: c, tenant: {0}}}
spec: {{network: back}}
---
"""
WEB = matching([("tier", "web")])
CONTENTS = stored(
    PLACES.format("acme"),
    PLACES.format("globex"),
    security("p", rule("deny", "1")),
    operator("o", rule("deny", "1")),
)


def policy(subject: Selection, tenant: str = "acme") -> Policy:
    return Policy("p", tenant, Tier.TENANT if tenant else Tier.OPERATOR, subject=subject)


def test_of_a_tenant() -> None:
    subjects = (
        (Selection(), 3),
        (Selection(WEB), 2),
        (Selection(networks=matching([("zone", "dmz")])), 1),
        (Selection(WEB, matching([(NAME, "back")])), 1),
        (Selection(matching([(NAME, "c")])), 1),
        (Selection(Selector((Requirement("tier", Operator.DOES_NOT_EXIST),))), 1),
        (Selection(matching([("tier", "wbe")])), 0),
    )
    assert count_ports(CONTENTS, [policy(one) for one, _ in subjects]) == [number for _, number in subjects]


def test_of_the_operator() -> None:
    only = matching([(NAME, "globex")])
    subjects = (Selection(), Selection(WEB), Selection(tenants=EVERYTHING), Selection(WEB, tenants=only))
    assert count_ports(CONTENTS, [policy(one, "") for one in subjects]) == [6, 4, 6, 2]


def test_what_takes_too_long_is_left_out() -> None:
    asked = [policy(Selection(WEB)), policy(Selection(WEB)), policy(Selection())]
    assert count_ports(CONTENTS, asked, 3) == [2, None, 3]


def test_documents_bear_it() -> None:
    for kind, record, number in (
        (Kind.SECURITY_POLICY, CONTENTS.policies["acme", "p"], 3),
        (Kind.OPERATOR_POLICY, CONTENTS.operator_policies["o"], 6),
    ):
        shown = document(record, CONTENTS, {})
        describe(CONTENTS, kind, [shown])
        assert shown["status"]["ports"] == number
    shown = document(CONTENTS.tenants["acme"], CONTENTS, {})
    describe(CONTENTS, Kind.TENANT, [shown])
    assert "ports" not in shown["status"]
