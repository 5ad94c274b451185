"""Rows of `ringfence egress report` for machines: the columns of CSV and Parquet.

Place: between the API's answer and the two forms. Must not add up or round anything.
"""

from __future__ import annotations

import csv
from typing import Any, Final, TextIO

from controller.cli.egress_times import iso_ms

FIRST: Final = (
    "tenant", "from", "to", "by", "key", "name", "packets", "bytes", "intervals", "gaps", "gap_bound_bytes",
)  # fmt: skip
KEYS: Final = (
    ("tenant", "tenant_uid", "tenant_name"),
    ("network", "network_uid", "network_name"),
    ("port", "port_uid", "port_name"),
    ("class", "class", "class_name"),
    ("host", "host", None),
    ("hour", "hour", None),
    ("day", "day", None),
)
"""(grouping, column of its key, column of its name). Empty where a report is not by it."""
HEADER: Final = (
    *FIRST, "direction", "zone", "residual_bytes",
    *(column for _, key, name in KEYS for column in (key, name) if column),
)  # fmt: skip
"""Columns of the CSV. They are never renamed or moved; new ones go to the right."""


def flat(found: Any, row: Any) -> dict[str, Any]:
    """A row by HEADER's columns, None for what is not known or not asked for; from and to in milliseconds."""
    value: dict[str, Any] = {
        "tenant": found["tenant"],
        "from": found["fromMs"],
        "to": found["toMs"],
        "by": found["by"],
        "key": row["key"],
        "name": row["name"],
        "packets": row["packets"],
        "bytes": row["bytes"],
        "intervals": row["intervals"],
        "gaps": row["gaps"],
        "gap_bound_bytes": row["gapBound"],
        "direction": found["direction"],
        "zone": found["zone"],
        "residual_bytes": row["residual"],
    }
    asked = found["by"].split(",")
    for grouping, key, name in KEYS:
        place = asked.index(grouping) if grouping in asked else None
        value[key] = None if place is None else row["keys"][place]
        if name:
            value[name] = None if place is None else row["names"][place]
    return value


def write_csv(found: Any, out: TextIO) -> None:
    """One line a row, no total. What is not known is empty."""
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(HEADER)
    span = {"from": iso_ms(found["fromMs"]), "to": iso_ms(found["toMs"])}
    for row in found["rows"]:
        value = flat(found, row) | span
        lines.writerow(["" if value[column] is None else value[column] for column in HEADER])
