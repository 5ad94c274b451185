"""Parquet of `ringfence egress report`: the columns of the CSV with their types, and what was asked.

Place: the only importer of pyarrow, loaded when this form is asked for. Must not round: numbers are
whole ones of 64 bits, and what does not fit is refused.
"""

from __future__ import annotations

import importlib.metadata
import json
from datetime import UTC, date, datetime, timedelta
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from controller.cli.client import Wrong
from controller.cli.egress_rows import HEADER, flat

FORMAT: Final = "1"
"""Of the columns and of the metadata; columns that are new to the right do not raise it."""
_TIMES: Final = ("from", "to", "hour")
_NUMBERS: Final = ("packets", "bytes", "intervals", "gaps", "gap_bound_bytes", "residual_bytes")
_ALWAYS: Final = (
    "from", "to", "by", "key", "name", "packets", "bytes", "intervals", "gaps", "direction", "zone",
)  # fmt: skip
_TOTALS: Final = ("packets", "bytes", "straddlingBytes", "gapCount", "gapBound", "residual")
_QUERY: Final = ("tenant", "fromMs", "toMs", "by", "direction", "zone")
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def write_parquet(found: Any, out: IO[bytes]) -> None:
    """The report as one file. Metadata: `ringfence.query` and `ringfence.totals` as JSON, versions."""
    columns = {name: list[Any]() for name in HEADER}
    for row in found["rows"]:
        value = _typed(flat(found, row))
        for name in HEADER:
            columns[name].append(value[name])
    schema = _schema(found)
    try:
        arrays = [pa.array(columns[field.name], field.type) for field in schema]
    except (OverflowError, pa.ArrowInvalid) as error:
        raise Wrong(f"a number does not fit 64 bits: write -o csv or -o json ({error})") from error
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out, compression="snappy")


def _schema(found: Any) -> pa.Schema:
    metadata = {
        "ringfence.format": FORMAT,
        "ringfence.version": importlib.metadata.version("ringfence"),
        "ringfence.query": json.dumps({name: found[name] for name in _QUERY}),
        "ringfence.totals": json.dumps({name: found[name] for name in _TOTALS}),
    }
    fields = [pa.field(name, _type(name), nullable=name not in _ALWAYS) for name in HEADER]
    return pa.schema(fields, metadata)


def _type(column: str) -> pa.DataType:
    if column in _TIMES:
        return pa.timestamp("ms", tz="UTC")
    if column in _NUMBERS:
        return pa.int64()
    return pa.date32() if column == "day" else pa.string()


def _typed(value: dict[str, Any]) -> dict[str, Any]:
    """Times as such."""
    day, hour = value["day"], value["hour"]
    return value | {
        "from": _EPOCH + timedelta(milliseconds=value["from"]),
        "to": _EPOCH + timedelta(milliseconds=value["to"]),
        "hour": None if hour is None else datetime.fromisoformat(hour),
        "day": None if day is None else date.fromisoformat(day),
    }
