"""A table of what a test file saw, and the page that says the same.

Place: shared by the tests of interoperation, which fill docs/evpn.md. Must not write the page: who
changes what is seen reads it first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from topologies.deadline import until
from topologies.errors import LabError

PAGE = Path(__file__).resolve().parents[3] / "docs" / "evpn.md"
NEVER = "-"
FAILED = "NOT SEEN"


@dataclass
class Matrix:
    """`cells`: (row, column) -> what was seen; `patience` in seconds."""

    patience: float
    cells: dict[tuple[str, str], str] = field(default_factory=dict)

    def see(self, row: str, column: str, what: str, condition: Callable[[], object]) -> None:
        """Note `what` once the condition holds; fails, and notes that, if it never does."""
        try:
            until(f"{column}: {row}", condition, self.patience)
        except LabError:
            self.cells[row, column] = FAILED
            raise
        self.cells[row, column] = what

    def table(self, title: str, rows: Sequence[str], columns: Sequence[str]) -> str:
        """In Markdown."""
        lines = [f"| {title} | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
        lines += [
            f"| {row} | {' | '.join(self.cells.get((row, c), NEVER) for c in columns)} |" for row in rows
        ]
        return "\n".join(lines)


def assert_written(what: str, begin: str, end: str) -> None:
    """The page has this, and nothing else, between two marks."""
    print(what)
    written = PAGE.read_text(encoding="utf-8").partition(begin)[2].partition(end)[0].strip()
    assert written == what, f"write this into {PAGE.name}:\n{what}"
