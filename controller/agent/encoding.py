"""Encoding: the model's frozen dataclasses to JSON values, by the types of their fields.

Place: under `shelf`; the inverse of `decoding`. An encoder is made once for each type: to ask every value
what it is made of would take a second for 30,000 of them. Must not be lenient: what has no form in JSON fails
when it is written.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from operator import attrgetter
from typing import Any

from controller.agent.decoding import ADDRESSES, PREFIXES

Encoder = Callable[[Any], Any]


@lru_cache(maxsize=512)
def encoder(kind: Any) -> Encoder | None:
    """The encoder of a type; None if its values stand as they are. A memo."""
    kind = getattr(kind, "__supertype__", kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _tuple(typing.get_args(kind))
    if origin in (types.UnionType, typing.Union):
        return _optional(typing.get_args(kind))
    if is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return attrgetter("value")
    if kind is bytes:
        return bytes.hex
    return str if kind in ADDRESSES + PREFIXES else None


def _tuple(items: tuple[Any, ...]) -> Encoder:
    if items[-1] is Ellipsis:
        each = encoder(items[0])
        return list if each is None else lambda value: [*map(each, value)]
    encoders = tuple(encoder(item) for item in items)
    return lambda value: [v if one is None else one(v) for one, v in zip(encoders, value, strict=True)]


def _optional(options: tuple[Any, ...]) -> Encoder | None:
    held = [option for option in options if option is not type(None)]
    if len(held) > 1 and all(map(is_dataclass, held)):
        return _one_of({kind: encoder(kind) for kind in held})
    present = encoder(held[0])
    return present and (lambda value: None if value is None else present(value))


def _one_of(kinds: dict[Any, Encoder | None]) -> Encoder:
    """Of several records: with its name, or nobody would know which it is."""

    def encode(value: Any) -> Any:
        one = kinds[type(value)]
        assert one is not None
        return [type(value).__name__, one(value)]

    return encode


def _record(kind: Any) -> Encoder:
    hints = typing.get_type_hints(kind)
    names = tuple(f.name for f in fields(kind))
    special = tuple((name, one) for name in names if (one := encoder(hints[name])) is not None)
    plain = attrgetter(*names) if len(names) > 1 else (lambda value: (getattr(value, names[0]),))

    def encode(value: Any) -> Any:
        made = dict(zip(names, plain(value), strict=True))
        for name, one in special:
            made[name] = one(made[name])
        return made

    return encode
