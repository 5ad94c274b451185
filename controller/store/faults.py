"""Faults: what an OVSDB server's refusal means for the person who asked.

Place: between `wire` and everything that writes. Pure. Must not hide the server's own words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from model.errors import Conflict, Fault, Invalid, RingfenceError, Unavailable

_DUPLICATE: Final = re.compile(
    r'multiple rows in "(?P<table>\w+)" table to have identical values \((?P<values>.*)\) '
    r"for index on columns? (?P<columns>.*?)\.  ",
    re.DOTALL,
)

_NAMING: Final = ("address", "name", "key", "vni", "value")
"""Columns that tell people which row is meant, the best first."""


class Raced(Conflict):
    """Another writer was faster: what this write was planned on is no longer so. Plan again and retry."""


class Lost(Unavailable):
    """The connection went away between a request and its answer: it may have been done or not."""


def interpret(operations: Sequence[dict[str, Any]], results: Sequence[Any]) -> RingfenceError | None:
    """The error of a `transact` answer (RFC 7047 section 4.1.3); None if all went well.

    A result beyond the operations' number is the commit's own.
    """
    for index, result in enumerate(results):
        if isinstance(result, dict) and result.get("error"):
            operation = operations[index] if index < len(operations) else {}
            return _translate(operation, str(result["error"]), str(result.get("details", "")))
    return None


def _translate(operation: dict[str, Any], error: str, details: str) -> RingfenceError:
    table = str(operation.get("table", "store"))
    if error == "timed out" and operation.get("op") == "wait":
        return Raced(
            Fault(table, "changed-meanwhile", f"{table} was changed by another writer", "Try again.")
        )
    duplicate = _DUPLICATE.search(details)
    if duplicate is not None:
        columns = sorted(re.findall(r'"(\w+)"', duplicate["columns"]))
        named = " and ".join(columns)
        return Raced(
            Fault(
                f"{duplicate['table']} {duplicate['values']}",
                f"unique-{'-'.join(columns)}",
                f"another {duplicate['table']} already has this {named} ({duplicate['values']})",
                "Choose another value, or delete the object that has it.",
            )
        )
    if error == "duplicate uuid":
        row = operation.get("row", {})
        named = next((str(row[column]) for column in _NAMING if row.get(column)), "row")
        message = f"another writer has made {table} {named} meanwhile"
        return Raced(Fault(f"{table} {named}", "changed-meanwhile", message, "Try again."))
    if error == "referential integrity violation":
        return Raced(
            Fault(table, "still-used", f"the store refused: {details}", "Delete what refers to it first.")
        )
    if error in ("not leader", "not connected", "I/O error", "resources exhausted"):
        return Unavailable(Fault("store", "store-unavailable", f"{error}: {details}", "Try again later."))
    return Invalid(
        Fault(
            table,
            error.replace(" ", "-"),
            f"the store refused: {details or error}",
            "Correct the value; if it looks right, this is a defect: report it with this message.",
        )
    )
