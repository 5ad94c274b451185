"""Decoding: JSON values back to the model's frozen dataclasses, by the types of their fields.

Place: under `disk`. A decoder is made once for each type: looking the types up for each of 30,000 values
would take most of an agent's start. Must not be lenient: TypeError, ValueError or KeyError for what does
not fit.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Any, Final

ADDRESSES: Final = (IPv4Address, IPv6Address)
PREFIXES: Final = (IPv4Network, IPv6Network)

Decoder = Callable[[Any], Any]


@lru_cache(maxsize=512)
def decoder(kind: Any) -> Decoder:
    """The decoder of a type: dataclass, enum, tuple, optional, address, prefix, number or text. A memo."""
    kind = getattr(kind, "__supertype__", kind)
    origin = typing.get_origin(kind)
    if origin is tuple:
        return _tuple(typing.get_args(kind))
    if origin in (types.UnionType, typing.Union):
        return _optional(typing.get_args(kind))
    if is_dataclass(kind):
        return _record(kind)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return bytes.fromhex if kind is bytes else _plain(kind)


def _tuple(items: tuple[Any, ...]) -> Decoder:
    if items[-1] is Ellipsis:
        each = decoder(items[0])
        return lambda raw: tuple([each(v) for v in raw])
    decoders = tuple(decoder(item) for item in items)
    return lambda raw: tuple([one(v) for one, v in zip(decoders, raw, strict=True)])


def _optional(options: tuple[Any, ...]) -> Decoder:
    if set(options) & set(ADDRESSES):
        present: Decoder = ip_address
    elif set(options) & set(PREFIXES):
        present = ip_network
    else:
        held = [option for option in options if option is not type(None)]
        present = decoder(held[0])
        if len(held) > 1 and all(map(is_dataclass, held)):
            named = {kind.__name__: decoder(kind) for kind in held}
            present = lambda raw: named[raw[0]](raw[1])  # noqa: E731
    return lambda raw: None if raw is None else present(raw)


def _record(kind: Any) -> Decoder:
    hints = typing.get_type_hints(kind)
    parts = tuple((f.name, decoder(hints[f.name])) for f in fields(kind))

    def decode(raw: Any) -> Any:
        # A field that the writer did not know has its default: the file of an older version is still good.
        return kind(**{name: one(raw[name]) for name, one in parts if name in raw})

    return decode


def _plain(kind: type) -> Decoder:
    def decode(raw: Any) -> Any:
        if not isinstance(raw, kind):
            raise TypeError(f"{raw!r} is no {kind.__name__}")
        return raw

    return decode
