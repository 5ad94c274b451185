"""Metrics and alerts before promtool, Prometheus's own checker: Debian 13's, unpacked by `make setup-all`."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controller.api.exposition import Sample, expose
from controller.api.gauges import METRICS
from tests.contract.test_exports import PROGRAMS, run
from tests.meta.tree import ROOT

pytestmark = pytest.mark.long

EVIL = 'a "quoted" \\ line\nand é {x="1"} 2 #'
RULES = ROOT / "packaging" / "prometheus" / "ringfence.rules.yml"
TESTS = ROOT / "tests" / "contract" / "ringfence.rules.test.yml"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Within the programs' root, with the rules and their tests."""
    assert (PROGRAMS / "complete").exists(), "run 'make setup-all'"
    made = Path(tempfile.mkdtemp(dir=PROGRAMS / "tmp"))
    try:
        shutil.copy(RULES, made)
        shutil.copy(TESTS, made)
        yield made
    finally:
        shutil.rmtree(made)


def judged(folder: Path) -> int:
    return run("promtool", "test", "rules", f"/tmp/{folder.name}/{TESTS.name}", text="").returncode


def test_promtool_takes_the_metrics() -> None:
    samples = [Sample(m.name, (EVIL,) * len(m.labels), 1.5) for m in METRICS]
    text = expose(METRICS, samples)
    ran = run("promtool", "check", "metrics", text=text)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert run("promtool", "check", "metrics", text=text.replace(" counter\n", " gauge\n")).returncode != 0
    broken = text.replace("\\n", "\n")
    assert run("promtool", "check", "metrics", text=broken).returncode != 0, "it sees what is not escaped"


def test_promtool_takes_the_rules_and_each_alert_fires_for_its_reason_only(folder: Path) -> None:
    ran = run("promtool", "check", "rules", f"/tmp/{folder.name}/{RULES.name}", text="")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert judged(folder) == 0
    text = TESTS.read_text(encoding="utf-8")
    for before, after in (("values: 60x60", "values: 61x60"), ("values: 901x90", "values: 900x90")):
        assert before in text
        (folder / TESTS.name).write_text(text.replace(before, after), encoding="utf-8")
        assert judged(folder) != 0
