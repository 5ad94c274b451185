"""One manifest with fifty mistakes: fifty messages, each at its line, and nothing is written."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from controller.cli.client import Refused

FOLDER = Path(__file__).parents[1] / "manifest"
MARK = re.compile(r"#! ([a-z0-9-]+)$")


def test_fifty_mistakes_give_fifty_messages(house) -> None:
    base = (FOLDER / "fifty-base.yaml").read_text()
    text = (FOLDER / "fifty.yaml").read_text()
    house.api.post("/v1/apply", body={"sources": [{"name": "base.yaml", "text": base}]})
    before, generation = house.store.read_all(), house.store.generation()
    expected = Counter(
        (number, mark.group(1))
        for number, line in enumerate(text.splitlines(), 1)
        if (mark := MARK.search(line))
    )
    assert sum(expected.values()) == 50
    assert len({rule for _, rule in expected}) >= 15
    with pytest.raises(Refused) as caught:
        house.api.post("/v1/apply", body={"sources": [{"name": "fifty.yaml", "text": text}]})
    faults = caught.value.faults
    found = Counter((fault["line"], fault["rule"]) for fault in faults)
    assert found == expected, (found - expected, expected - found)
    for fault in faults:
        assert fault["source"] == "fifty.yaml"
        assert fault["object"] and fault["message"] and fault["remedy"]
        assert "unreadable-" not in fault["object"] + fault["message"]
        if fault["rule"] not in {"yaml-syntax", "yaml-alias", "yaml-tag", "not-an-object"}:
            assert fault["path"]
    after = house.store.read_all()
    assert house.store.generation() == generation
    for table in ("tenants", "networks", "ports", "classes", "hypervisors", "owners"):
        assert dict(getattr(after, table)) == dict(getattr(before, table))
