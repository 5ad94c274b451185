"""Disk: the last snapshot of this host, so that it comes up as it was while the store is down.

Place: written by the agent's loop after changes, read once at start. A file of another format or cut short
counts
as absent: then the agent is cold and touches nothing. Must not hold a secret.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import dataclass, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

from immutables import Map

from controller.agent.decoding import ADDRESSES, PREFIXES, decoder
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
from model.route import FloodVtep, RemoteAddress, RemoteMac, RemotePrefix, Sighting
from model.snapshot import Snapshot, with_ports

FORMAT: Final = 1
_MAPS: Final[tuple[tuple[str, type], ...]] = (
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
    ("prefixes", RemotePrefix),
    ("sightings", Sighting),
    ("claimed", RemoteAddress),
)


@dataclass(frozen=True, slots=True)
class _Sheet:
    """A value of a map, its place in the file and its text."""

    value: Any
    order: str
    text: str


class Shelf:
    """Where the snapshot of one agent is kept: `path`. Remembers the text of each value: the loop waits for
    a save, so what did not change must cost next to nothing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sheets: dict[str, dict[Any, _Sheet]] = {}

    def save(self, snapshot: Snapshot) -> None:
        """Write atomically (temporary file, fsync, rename). OSError is the caller's to report."""
        body = self._body(snapshot).encode()
        head = json.dumps({"format": FORMAT, "crc": zlib.crc32(body)}).encode()
        part = self._path.with_suffix(".part")
        with open(part, "wb", opener=_private) as out:
            out.write(head + b"\n" + body)
            out.flush()
            os.fsync(out.fileno())
        os.replace(part, self._path)

    def _body(self, snapshot: Snapshot) -> str:
        facts = {
            "host": snapshot.host,
            "cluster": None if snapshot.cluster is None else _encode(snapshot.cluster),
            "epochs": sorted(snapshot.epochs.items()),
            "zones": sorted((*key, zone) for key, zone in snapshot.zones.items()),
        }
        members = [f"{_text(name)}:{_text(value)}" for name, value in facts.items()]
        for name, _ in _MAPS:
            members.append(f"{_text(name)}:[{','.join(self._texts(name, getattr(snapshot, name)))}]")
        return "{" + ",".join(members) + "}"

    def _texts(self, name: str, entries: Map[Any, Any]) -> list[str]:
        """The texts of a map's values, by key; made anew for those that are not the same object as before."""
        before, now = self._sheets.get(name, {}), dict[Any, _Sheet]()
        for key, value in entries.items():
            sheet = before.get(key)
            if sheet is None or sheet.value is not value:
                sheet = _Sheet(value, str(key), _text(_encode(value)))
            now[key] = sheet
        self._sheets[name] = now
        return [sheet.text for sheet in sorted(now.values(), key=lambda sheet: sheet.order)]


def save(snapshot: Snapshot, path: Path) -> None:
    """Write once; see Shelf."""
    Shelf(path).save(snapshot)


def load(path: Path) -> Snapshot | None:
    """The saved snapshot; None if there is none that can be trusted."""
    try:
        head, _, body = path.read_bytes().partition(b"\n")
        facts = json.loads(head)
        if facts != {"format": FORMAT, "crc": zlib.crc32(body)}:
            return None
        return _snapshot(json.loads(body))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _snapshot(raw: dict[str, Any]) -> Snapshot:
    snapshot = Snapshot(
        host=raw["host"],
        cluster=None if raw["cluster"] is None else decoder(Cluster)(raw["cluster"]),
        epochs=Map(dict(raw["epochs"])),
        tenants=Map({v.key: v for v in _each(raw, "tenants", Tenant)}),
        networks=Map({v.key: v for v in _each(raw, "networks", Network)}),
        classes=Map({v.id: v for v in _each(raw, "classes", EgressClass)}),
        hypervisors=Map({v.name: v for v in _each(raw, "hypervisors", Hypervisor)}),
        bindings=Map({v.port: v for v in _each(raw, "bindings", Binding)}),
        interfaces=Map({v.iface_id: v for v in _each(raw, "interfaces", Interface)}),
        remotes=Map({(v.network, v.mac): v for v in _each(raw, "remotes", RemoteMac)}),
        floods=Map({(v.network, v.vtep): v for v in _each(raw, "floods", FloodVtep)}),
        static_routes=Map({v.uid: v for v in _each(raw, "static_routes", StaticRoute)}),
        peerings=Map({v.key: v for v in _each(raw, "peerings", Peering)}),
        externals=Map({v.key: v for v in _each(raw, "externals", External)}),
        floating=Map({v.uid: v for v in _each(raw, "floating", FloatingIp)}),
        prefixes=Map({(v.vrf, v.prefix): v for v in _each(raw, "prefixes", RemotePrefix)}),
        sightings=Map({(v.network, v.address): v for v in _each(raw, "sightings", Sighting)}),
        claimed=Map({(v.network, v.address): v for v in _each(raw, "claimed", RemoteAddress)}),
        zones=Map({(str(kind), int(key)): int(zone) for kind, key, zone in raw.get("zones", ())}),
    )
    return with_ports(snapshot, _each(raw, "ports", Port))


def _each(raw: dict[str, Any], name: str, kind: type) -> list[Any]:
    """The values of a map; none in the file of an older version, which did not know it."""
    return [*map(decoder(kind), raw.get(name, ()))]


def _encode(value: Any) -> Any:
    if is_dataclass(value):
        return {f.name: _encode(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_encode(v) for v in value]
    if isinstance(value, ADDRESSES + PREFIXES):
        return str(value)
    if value is None or isinstance(value, (int, str)):
        return value
    raise TypeError(f"{type(value).__name__} has no form on disk")
