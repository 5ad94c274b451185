"""Foreign: fields of JSON that a host wrote, which may be compromised.

Place: under `model.sighting` and `model.bearing`. What does not fit is a ValueError, what is too long is cut.
Must not know what the fields mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def mapping(value: object) -> Mapping[str, Any]:
    """An object of JSON."""
    if not isinstance(value, dict):
        raise ValueError("a report is no JSON object")
    return value


def items(found: Mapping[str, Any], key: str, most: int) -> list[Mapping[str, Any]]:
    """A list of objects, the first `most` of them; none if it is left out."""
    value = found.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{key} is no list")
    return [mapping(item) for item in value[:most]]


def text(found: Mapping[str, Any], key: str, most: int) -> str:
    """The first `most` characters; "" if it is left out."""
    value = found.get(key, "")
    if not isinstance(value, str):
        raise ValueError(f"{key} is no text")
    return value[:most]


def number(value: object, key: str, bits: int) -> int:
    """A whole number that is not negative."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << bits:
        raise ValueError(f"{key} is no whole number of {bits} bits")
    return value
