"""`ringfence egress plot`: what is drawn adds up to the report, and the same ledger is the same file."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from accounting.curves import DAY, HOUR, Point, chart, merged, step_of, unit_of
from controller.cli.commands import OK, USAGE
from tests.unit.accounting.examples import gap
from tests.unit.accounting.october import MONTH, OCT, on

PNG = b"\x89PNG\r\n\x1a\n"


def test_curves_add_up_and_the_small_ones_stand_together() -> None:
    points = [Point(str(n), f"p{n}", OCT + day * DAY, 10**n) for n in range(6) for day in (0, 3)]
    found = chart(points, OCT, OCT + 30 * DAY, most=4)
    assert [(curve.label, curve.total) for curve in found.curves] == [
        ("p5", 200_000), ("p4", 20_000), ("p3", 2_000), ("3 others", 222),
    ]  # fmt: skip
    assert found.total == 222_222 and len(found.edges) == 31
    assert found.curves[0].values[:5] == (100_000, 0, 0, 100_000, 0)


def test_steps_are_hours_or_days_and_the_first_and_last_may_be_parts() -> None:
    assert step_of(0, 96 * HOUR) == HOUR and step_of(0, 96 * HOUR + 1) == DAY
    found = chart([Point("1", "a", OCT + HOUR, 5)], OCT + HOUR + 60_000, OCT + 3 * HOUR + 1, most=8)
    assert found.edges == (OCT + HOUR + 60_000, OCT + 2 * HOUR, OCT + 3 * HOUR, OCT + 3 * HOUR + 1)
    assert found.curves[0].values == (5, 0, 0)


def test_two_of_one_name_are_told_apart() -> None:
    found = chart(
        [Point("1", "a", OCT, 5), Point("2", "a", OCT, 4), Point("3", "", OCT, 1)], OCT, OCT + HOUR, 8
    )
    assert [curve.label for curve in found.curves] == ["a (1)", "a (2)", "3"]


def test_gaps_are_wide_enough_to_be_seen_and_overlap_nowhere() -> None:
    assert merged([(0, 100), (50, 200), (1_000, 1_000)], 10) == ((0, 200), (995, 1_005))
    assert merged([], 10) == ()


def test_units_are_decimal() -> None:
    assert [unit_of([value])[1] for value in (0, 999, 1_000, 10**9, 5 * 10**15, 10**19)] == [
        "B", "B", "kB", "GB", "PB", "EB",
    ]  # fmt: skip


def test_the_same_ledger_is_the_same_picture(run: Any, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.svg", "b.svg"):
        code, out, _ = run("plot", "--tenant", "blue", *MONTH, "--file", name)
        assert code == OK and out == f"{name}: 2 curves, 2,234,567,898 bytes\n"
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert "<svg" in (tmp_path / "a.svg").read_text()


def test_a_gap_is_in_the_picture(run: Any, site: Any, tmp_path: Path) -> None:
    """Without it the picture is another one; more gaps than a report lists are told by steps."""
    query = ["plot", "--tenant", "red", *MONTH]
    assert run(*query, "--file", "before.svg")[0] == OK
    site.ledger.post([gap(20 + n, owner=on(1, 1, 1).owner.__class__(
        "uid-9", "vm9", "uid-red", "red", "uid-red-net", "net"
    ), from_ms=OCT + n * 1_000, to_ms=OCT + n * 1_000) for n in range(1_001)])  # fmt: skip
    code, out, _ = run(*query, "-o", "json", "--file", "after.svg")
    found = json.loads(out)
    assert code == OK and found["gapCount"] == 1_001 and found["gaps"] == [[OCT, OCT + DAY]]
    assert sum(found["curves"][0]["values"]) == 10**9
    before, after = ((tmp_path / name).read_text() for name in ("before.svg", "after.svg"))
    assert after.count("url(#") > before.count("url(#")


def test_received_bytes_by_port(run: Any) -> None:
    query = ["plot", "--tenant", "blue", *MONTH, "--direction", "in", "--by", "port", "-o", "json"]
    found = json.loads(run(*query)[1])
    assert [(curve["label"], sum(curve["values"])) for curve in found["curves"]] == [("vm7", 10**10)]


@pytest.mark.parametrize(
    "words",
    [[], ["--file", "x.pdf"], ["--file", "no/x.png"], ["--to", "2026-09-01", "--file", "x.png"]],
    ids=["no file", "another kind", "no folder", "backwards"],
)
def test_what_makes_no_sense(run: Any, words: list[str]) -> None:
    assert run("plot", "--tenant", "blue", *MONTH, *words)[0] == USAGE


def test_matplotlib_is_loaded_for_pictures_only() -> None:
    probe = (
        "import sys; from controller.cli import egress, egress_plot, egress_export, egress_verify;"
        "sys.exit(bool({'matplotlib', 'pyarrow', 'yaml', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", probe], timeout=60, check=False).returncode == 0
