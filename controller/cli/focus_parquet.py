"""FOCUS as Parquet: columns of their own types, decimals as decimal128.

Place: under `ringfence egress export -o parquet`, and loaded by it only, for pyarrow takes its time. Must not
hold more than a group of rows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from accounting.focus import COLUMNS, Null, Row, Type
from accounting.money import SCALE

GROUP: Final = 20_000
"""Rows of a row group."""
_PRECISION: Final = 38


def write_parquet(out: BinaryIO, rows: Iterable[Row], metadata: dict[str, Any]) -> None:
    """FOCUS's metadata stands in the file's under `focus`."""
    types = {
        Type.STRING: pa.string(),
        Type.JSON: pa.string(),
        Type.DECIMAL: pa.decimal128(_PRECISION, SCALE),
        Type.INTEGER: pa.int64(),
        Type.DATETIME: pa.timestamp("ms", tz="UTC"),
    }
    fields = [pa.field(c.name, types[c.type], nullable=c.null is Null.ALLOWED) for c in COLUMNS]
    schema = pa.schema(fields, {"focus": json.dumps(metadata)})
    with pq.ParquetWriter(out, schema) as writer:
        for group in _groups(rows):
            writer.write_table(_table(group, schema))


def _table(rows: list[Row], schema: pa.Schema) -> pa.Table:
    columns = []
    for column, field in zip(COLUMNS, schema, strict=True):
        values: list[Any] = [row[column.name] for row in rows]
        if column.type is Type.DATETIME:
            values = [None if value is None else datetime.fromisoformat(value) for value in values]
        columns.append(pa.array(values, type=field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    source = iter(rows)
    while group := list(islice(source, GROUP)):
        yield group
