"""Document trees: what YAML and JSON have in common, with the line of every node.

Place: made by `controller.manifest.text` (YAML text) or `grow` (JSON values), read by
`controller.manifest.draft`. Scalars keep their text, so that `52:54:00:12:34:56` stays a MAC address (YAML
1.1 reads a base-60 number) and `no` stays a word. Must not know kinds or fields.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

MAX_DEPTH: Final = 24
DEEPEST: Final = MAX_DEPTH
"""Of all paths that there are."""
MAX_NODES: Final = 1_000_000
_LINED_DEPTH: Final = 3
_LINED_PATH: Final = 200
"""Depth and length of the paths whose lines are kept: no field lies deeper, and memory stays bounded."""
_SHOWN: Final = 80
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_NUMBER: Final = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})


class Sort(Enum):
    """What a scalar is, by the core schema of YAML 1.2.2 section 10.3; the value names it in messages."""

    TEXT = "text"
    INTEGER = "a whole number"
    NUMBER = "a number with a fraction"
    BOOLEAN = "a boolean"
    NULL = "empty"


@dataclass(frozen=True, slots=True)
class Scalar:
    """`text` as written, without quotes."""

    sort: Sort
    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Listing:
    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """`line` is the key's."""

    key: str
    line: int
    value: Node


@dataclass(frozen=True, slots=True)
class Table:
    """Entries in the order written; a key may stand twice, which the reader refuses."""

    entries: tuple[Entry, ...]
    line: int


Node = Scalar | Listing | Table


class TooMuch(ValueError):
    """A document is deeper or larger than any manifest needs."""


def sort_plain(text: str) -> Sort:
    """What an unquoted YAML scalar is."""
    if text in _NULLS:
        return Sort.NULL
    if text in _BOOLEANS:
        return Sort.BOOLEAN
    if _INTEGER.fullmatch(text):
        return Sort.INTEGER
    return Sort.NUMBER if _NUMBER.fullmatch(text) else Sort.TEXT


def grow(value: object, depth: int = 0) -> Node:
    """The tree of a JSON value (as the json module returns it); lines are 0. TooMuch if nested too deeply."""
    if depth > MAX_DEPTH:
        raise TooMuch(f"nested deeper than {MAX_DEPTH} levels")
    match value:
        case dict():
            return Table(tuple(Entry(str(k), 0, grow(v, depth + 1)) for k, v in value.items()), 0)
        case list() | tuple():
            return Listing(tuple(grow(v, depth + 1) for v in value), 0)
        case bool():
            return Scalar(Sort.BOOLEAN, "true" if value else "false", 0)
        case None:
            return Scalar(Sort.NULL, "", 0)
        case int():
            return Scalar(Sort.INTEGER, str(value) if abs(value) < 1 << 64 else f"0x{value:x}", 0)
        case float():
            return Scalar(Sort.NUMBER, repr(value), 0)
        case _:
            return Scalar(Sort.TEXT, str(value), 0)


def lines(root: Node, deepest: int = _LINED_DEPTH) -> dict[str, int]:
    """Field path -> line of the tree, as deep as fields lie; {} for trees without lines."""
    found: dict[str, int] = {}
    pending: list[tuple[str, Node, int]] = [("", root, 0)]
    while pending:
        path, node, depth = pending.pop()
        for below, line, child in _children(path, node):
            if line and len(below) <= _LINED_PATH:
                found[below] = line
                if depth + 1 < deepest:
                    pending.append((below, child, depth + 1))
    return found


def _children(path: str, node: Node) -> Iterator[tuple[str, int, Node]]:
    if isinstance(node, Table):
        for entry in node.entries:
            if len(entry.key) <= _LINED_PATH:
                yield (f"{path}.{entry.key}" if path else entry.key), entry.line, entry.value
    elif isinstance(node, Listing):
        for index, item in enumerate(node.items):
            yield f"{path}[{index}]", item.line, item


def name_sort(node: Node) -> str:
    """How a message calls what was written."""
    if isinstance(node, Table):
        return "a mapping"
    return "a list" if isinstance(node, Listing) else node.sort.value


def show(text: str) -> str:
    """Foreign text, safe to print: quoted, cut, everything but printable ASCII escaped."""
    cut = text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
    return json.dumps(cut, ensure_ascii=True).replace("\x7f", "\\u007f")
