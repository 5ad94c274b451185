"""Egress classes through the API: relations, what is to come, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controller.manifest.schema import MOST_PREFIXES
from tests.fakes.classes import MANY
from tests.unit.api.test_objects import apply, document, refused


@pytest.fixture(autouse=True)
def others_find_none(house) -> Iterator[None]:
    """The store is shared with other files, and a relation is one class's."""
    yield
    here = {item["metadata"]["name"] for item in house.api.get("/v1/egressclasses", {})["items"]}
    for name in sorted(here & {"far", "near", "wide"}):
        house.api.once("DELETE", f"/v1/egressclasses/{name}")


def test_a_class_is_shown_with_what_holds_until_its_moment_in_a_form_that_applies_again(house) -> None:
    apply(house, document("EgressClass", "far", prefixes=["203.0.113.0/24"], relations=["internet"]))
    apply(house, document("EgressClass", "far", prefixes=["203.0.113.9"], effective="2999-01-01T00:00:00Z"))
    shown = house.api.get("/v1/egressclasses/far", {})
    assert shown["spec"] == {
        "prefixes": ["203.0.113.9/32"],
        "relations": ["internet"],
        "effective": "2999-01-01T00:00:00Z",
    }
    assert shown["status"]["version"] == 2
    assert shown["status"]["until"] == {"prefixes": ["203.0.113.0/24"], "relations": ["internet"]}
    assert not apply(house, shown)["changed"]
    apply(house, document("EgressClass", "far", effective="2020-01-01T00:00:00Z"))
    assert "until" not in house.api.get("/v1/egressclasses/far", {})["status"]


def test_what_makes_no_class_is_refused(house) -> None:
    apply(house, document("EgressClass", "near", relations=["same-tenant"]))
    for spec, rule in (
        ({}, "class-empty"),
        ({"relations": ["storage"]}, "choice"),
        ({"relations": ["same-tenant"]}, "already-taken"),
    ):
        found = refused(lambda spec=spec: apply(house, document("EgressClass", "other", **spec)))
        assert [fault["rule"] for fault in found.faults] == [rule]


def test_ten_thousand_prefixes_are_one_class_and_too_many_are_none(house) -> None:
    apply(house, document("EgressClass", "wide", prefixes=list(MANY)))
    assert len(house.api.get("/v1/egressclasses/wide", {})["spec"]["prefixes"]) == 10_000
    apply(house, document("EgressClass", "wide", prefixes=list(MANY[1:])))
    assert house.api.get("/v1/egressclasses/wide", {})["status"]["version"] == 2
    more = [f"{11 + n // 65_536}.{n // 256 % 256}.{n % 256}.0/24" for n in range(MOST_PREFIXES + 1)]
    found = refused(lambda: apply(house, document("EgressClass", "more", prefixes=more)))
    assert [fault["rule"] for fault in found.faults] == ["too-large"]
