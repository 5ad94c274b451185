"""What a replay costs, by counts: each flow that came or went is looked at once, and nothing is compared that
nobody contends for."""

from __future__ import annotations

import importlib
from collections import Counter

import pytest

from model.change import Change, Part
from model.snapshot import Snapshot
from tests.fakes import world

compiling = importlib.import_module("pipelines.compile")  # the name of the module is that of its function too

MACS = 50


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Calls of what a replay does for each flow."""
    made: Counter[str] = Counter()
    key, find = compiling.key, compiling._Winners.find

    def counted_key(flow: object) -> object:
        made["keys"] += 1
        return key(flow)

    def counted_find(self: object, each: object) -> object:
        made["comparisons"] += 1
        return find(self, each)

    monkeypatch.setattr(compiling, "key", counted_key)
    monkeypatch.setattr(compiling._Winners, "find", counted_find)
    return made


def _learned(start: Snapshot, first: int = 0) -> tuple[Snapshot, list[Change]]:
    found = [
        world.remote(1, (3 << 40) + n, "192.0.2.2", [f"10.0.1.{100 + n}"]) for n in range(first, first + MACS)
    ]
    return world.added(start, *found), [Change(Part.REMOTE, (r.network, r.mac)) for r in found]


def test_what_came_or_went_is_looked_at_once(counts: Counter[str]) -> None:
    start = world.two_tenants()
    program = compiling.compile(start)
    full, changes = _learned(start)
    counts.clear()
    learned, patch = compiling.recompile(program, start, full, changes)
    flows = sum(len(put) for put, _ in patch.groups)
    assert flows >= 2 * MACS
    assert counts == {"keys": flows}
    counts.clear()
    again, back = compiling.recompile(learned, full, start, changes)
    assert sum(len(drop) for _, drop in back.groups) == flows
    assert counts == {"keys": flows}
    assert again == program


def test_what_two_claim_is_compared(counts: Counter[str]) -> None:
    start = world.two_tenants()
    program = compiling.compile(start)
    full, changes = _learned(start)
    rival = world.remote(1, (4 << 40), "192.0.2.2", ["10.0.1.100"])
    both = world.added(full, rival)
    counts.clear()
    _, patch = compiling.recompile(
        program, start, both, [*changes, Change(Part.REMOTE, (rival.network, rival.mac))]
    )
    assert counts["comparisons"]
    put = [compiling.key(flow) for group, _ in patch.groups for flow in group]
    assert len(put) == len(set(put))
