"""YAML text to document trees; a broken document never hides the mistakes of the next one.

Place: first step of reading a manifest. Built on parser events, so that nothing of a document is ever
constructed: no aliases (no "billion laughs"), no tags, bounded depth and size. JSON text is YAML text (YAML
1.2.2 section 1.2). Must not know kinds or fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from controller.manifest.tree import (
    MAX_DEPTH,
    MAX_NODES,
    Entry,
    Listing,
    Node,
    Scalar,
    Sort,
    Table,
    TooMuch,
    show,
    sort_plain,
)
from model.errors import Fault

# YAML 1.2.2 section 5.1 printable characters, less those that reorder or hide text on a screen.
_FORBIDDEN: Final = re.compile(
    "[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
    "|[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_SEPARATOR: Final = re.compile(r"^---(?=[ \t]|$)", re.MULTILINE)
_MERGE: Final = "<<"


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a source; `index` counts from 1 within it."""

    source: str
    index: int
    root: Node


class Refused(ValueError):
    """A construct that manifests do not use."""

    def __init__(self, rule: str, message: str, remedy: str, line: int) -> None:
        super().__init__(message)
        self.rule, self.remedy, self.line = rule, remedy, line


def read(source: str, text: str) -> Iterator[Document | Fault]:
    """The documents of one text, and the faults of its form, in order. `source` names it in faults."""
    index = 1
    for start, chunk in _chunks(text.removeprefix("\ufeff")):
        if _is_idle(chunk):
            continue
        label = f"document {index}"
        try:
            for root in _compose(chunk, start):
                yield Document(source, index, root)
                index += 1
            continue
        except Refused as error:
            yield Fault(label, error.rule, str(error), error.remedy, "", source, error.line)
        except yaml.YAMLError as error:
            yield _syntax(error, label, source, start)
        except TooMuch as error:
            yield Fault(label, "too-large", str(error), "Split the manifest.", "", source, start + 1)
        index += 1


def _chunks(text: str) -> Iterator[tuple[int, str]]:
    """(lines before it, text) of each document: `---` at a line's start always begins one (section 9.1.2)."""
    begin, line = 0, 0
    for mark in _SEPARATOR.finditer(text):
        piece = text[begin : mark.start()]
        yield line, piece
        line += piece.count("\n")
        # The marker itself is blanked, so that columns and lines stay true.
        begin = mark.end()
    yield line, text[begin:]


def _is_idle(chunk: str) -> bool:
    """Only blank lines, comments and directives."""
    return all(not line or line.isspace() or line.lstrip()[0] in "%#" for line in chunk.split("\n"))


@dataclass(slots=True)
class _OpenListing:
    """A list that is being read."""

    line: int
    items: list[Node] = field(default_factory=list)

    def add(self, node: Node) -> None:
        self.items.append(node)

    def close(self) -> Node:
        return Listing(tuple(self.items), self.line)


@dataclass(slots=True)
class _OpenTable:
    """A mapping that is being read; keys and values come in turn."""

    line: int
    entries: list[Entry] = field(default_factory=list)
    key: Scalar | None = None

    def add(self, node: Node) -> None:
        if self.key is None:
            self.key = _as_key(node)
        else:
            self.entries.append(Entry(self.key.text, self.key.line, node))
            self.key = None

    def close(self) -> Node:
        return Table(tuple(self.entries), self.line)


def _as_key(node: Node) -> Scalar:
    if isinstance(node, Scalar) and node.text != _MERGE:
        return node
    raise Refused("yaml-key", "a key is not a plain word", "Use names of fields as keys.", node.line)


def _compose(chunk: str, start: int) -> Iterator[Node]:
    """Trees of a chunk whose first line follows `start` lines."""
    bad = _FORBIDDEN.search(chunk)
    if bad:
        line = start + chunk.count("\n", 0, bad.start()) + 1
        raise Refused(
            "character", f"{show(bad.group())} may not stand in a manifest", "Type the text again.", line
        )
    stack: list[_OpenListing | _OpenTable] = []
    nodes = 0
    for event in yaml.parse(chunk, Loader=yaml.CSafeLoader):
        nodes += 1
        if nodes > MAX_NODES:
            raise TooMuch(f"more than {MAX_NODES} nodes in one document")
        line = start + 1 + (event.start_mark.line if event.start_mark else 0)
        node: Node | None = None
        if isinstance(event, yaml.CollectionStartEvent):
            _refuse_marks(event, line)
            if len(stack) >= MAX_DEPTH:
                raise TooMuch(f"line {line} is nested deeper than {MAX_DEPTH} levels")
            opener = _OpenTable if isinstance(event, yaml.MappingStartEvent) else _OpenListing
            stack.append(opener(line))
        elif isinstance(event, yaml.CollectionEndEvent):
            node = stack.pop().close()
        elif isinstance(event, yaml.ScalarEvent):
            _refuse_marks(event, line)
            plain = event.style is None or event.style == ""
            node = Scalar(sort_plain(event.value) if plain else Sort.TEXT, event.value, line)
        elif isinstance(event, yaml.AliasEvent):
            raise Refused("yaml-alias", "aliases are not allowed", "Write the value out.", line)
        if node is None:
            continue
        if stack:
            stack[-1].add(node)
        else:
            yield node


def _refuse_marks(event: Any, line: int) -> None:
    if event.anchor is not None:
        raise Refused("yaml-alias", "anchors are not allowed", "Write the value out.", line)
    if event.tag is not None:
        raise Refused("yaml-tag", f"the tag {show(event.tag)} is not allowed", "Remove the tag.", line)


def _syntax(error: yaml.YAMLError, label: str, source: str, start: int) -> Fault:
    mark = getattr(error, "problem_mark", None)
    line = start + 1 + (mark.line if mark is not None else 0)
    problem = getattr(error, "problem", None) or "it cannot be read"
    context = getattr(error, "context", None)
    message = f"not YAML: {problem}" + (f" ({context})" if context else "")
    return Fault(
        label, "yaml-syntax", message, "Check indentation, quotes and brackets near it.", "", source, line
    )
