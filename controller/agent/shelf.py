"""Shelf: the text of a snapshot, kept so that what did not change since the last save costs next to nothing.

Place: under `disk`, used by the scribe's thread. Values stand in buckets by their key; a bucket's text is
made anew when one of its values is another object, and is held compressed: a tenth of it. Must not read.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from operator import is_, itemgetter
from pathlib import Path
from typing import Any, Final

from immutables import Map

from controller.agent import private
from controller.agent.encoding import encoder
from model.intent import (
    Binding,
    Cluster,
    EgressClass,
    External,
    FloatingIp,
    Hypervisor,
    Network,
    Peering,
    Port,
    StaticRoute,
    Tenant,
)
from model.inventory import Interface
from model.policy import Standing
from model.roll import Roll
from model.route import FloodVtep, RemoteAddress, RemoteMac, RemotePrefix, Sighting
from model.seed import Sown
from model.snapshot import Snapshot

FORMAT: Final = 1
MAPS: Final[tuple[tuple[str, type], ...]] = (
    ("tenants", Tenant),
    ("networks", Network),
    ("ports", Port),
    ("classes", EgressClass),
    ("hypervisors", Hypervisor),
    ("bindings", Binding),
    ("interfaces", Interface),
    ("remotes", RemoteMac),
    ("floods", FloodVtep),
    ("static_routes", StaticRoute),
    ("peerings", Peering),
    ("externals", External),
    ("floating", FloatingIp),
    ("policies", Standing),
    ("gangs", Roll),
    ("seeds", Sown),
    ("prefixes", RemotePrefix),
    ("sightings", Sighting),
    ("claimed", RemoteAddress),
)
_BUCKETS: Final = 256
_QUICKLY: Final = 1
_TEXT: Final = json.JSONEncoder(separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class _Bucket:
    """Values of a map, and their texts: in the order of their keys, joined by commas, compressed."""

    values: tuple[Any, ...] = ()
    packed: bytes = b""


_EMPTY: Final = (_Bucket(),) * _BUCKETS


class Shelf:
    """Where the snapshot of one agent is kept: `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept: dict[str, tuple[Map[Any, Any], tuple[_Bucket, ...]]] = {}

    def save(self, snapshot: Snapshot) -> None:
        """Write atomically (temporary file, fsync, rename). OSError is the caller's to report."""
        for name, kind in MAPS:
            self._sort(name, kind, getattr(snapshot, name))
        crc = 0
        for chunk in self._chunks(snapshot):
            crc = zlib.crc32(chunk, crc)
        part = self._path.with_suffix(".part")
        with open(part, "wb", opener=private.opener) as out:
            out.write(json.dumps({"format": FORMAT, "crc": crc}).encode() + b"\n")
            out.writelines(self._chunks(snapshot))
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, self._path)

    def _sort(self, name: str, kind: type, entries: Map[Any, Any]) -> None:
        """Bring the buckets of a map up to date."""
        known, buckets = self._kept.get(name, (None, _EMPTY))
        if known is entries:
            return
        sorted_in: list[list[tuple[str, Any]]] = [[] for _ in range(_BUCKETS)]
        for key, value in entries.items():
            order = str(key)
            sorted_in[zlib.crc32(order.encode()) % _BUCKETS].append((order, value))
        made = (_bucket(kind, some, old) for some, old in zip(sorted_in, buckets, strict=True))
        self._kept[name] = (entries, tuple(made))

    def _chunks(self, snapshot: Snapshot) -> Iterator[bytes]:
        """The body of the file, a bucket at a time. Each has a line: who reads the file again and again
        (`controller.services.pages`) sees which of them did not change."""
        encode = encoder(Cluster)
        assert encode is not None
        facts = {
            "host": snapshot.host,
            "cluster": None if snapshot.cluster is None else encode(snapshot.cluster),
            "moment": snapshot.moment,
            "epochs": sorted(snapshot.epochs.items()),
            "zones": sorted((*key, zone) for key, zone in snapshot.zones.items()),
        }
        yield _TEXT(facts)[:-1].encode()
        for name, _ in MAPS:
            yield f',"{name}":['.encode()
            comma = b""
            for bucket in self._kept[name][1]:
                if bucket.values:
                    yield b"\n" + comma + zlib.decompress(bucket.packed)
                    comma = b","
            yield b"\n]"
        yield b"}"


def _bucket(kind: type, some: list[tuple[str, Any]], old: _Bucket) -> _Bucket:
    values = tuple([value for _, value in some])
    if len(values) == len(old.values) and all(map(is_, values, old.values)):
        return old
    encode = encoder(kind)
    assert encode is not None
    texts = _TEXT([encode(value) for _, value in sorted(some, key=itemgetter(0))])
    return _Bucket(values, zlib.compress(texts[1:-1].encode(), _QUICKLY))
