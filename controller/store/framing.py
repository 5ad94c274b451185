"""Framing: where one JSON object ends and the next begins in a stream of text, in linear time.

Place: under `wire`, and as the parser of the `ovs` library, whose own goes through the text character by
character in Python (about a hundred times slower). Must not interpret what it frames.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable
from typing import Any, Final

import ovs.json

# All but braces, with the braces inside of complete strings. Each loop is unrolled (no repetition directly
# inside of a repetition), so that a string that ends in a later piece costs one pass. Not possessive: CPython
# before 3.11.5 matches those wrongly (gh-106052).
_RUN: Final = re.compile(r'[^{}"]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"]*)*', re.DOTALL)
_REST_OF_STRING: Final = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*', re.DOTALL)
"""In one go: a report is one long string, full of escaped quotes."""


class Scanner:
    """Finds the end of one object; keeps its place between pieces of text, so that no piece is read again."""

    __slots__ = ("_depth", "_escaped", "_quoted")

    def __init__(self) -> None:
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def find_end(self, text: str, start: int = 0) -> int | None:
        """Index after the brace that closes the object; None if it is not in this piece.

        Raises ValueError if a brace closes what was never opened.
        """
        position = start
        while position < len(text):
            if self._quoted:
                position = self._leave_string(text, position)
                continue
            match = _RUN.match(text, position)
            position = position if match is None else match.end()
            if position == len(text):
                break
            character = text[position]
            position += 1
            if character == '"':  # a string that ends in a later piece
                self._quoted = True
            elif character == "{":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth < 0:
                    raise ValueError("a brace closes what was never opened")
                if self._depth == 0:
                    return position
        return None

    def _leave_string(self, text: str, position: int) -> int:
        if self._escaped:
            self._escaped = False
            return position + 1
        match = _REST_OF_STRING.match(text, position)
        end = position if match is None else match.end()
        if end == len(text):
            return end
        if text[end] == '"':
            self._quoted = False
        else:  # a backslash at the end of this piece
            self._escaped = True
        return end + 1


Fold = Callable[[list[tuple[str, Any]]], Any]
"""What an object of JSON becomes, made of its members as soon as they are read, innermost first."""


class Framer:
    """Bytes in, complete JSON objects out. `fold`: None leaves them dictionaries."""

    def __init__(self, fold: Fold | None = None) -> None:
        self._fold = fold
        self._decode = codecs.getincrementaldecoder("utf-8")()
        self._scanner = Scanner()
        self._parts: list[str] = []

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        """The objects that this piece completes; ValueError if the stream is no JSON."""
        text = self._decode.decode(data)
        found: list[dict[str, Any]] = []
        start = 0
        while True:
            end = self._scanner.find_end(text, start)
            if end is None:
                self._parts.append(text[start:])
                return found
            self._parts.append(text[start:end])
            found.append(json.loads("".join(self._parts), object_pairs_hook=self._fold))
            self._parts = []
            self._scanner = Scanner()
            start = end


class Parser:
    """Stands in for `ovs.json.Parser` (its methods, its results), on Python's own C scanner."""

    def __init__(self, *, check_trailer: bool = False) -> None:
        self._check_trailer = check_trailer
        self._scanner = Scanner()
        self._parts: list[str] = []
        self._done = False
        self._error = ""

    def feed(self, text: str) -> int:
        """How many characters were consumed; those after the object are left to the next message."""
        if self._done and not self._check_trailer:
            return 0
        try:
            end = None if self._done else self._scanner.find_end(text)
        except ValueError as error:
            self._done, self._error = True, str(error)
            return len(text)
        self._done = self._done or end is not None
        consumed = len(text) if end is None or self._check_trailer else end
        self._parts.append(text[:consumed])
        return consumed

    def is_done(self) -> bool:
        """Whether the object is complete or broken."""
        return self._done

    def finish(self) -> Any:
        """The value; a text that says what is wrong, as the library expects, if it is none."""
        if self._error:
            return self._error
        try:
            return json.loads("".join(self._parts))
        except (ValueError, RecursionError) as error:
            return f"line is no JSON: {error}"


def speed_up() -> None:
    """Let the `ovs` library parse with Parser. Called once by each process that uses its IDL; idempotent."""
    ovs.json.Parser = Parser
    ovs.json.PARSER = ovs.json.PARSER_PY
