"""Pages: the agent's file line by line, so that what did not change since the last time is not read again.

Place: under `controller.services.roster`. A line holds some of the values of one map
(`controller.agent.shelf`); one that was read before is known by its digest. Must not know what values mean.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.agent.decoding import decoder
from controller.agent.shelf import MAPS
from model.ids import HostName

_READ: Final = ("tenants", "networks", "ports", "gangs", "seeds", "static_routes")
"""Maps that say who may ask, and of what."""
_DECODE: Final[Mapping[str, Callable[[Any], Any]]] = {
    name: decoder(kind) for name, kind in MAPS if name in _READ
}
_BEGINS: Final = re.compile(rb'"([a-z_]+)":\[\Z')
_HOST: Final = re.compile(rb'\{"host":("(?:[^"\\]|\\.)*")')

Lines = Mapping[bytes, tuple[Any, ...]]
"""What lines say, by their digests."""


@dataclass(frozen=True, slots=True)
class Pages:
    """All that was read. `host`: whose file it is."""

    host: HostName
    maps: Mapping[str, Lines] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class News:
    """Of each map, what lines say that were not there before, and what those said that are no more. A value
    that did not change may be in both."""

    pages: Pages
    came: Mapping[str, tuple[Any, ...]]
    gone: Mapping[str, tuple[Any, ...]]


def read(body: bytes, known: Pages | None) -> News | None:
    """None: it has no lines, as an older agent writes it. ValueError, KeyError, TypeError for what is none of
    ours; nothing that `known` has was changed then."""
    lines = body.split(b"\n")
    host = _HOST.match(lines[0])
    if host is None or _BEGINS.search(lines[0]) is None:
        return None
    before = {} if known is None else known.maps
    maps: dict[str, dict[bytes, tuple[Any, ...]]] = {name: {} for name in _READ}
    name = ""
    for line in lines:
        if line[:1] in (b"{", b",") and name in maps and _BEGINS.search(line[-32:]) is None:
            text = line.removeprefix(b",")
            digest = hashlib.blake2b(text, digest_size=16).digest()
            said = before.get(name, {}).get(digest)
            maps[name][digest] = _values(name, text) if said is None else said
        else:
            begins = _BEGINS.search(line[-32:])
            name = begins[1].decode("ascii") if begins else name
    pages = Pages(HostName(json.loads(host[1])), maps)
    return News(pages, _without(maps, before), _without(before, maps))


def _values(name: str, text: bytes) -> tuple[Any, ...]:
    decode = _DECODE[name]
    return tuple([decode(one) for one in json.loads(b"[" + text + b"]")])


def _without(some: Mapping[str, Lines], others: Mapping[str, Lines]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(_only(lines, others.get(name, {}))) for name, lines in some.items()}


def _only(lines: Lines, others: Lines) -> Iterable[Any]:
    return (value for digest, values in lines.items() if digest not in others for value in values)
