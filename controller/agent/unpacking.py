"""Unpacking: a JSON object whose members are long arrays, an element at a time.

Place: under `disk`. A tree of all the elements takes several times the room of what is made of them, and an
allocator gives little of that back. Must not know what the elements are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_DECODE: Final = json.JSONDecoder().raw_decode
_SPACE: Final = re.compile(r"[ \t\n\r]*")


def unpack(text: str, each: Mapping[str, Callable[[Any], Any]]) -> dict[str, Any]:
    """The members of the object; those that `each` names as lists of what it makes of their elements.

    ValueError if the text is no object, and whatever `each` raises.
    """
    found: dict[str, Any] = {}
    at = _after(text, 0, "{")
    while True:
        name, at = _DECODE(text, at)
        at = _after(text, at, ":")
        if name in each:
            found[name], at = _elements(text, at, each[name])
        else:
            found[name], at = _DECODE(text, at)
        at = _skip(text, at)
        if text[at : at + 1] == "}":
            return found
        at = _after(text, at, ",")


def _elements(text: str, at: int, make: Callable[[Any], Any]) -> tuple[list[Any], int]:
    at = _after(text, at, "[")
    made: list[Any] = []
    while text[at : at + 1] != "]":
        if made:
            at = _after(text, at, ",")
        value, at = _DECODE(text, at)
        made.append(make(value))
        at = _skip(text, at)
    return made, at + 1


def _skip(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _after(text: str, at: int, mark: str) -> int:
    """Where the next thing begins behind a mark."""
    at = _skip(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"{text[at : at + 1]!r} at {at} where {mark!r} was expected")
    return _skip(text, at + 1)
