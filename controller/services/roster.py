"""Roster: who may ask on this host, and all names there are, read from the agent's last snapshot.

Place: `controller.services.serving` has it read again when the file changes, on a thread beside its loop. The
agent has judged what is in that file: what its brake holds back is not in it. Must not write, and must not
take a file for empty that cannot be read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from controller.agent import disk
from model.ids import PortKey
from model.snapshot import Snapshot
from services.metadata.facts import Facts, make_facts
from services.naming.directory import Directory, direct, open_directory
from services.naming.outcome import Asker

FILE: Final = "snapshot.json"
"""In the agent's directory."""

Mark = tuple[int, int, int]
"""Of a file: another one has another."""


@dataclass(frozen=True, slots=True)
class Roster:
    """`askers`: by the key of the port. `labels`: (tenant, port) in words, for reports. `snapshot`: what it
    was read from, for what only few ask."""

    directory: Directory
    askers: Mapping[PortKey, Asker] = field(default_factory=dict)
    labels: Mapping[PortKey, tuple[str, str]] = field(default_factory=dict)
    snapshot: Snapshot | None = None


def empty(suffix: str) -> Roster:
    """Nobody may ask."""
    return Roster(open_directory(suffix))


def mark(path: Path) -> Mark | None:
    """What the file is now; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def load(path: Path, suffix: str, known: Roster) -> Roster | None:
    """What the file says; None if it cannot be trusted. Zones that did not change are those of `known`."""
    snapshot = disk.load(path)
    return None if snapshot is None else read(snapshot, suffix, known)


def read(snapshot: Snapshot, suffix: str, known: Roster) -> Roster:
    """What a snapshot says: all ports of tenants that are on this host have names, and any of them may ask
    that comes in by a port of this host."""
    directory = direct(
        suffix,
        snapshot.tenants.values(),
        snapshot.networks.values(),
        snapshot.ports.values(),
        snapshot.gangs.values(),
    )
    askers: dict[PortKey, Asker] = {}
    labels: dict[PortKey, tuple[str, str]] = {}
    for key, port in snapshot.ports.items():
        network = snapshot.networks.get(port.network)
        tenant = None if network is None else snapshot.tenants.get(network.tenant)
        if tenant is not None:
            askers[key] = Asker(key, tenant.key)
            labels[key] = (tenant.name, port.name)
    return Roster(_kept(directory, known.directory), askers, labels, snapshot)


def facts(roster: Roster, asker: Asker) -> Facts | None:
    """What a port may be told of itself; None: it is not known."""
    snapshot, zone = roster.snapshot, roster.directory.zones.get(asker.tenant)
    port = None if snapshot is None else snapshot.ports.get(asker.port)
    network = None if snapshot is None or port is None else snapshot.networks.get(port.network)
    if port is None or network is None or zone is None or network.tenant != asker.tenant:
        return None
    return make_facts(port, network, b".".join(zone.origin).decode("ascii"))


def _kept(new: Directory, old: Directory) -> Directory:
    """With the very zones that are equal: what was answered from one is answered so again."""
    zones = new.zones.mutate()
    for tenant, zone in new.zones.items():
        if old.zones.get(tenant) == zone:
            zones[tenant] = old.zones[tenant]
    return replace(new, zones=zones.finish())
