"""docs/pipeline.md is what the declarations say."""

from __future__ import annotations

import re
from pathlib import Path

from pipelines.document import document
from pipelines.shapes import SHAPES
from pipelines.tables import TABLES

PAGE = Path(__file__).parents[3] / "docs" / "pipeline.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == document(), "run: python -m pipelines.document > docs/pipeline.md"


def test_every_table_and_shape_is_on_the_page() -> None:
    page = PAGE.read_text()
    for table in TABLES:
        assert f"## {table.number} {table.name}" in page
    for shape in SHAPES:
        assert f"| {shape.name} |" in page


def test_the_walks_name_only_what_exists() -> None:
    walks = (PAGE.parent / "packet-walks.md").read_text()
    named = set(re.findall(r"`([^`\s]+)`", walks))
    known = {table.name for table in TABLES} | {shape.name for shape in SHAPES}
    tables = tuple(table.name + "-" for table in TABLES)
    assert {name for name in named if name.startswith(tables)} <= known | {"output-group", "delivery-group"}
    assert {table.name for table in TABLES} <= named
