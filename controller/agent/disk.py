"""Disk: the last snapshot of this host, so that it comes up as it was while the store is down.

Place: written by the agent's loop after changes, read once at start. A file of another format or cut short
counts
as absent: then the agent is cold and touches nothing. Must not hold a secret.
"""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

from immutables import Map

from controller.agent.decoding import decoder
from controller.agent.shelf import FORMAT, MAPS, Shelf
from controller.agent.unpacking import unpack
from model.intent import Cluster
from model.snapshot import Snapshot, with_ports


def save(snapshot: Snapshot, path: Path) -> None:
    """Write once; see Shelf."""
    Shelf(path).save(snapshot)


def load(path: Path) -> Snapshot | None:
    """The saved snapshot; None if there is none that can be trusted."""
    found = body(path)
    try:
        each = {name: decoder(kind) for name, kind in MAPS}
        return None if found is None else _snapshot(unpack(found.decode(), each))
    except (ValueError, KeyError, TypeError):
        return None


def body(path: Path) -> bytes | None:
    """All but its first line; None if that does not vouch for it."""
    try:
        head, _, found = path.read_bytes().partition(b"\n")
        return found if json.loads(head) == {"format": FORMAT, "crc": zlib.crc32(found)} else None
    except (OSError, ValueError):
        return None


def _snapshot(raw: dict[str, Any]) -> Snapshot:
    """A map that is not there is one of which the older version that wrote the file did not know."""
    snapshot = Snapshot(
        host=raw["host"],
        cluster=None if raw["cluster"] is None else decoder(Cluster)(raw["cluster"]),
        moment=int(raw.get("moment", 0)),
        epochs=Map(dict(raw["epochs"])),
        tenants=Map({v.key: v for v in raw.get("tenants", ())}),
        networks=Map({v.key: v for v in raw.get("networks", ())}),
        classes=Map({v.id: v for v in raw.get("classes", ())}),
        hypervisors=Map({v.name: v for v in raw.get("hypervisors", ())}),
        bindings=Map({v.port: v for v in raw.get("bindings", ())}),
        interfaces=Map({v.iface_id: v for v in raw.get("interfaces", ())}),
        remotes=Map({(v.network, v.mac): v for v in raw.get("remotes", ())}),
        floods=Map({(v.network, v.vtep): v for v in raw.get("floods", ())}),
        static_routes=Map({v.uid: v for v in raw.get("static_routes", ())}),
        peerings=Map({v.key: v for v in raw.get("peerings", ())}),
        externals=Map({v.key: v for v in raw.get("externals", ())}),
        floating=Map({v.uid: v for v in raw.get("floating", ())}),
        policies=Map({v.uid: v for v in raw.get("policies", ())}),
        seeds=Map({v.port: v for v in raw.get("seeds", ())}),
        gangs=Map({v.generation: v for v in raw.get("gangs", ())}),
        prefixes=Map({(v.vrf, v.prefix): v for v in raw.get("prefixes", ())}),
        sightings=Map({(v.network, v.address): v for v in raw.get("sightings", ())}),
        claimed=Map({(v.network, v.address): v for v in raw.get("claimed", ())}),
        zones=Map({(str(kind), int(key)): int(zone) for kind, key, zone in raw.get("zones", ())}),
    )
    return with_ports(snapshot, raw.get("ports", ()))
