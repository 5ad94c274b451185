"""Merging: rows as a conditional monitor tells them (ovsdb-server(7), "monitor_cond"), to whole rows.

Place: under `watch`. A new row comes without the columns that have their type's default, a changed one with
differences only. Pure. Must not interpret values: that is `rows`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from controller.store.schema import intent_schema

Row = dict[str, Any]
_DEFAULTS: Final[Mapping[str, Any]] = {
    "string": "",
    "integer": 0,
    "boolean": False,
    "uuid": ["uuid", "00000000-0000-0000-0000-000000000000"],
}
"""RFC 7047 section 5.2.1: of columns that hold exactly one value."""


class _Holds(Enum):
    """How many values a column holds."""

    ONE = "one"
    ONE_OR_NONE = "one or none"
    MANY = "many"
    PAIRS = "pairs"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table that are read: how to complete and to change its rows."""

    kinds: Mapping[str, _Holds]
    defaults: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, ...]:
        """In their order."""
        return tuple(self.kinds)

    def complete(self, told: Mapping[str, Any]) -> Row:
        """A new row, with what goes without saying."""
        return {**self.defaults, **told}

    def change(self, row: Mapping[str, Any], told: Mapping[str, Any]) -> Row:
        """A row after a difference: of sets it names what came and what went, of maps what changed besides,
        of others the new value."""
        changed = dict(row)
        for column, difference in told.items():
            match self.kinds[column]:
                case _Holds.MANY:
                    changed[column] = _differ(row[column], difference)
                case _Holds.PAIRS:
                    changed[column] = _differ_in_pairs(row[column], difference)
                case _:
                    changed[column] = difference
        return changed


def of(table: str, unread: frozenset[str]) -> Columns:
    """The columns of a table of the durable database, but for `unread`."""
    found = intent_schema()["tables"][table]["columns"]
    kinds = {name: _kind(column["type"]) for name, column in found.items() if name not in unread}
    return Columns(kinds, {name: _default(found[name]["type"], kind) for name, kind in kinds.items()})


def _kind(described: Any) -> _Holds:
    if isinstance(described, str):
        return _Holds.ONE
    if "value" in described:
        return _Holds.PAIRS
    if described.get("max", 1) != 1:
        return _Holds.MANY
    return _Holds.ONE if described.get("min", 1) else _Holds.ONE_OR_NONE


def _base(described: Any) -> str:
    key = described if isinstance(described, str) else described["key"]
    return str(key if isinstance(key, str) else key["type"])


def _differ(value: Any, difference: Any) -> Any:
    """Each element that is in one of two sets only."""
    old, new = _elements(value), _elements(difference)
    return ["set", [*(e for e in old if e not in new), *(e for e in new if e not in old)]]


def _differ_in_pairs(value: Any, difference: Any) -> Any:
    """A pair that is told as it was is gone; any other is what its key now has."""
    now = dict(value[1])
    for key, told in difference[1]:
        if now.get(key) == told:
            del now[key]
        else:
            now[key] = told
    return ["map", [[key, told] for key, told in now.items()]]


def _default(described: Any, kind: _Holds) -> Any:
    match kind:
        case _Holds.ONE:
            return _DEFAULTS[_base(described)]
        case _Holds.PAIRS:
            return ["map", []]
        case _:
            return ["set", []]


def _elements(value: Any) -> list[Any]:
    """A set of one element may be written bare (RFC 7047 section 5.1)."""
    if isinstance(value, list) and value[:1] == ["set"]:
        return list(value[1])
    return [value]
