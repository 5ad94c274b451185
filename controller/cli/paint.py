"""Paint: tables and colours, for terminals only.

Place: under `controller.cli.session`. rich is imported here, and only when a person looks. Honours NO_COLOR.
Must not know what is in a table.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TextIO

_GAP = "  "
_LAST = 40
"""Columns of text that the last cell of a row gets at least, if it needs them."""


def table(out: TextIO, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A title (may be empty), heads in upper case, one row a line."""
    if out.isatty():
        _rich(out, title, heads, rows)
    else:
        _plain(out, title, heads, rows)


def _plain(out: TextIO, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    upper = [head.upper() for head in heads]
    widths = [max(map(len, column)) for column in zip(upper, *rows, strict=True)]
    if title:
        out.write(f"{title}\n")
    for row in (upper, *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        out.write(_GAP.join(cells).rstrip() + "\n")


def _rich(out: TextIO, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=out, no_color=bool(os.environ.get("NO_COLOR")), highlight=False)
    # Only the last column folds; in a narrower terminal the lines run over, but every word stays whole.
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    least = sum(widths[:-1]) + min(widths[-1], _LAST) + len(_GAP) * len(widths)
    console.width = max(console.width, least)
    made = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, head in enumerate(heads, 1):
        made.add_column(head.upper(), overflow="fold", no_wrap=index < len(heads), header_style="bold")
    for row in rows:
        made.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    console.print(made)


def _style(cell: str) -> str:
    """A colour for words of state; every other cell keeps the terminal's own."""
    if cell in {"in-sync", "active", "established", "created"}:
        return "green"
    if cell in {"dead", "frozen", "refused", "error", "silent", "deleted"}:
        return "red"
    return "yellow" if cell in {"degraded", "waiting", "starting", "pending", "changed", "unknown"} else ""


def emphasis(out: TextIO, text: str) -> str:
    """Bold red on a terminal that wants colour, else as it is."""
    if out.isatty() and not os.environ.get("NO_COLOR"):
        return f"\x1b[1;31m{text}\x1b[0m"
    return text
