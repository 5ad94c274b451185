"""The documents: what they name and link to exists, and generated pages are current."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from controller.cli.commands import COMMANDS
from controller.daemon.main import PROCESSES
from pipelines.document import document
from pipelines.tables import TABLES
from pipelines.tables_policy import CHAINS
from tests.meta.tree import PACKAGES, ROOT, files, shown

PAGES = [path for path in files() if path.suffix == ".md"]
UNITS = sorted((ROOT / "packaging" / "systemd").glob("*.service"))
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
TOPS = (*PACKAGES, "docs", "examples", "packaging", "scripts", "tests")
NAMED = re.compile(rf"`((?:{'|'.join(TOPS)})/[\w./-]*)`")
TARGET = re.compile(r"(?:`|^)make ([a-z-]+)", re.MULTILINE)


def _targets() -> set[str]:
    return set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8")))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_what_it_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = [m for m in LINK.findall(text) if "://" not in m]
    assert [m for m in links if not (page.parent / m).exists()] == []
    named = [m.removesuffix("/") for m in NAMED.findall(text) if "PART" not in m]
    assert [m for m in named if not ((ROOT / m).exists() or (ROOT / f"{m}.py").exists())] == []
    assert set(TARGET.findall(text)) <= _targets()
    commands = {name for name, _, _ in COMMANDS}
    assert set(re.findall(r"(?:^|`)ringfence ([a-z]+)", text, re.MULTILINE)) <= commands
    processes = {name for name, _, _ in PROCESSES}
    assert set(re.findall(r"\bringfenced ([a-z]+)`", text)) <= processes | {"services", "fabric"}


def test_the_pages_are_there() -> None:
    pages = {shown(path) for path in PAGES}
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/cli.md", "docs/operations.md"} <= pages
    assert "docs/pipeline.md" in pages


def test_the_pipeline_page_is_current() -> None:
    page = (ROOT / "docs" / "pipeline.md").read_text(encoding="utf-8")
    assert page == document(), "run 'make docs' and commit docs/pipeline.md"


def test_the_packets_way_names_every_table() -> None:
    """All but the table that only finishes an answer; chains in one row each, with where they end."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    walk = set(re.findall(r"(?m)^\| [12] \| (\w+) \|", text))
    assert walk == {table.name for table in TABLES} - {"advertise"} - {table.name for table in CHAINS}
    chains = set(re.findall(r"(?m)^\| [12] \| (\w+_)… \|.*`settle`", text))
    assert {table.name for table in CHAINS if not table.name.startswith(tuple(chains))} == {"settle"}


def test_every_decision_is_listed() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text(encoding="utf-8")
    records = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("0*.md"))
    assert records
    assert re.findall(r"\]\((0[^)]*)\)", index) == records


@pytest.mark.parametrize("unit", UNITS, ids=shown)
def test_the_unit_runs_a_process_that_exists(unit: Path) -> None:
    text = unit.read_text(encoding="utf-8")
    found = re.findall(r"(?m)^ExecStart=\S+/ringfenced (\w+)", text)
    assert len(found) == 1
    assert unit.name == f"ringfence-{found[0]}.service"
    assert found[0] in {name for name, _, _ in PROCESSES}


def test_every_process_has_its_unit() -> None:
    assert {f"ringfence-{name}.service" for name, _, _ in PROCESSES} == {unit.name for unit in UNITS}
