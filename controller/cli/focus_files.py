"""FOCUS files: rows as CSV, JSON or Parquet, written row by row.

Place: under `ringfence egress export`; rows come from `accounting.focus`. Decimals stay what they are: digits
in CSV and JSON, decimal128 in Parquet. Must not hold all rows at once.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from accounting.focus import COLUMNS, Row, Type, Value
from accounting.money import SCALE

if TYPE_CHECKING:
    import pyarrow

_GROUP: Final = 20_000
"""Rows of Parquet's row groups."""
PRECISION: Final = 38


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


def write_parquet(out: BinaryIO, rows: Iterable[Row], metadata: dict[str, Any]) -> None:
    """Columns of their own types; the metadata stands in the file's under `focus`."""
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    types = {
        Type.STRING: pyarrow.string(),
        Type.JSON: pyarrow.string(),
        Type.DECIMAL: pyarrow.decimal128(PRECISION, SCALE),
        Type.INTEGER: pyarrow.int64(),
        Type.DATETIME: pyarrow.timestamp("ms", tz="UTC"),
    }
    schema = pyarrow.schema([pyarrow.field(column.name, types[column.type]) for column in COLUMNS])
    schema = schema.with_metadata({"focus": json.dumps(metadata)})
    with ParquetWriter(out, schema) as writer:
        for group in _groups(rows):
            writer.write_table(_table(group, schema))


def _table(rows: list[Row], schema: pyarrow.Schema) -> pyarrow.Table:
    import pyarrow

    columns = []
    for column, field in zip(COLUMNS, schema, strict=True):
        values: list[Any] = [row[column.name] for row in rows]
        if column.type is Type.DATETIME:
            values = [None if value is None else datetime.fromisoformat(value) for value in values]
        columns.append(pyarrow.array(values, type=field.type))
    return pyarrow.table(columns, schema=schema)


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while group := list(islice(source, _GROUP)):
        yield group


def _text(value: Value) -> str | int:
    if value is None:
        return ""
    return f"{value:f}" if isinstance(value, Decimal) else value


def _json(value: Value) -> str:
    return f"{value:f}" if isinstance(value, Decimal) else json.dumps(value)
