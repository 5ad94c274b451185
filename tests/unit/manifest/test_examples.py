"""The manifests in examples/ have no mistake that can be seen without a store."""

from __future__ import annotations

from pathlib import Path

from controller.manifest.manifest import Source, parse
from model.wanted import Kind, refer

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_examples_are_clean_and_show_every_kind() -> None:
    files = sorted(EXAMPLES.glob("**/*.yaml"))
    manifest = parse(Source(str(path), path.read_text()) for path in files)
    assert files and not manifest.faults
    assert {refer(wanted).kind for wanted in manifest.wanted} == set(Kind) - {Kind.LINK, Kind.GANG}
