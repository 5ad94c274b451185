"""FOCUS files: rows as CSV or JSON, written row by row; `focus_parquet` has the third form.

Place: under `ringfence egress export`; rows come from `accounting.focus`. Decimals keep their digits. Must
not hold all rows at once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, BinaryIO

from accounting.focus import COLUMNS, Row, Value


def write_csv(out: BinaryIO, rows: Iterable[Row], _: dict[str, Any]) -> None:
    """RFC 4180 with a header; null is nothing between two commas."""
    text = io.TextIOWrapper(out, encoding="utf-8", newline="", write_through=True)
    try:
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow([column.name for column in COLUMNS])
        for row in rows:
            lines.writerow([_text(row[column.name]) for column in COLUMNS])
    finally:
        text.detach()  # or its end would close what is not its own


def write_json(out: BinaryIO, rows: Iterable[Row], metadata: dict[str, Any]) -> None:
    """One object with `metadata` and `rows`, a row on a line of its own. Numbers have all their digits."""
    out.write(b'{"metadata":' + json.dumps(metadata, separators=(",", ":")).encode() + b',\n"rows":[')
    for place, row in enumerate(rows):
        fields = ",".join(f"{json.dumps(column.name)}:{_json(row[column.name])}" for column in COLUMNS)
        out.write((",\n{" if place else "\n{").encode() + fields.encode() + b"}")
    out.write(b"\n]}\n")


def _text(value: Value) -> str | int:
    if value is None:
        return ""
    return f"{value:f}" if isinstance(value, Decimal) else value


def _json(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)
