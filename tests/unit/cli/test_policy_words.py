"""Policies in short: cells of tables and what a change did."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cli.policy_words import cells, changed, default, made, subject

A = {"name": "a", "direction": "in", "action": "allow"}
B = {"direction": "out", "action": "deny", "to": [{"cidr": "10.0.0.0/8"}]}


def item(spec: dict[str, Any], **metadata: str) -> dict[str, Any]:
    return {"metadata": {"name": "web"} | metadata, "spec": spec, "status": {}}


def test_the_cells_of_a_policy() -> None:
    spec = {
        "order": 5,
        "subject": {"ports": {"matchLabels": {"tier": "web"}}},
        "rules": [A, A | {"state": "count"}, B],
        "defaults": {"in": {"action": "deny", "share": 10}},
    }
    assert cells(item(spec, tenant="acme")) == [
        "acme",
        "web",
        "5",
        "tier=web",
        "-",
        "1 rule",
        "2 rules, else deny (10%)",
        "1 of 4 count, 1 of 4 in part",
    ]
    assert cells(item({"tier": "baseline", "defaults": {"out": "deny"}})) == [
        *("baseline", "web", "0", "all", "-", "deny", "-", "enforced")
    ]
    assert cells(item({}, tenant="acme"))[3:] == ["all", "-", "-", "-", "-"]
    assert cells(item({}, tenant="acme") | {"status": {"state": "unreadable"}})[-1] == "unreadable"
    assert cells(item({}, tenant="acme") | {"status": {"ports": 0}})[4] == "0"
    assert [made({}), made({"rules": [A]})] == ["0 rules for all", "1 rule for all"]


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ({}, "all"),
        ({"ports": {"matchLabels": {"a": "x", "b": ""}}}, "a=x, b="),
        ({"networks": {"matchLabels": {"ringfence/name": "front"}}}, "networks ringfence/name=front"),
        (
            {
                "ports": {
                    "matchExpressions": [
                        {"key": "a", "operator": "In", "values": ["x", "y"]},
                        {"key": "b", "operator": "NotIn", "values": ["z"]},
                        {"key": "c", "operator": "Exists"},
                        {"key": "d", "operator": "DoesNotExist"},
                    ]
                },
                "tenants": {},
            },
            "a in (x, y), b notin (z), c, !d; tenants all",
        ),
    ],
)
def test_a_subject(selection: dict[str, Any], text: str) -> None:
    assert subject(selection) == text


def test_a_default() -> None:
    assert [
        default(one) for one in ("deny", {"action": "deny", "state": "count"}, {"action": "allow"}, None)
    ] == [*("deny", "deny (count)", "allow", "-")]


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ({"rules": [A]}, {"rules": [A]}, ""),
        ({"rules": [A]}, {"rules": [A, B]}, "rule 2 new"),
        ({"rules": [A, B]}, {"rules": [B]}, "rule 1 (a) gone"),
        ({"rules": [A, B]}, {"rules": [B, A]}, "order of rules"),
        ({"rules": [A | {"state": "count"}]}, {"rules": [A]}, "rule 1 (a) count -> enforce"),
        ({"rules": [A]}, {"rules": [B, A | {"share": 5}]}, "rule 1 new; rule 2 (a) enforce -> 5%"),
        ({}, {"order": 4, "onChange": "keep"}, "order 0 -> 4; onChange judge -> keep"),
        ({"tier": "operator"}, {"tier": "baseline"}, "tier operator -> baseline"),
        ({}, {"subject": {"networks": {"matchLabels": {"a": "b"}}}}, "subject all -> networks a=b"),
        (
            {"defaults": {"in": {"action": "deny", "state": "count"}}},
            {"defaults": {"in": "deny"}},
            "default in deny (count) -> deny",
        ),
        ({"defaults": {"out": "deny"}}, {}, "default out deny -> none"),
    ],
)
def test_what_a_change_did(before: dict[str, Any], after: dict[str, Any], text: str) -> None:
    assert changed(before, after) == text


def test_a_long_change_is_cut() -> None:
    rules = [A | {"name": f"r{number}"} for number in range(9)]
    assert changed({}, {"rules": rules}).endswith("rule 6 (r5) new; 3 more")
