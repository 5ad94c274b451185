"""Statements: single operations of an OVSDB transaction (RFC 7047 section 5.2).

Place: under `operations` and whoever else writes rows. Pure. Must not know any table.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from controller.store import rows
from model.ids import Uid

Operation = dict[str, Any]


def insert(table: str, uid: Uid, columns: rows.Columns) -> Operation:
    """A new row with a given `_uuid`."""
    return {"op": "insert", "table": table, "uuid": uid, "row": columns}


def update(table: str, uid: Uid, columns: rows.Columns) -> Operation:
    """Overwrite some columns of one row."""
    return {"op": "update", "table": table, "where": by_uid(uid), "row": columns}


def delete(table: str, uid: Uid) -> Operation:
    """Remove one row."""
    return {"op": "delete", "table": table, "where": by_uid(uid)}


def wait(table: str, where: list[Any], columns: Iterable[str], found: list[rows.Columns]) -> Operation:
    """The server refuses the transaction unless exactly these rows match."""
    return {
        "op": "wait",
        "timeout": 0,
        "table": table,
        "where": where,
        "columns": list(columns),
        "until": "==",
        "rows": found,
    }


def select(table: str, where: list[Any], columns: Iterable[str]) -> Operation:
    """Read some columns of the rows that match."""
    return {"op": "select", "table": table, "where": where, "columns": list(columns)}


def by_uid(uid: str) -> list[Any]:
    """Match one row."""
    return [["_uuid", "==", ["uuid", uid]]]
