"""Manifests full of mistakes: a message for each, at its line, and nothing is written."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from controller.cli.client import Refused

FOLDER = Path(__file__).parents[1] / "manifest"
MARK = re.compile(r"#! ([a-z0-9-]+)$")


@pytest.mark.parametrize(("name", "mistakes"), [("fifty", 50), ("routing", 58)])
def test_each_mistake_gives_a_message(house, name: str, mistakes: int) -> None:
    base = (FOLDER / f"{name}-base.yaml").read_text()
    text = (FOLDER / f"{name}.yaml").read_text()
    house.api.post("/v1/apply", body={"sources": [{"name": "base.yaml", "text": base}]})
    before, generation = house.store.read_all(), house.store.generation()
    expected = Counter(
        (number, mark.group(1))
        for number, line in enumerate(text.splitlines(), 1)
        if (mark := MARK.search(line))
    )
    assert sum(expected.values()) == mistakes
    assert len({rule for _, rule in expected}) >= 12
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/apply", body={"sources": [{"name": f"{name}.yaml", "text": text}]})
    faults = caught.value.faults
    found = Counter((fault["line"], fault["rule"]) for fault in faults)
    assert found == expected, (found - expected, expected - found)
    for fault in faults:
        assert fault["source"] == f"{name}.yaml"
        assert fault["object"] and fault["message"] and fault["remedy"]
        assert "unreadable-" not in fault["object"] + fault["message"]
        if fault["rule"] not in {"yaml-syntax", "yaml-alias", "yaml-tag", "not-an-object"}:
            assert fault["path"]
    after = house.store.read_all()
    assert house.store.generation() == generation
    for table in ("tenants", "networks", "ports", "classes", "hypervisors", "owners"):
        assert dict(getattr(after, table)) == dict(getattr(before, table))
