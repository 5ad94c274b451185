"""Session: what a command has at hand: the API, and how to print.

Place: made by `controller.cli.main` for each run. Must not decide what is printed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from controller.cli import paint
from controller.cli.client import Api

FORMATS = ("table", "json", "yaml")


class Session:
    """`format`: table, json or yaml. `out`: where results go; messages go to `err`."""

    def __init__(self, api: Api, form: str, out: TextIO, err: TextIO) -> None:
        self.api = api
        self.form = form
        self.out = out
        self.err = err

    def show(self, value: Any, table: Callable[[Any], None]) -> None:
        """Print `value` as JSON or YAML, or let `table(value)` print it for people."""
        if self.form == "json":
            json.dump(value, self.out, indent=2)
            self.out.write("\n")
        elif self.form == "yaml":
            import yaml

            documents = value["items"] if _is_list(value) else [value]
            yaml.dump_all(documents, self.out, Dumper=yaml.CSafeDumper, sort_keys=False, width=100)
        else:
            table(value)

    def table(self, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table on `out`: with rich on a terminal, in plain columns elsewhere."""
        paint.table(self.out, title, heads, [[clean(cell) for cell in row] for row in rows])

    def line(self, text: str) -> None:
        """A line of the result."""
        self.out.write(clean(text) + "\n")

    def note(self, text: str) -> None:
        """A line for the person, on stderr."""
        self.err.write(clean(text) + "\n")


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and value.get("kind") == "List" and isinstance(value.get("items"), list)


def clean(text: str) -> str:
    """Foreign text without control characters, so that nothing can steer the terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def standard(api: Api, form: str) -> Session:
    """On this process's own streams."""
    return Session(api, form, sys.stdout, sys.stderr)
