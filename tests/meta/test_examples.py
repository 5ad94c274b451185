"""Every manifest under examples/ can be applied to a new cluster, each file by itself after those before it.

The same reader, cross rules and planner as in the API, without a store.
"""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from controller.manifest.cross import cross
from controller.manifest.manifest import Source, parse
from ipam import pools
from ipam.contents import Contents
from ipam.draft import Draft
from ipam.plan import plan
from ipam.steps import Plan
from model.ids import Uid
from model.intent import Cluster
from model.wanted import Kind
from tests.meta.tree import ROOT, files, shown

EXAMPLES = [p for p in files() if p.is_relative_to(ROOT / "examples") and p.suffix in (".yaml", ".yml")]
NOW = 1_700_000_000_000


def _new_cluster() -> Contents:
    draft = Draft(Contents())
    draft.set_cluster(Cluster(Uid("00000000-0000-4000-8000-000000000000"), 1, 65000))
    for pool in pools.defaults(0):
        draft.put_pool(pool)
    return draft.contents()


def _apply(contents: Contents, path: Path) -> tuple[Contents, Plan]:
    """Plan one file; what the store holds afterwards, and the plan."""
    manifest = parse([Source(shown(path), path.read_text(encoding="utf-8"))])
    assert not manifest.faults
    assert not cross(contents, manifest.wanted)
    serial = itertools.count(1 + len(contents.owners))
    made = plan(contents, manifest.wanted, NOW, lambda: Uid(f"00000000-0000-4000-9000-{next(serial):012x}"))
    draft = Draft(contents)
    for step in made.steps:
        if step.after is not None:
            draft.put(step.after)
    return draft.contents(), made


def test_there_are_examples_of_every_kind() -> None:
    contents, kinds = _new_cluster(), set()
    for path in EXAMPLES:
        contents, made = _apply(contents, path)
        kinds.update(step.reference.kind for step in made.steps)
    assert kinds == set(Kind) - {Kind.GANG}


@pytest.mark.parametrize("path", EXAMPLES, ids=shown)
def test_the_example_applies(path: Path) -> None:
    """In the order of `apply -f examples/`; a second time changes nothing."""
    contents = _new_cluster()
    for before in EXAMPLES[: EXAMPLES.index(path)]:
        contents, _ = _apply(contents, before)
    contents, made = _apply(contents, path)
    assert made
    assert not _apply(contents, path)[1]
