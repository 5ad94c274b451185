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
from model.ids import PortKey, TenantKey
from model.intent import Port
from model.seed import NOTHING
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
    """`askers`: by the key of the port. `labels`: (tenant, port) in words, for reports. `named`: ports by
    their tenant and name. `snapshot`: what it was read from, for what only few ask."""

    directory: Directory
    askers: Mapping[PortKey, Asker] = field(default_factory=dict)
    labels: Mapping[PortKey, tuple[str, str]] = field(default_factory=dict)
    named: Mapping[tuple[TenantKey, str], PortKey] = field(default_factory=dict)
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
    named: dict[tuple[TenantKey, str], PortKey] = {}
    for key, port in snapshot.ports.items():
        network = snapshot.networks.get(port.network)
        tenant = None if network is None else snapshot.tenants.get(network.tenant)
        if tenant is not None:
            askers[key] = Asker(key, tenant.key)
            labels[key] = (tenant.name, port.name)
            named[tenant.key, port.name] = key
    return Roster(_kept(directory, known.directory), askers, labels, named, snapshot)


def facts(roster: Roster, asker: Asker) -> Facts | None:
    """What a port may be told of its instance; None: it is not known."""
    snapshot, zone = roster.snapshot, roster.directory.zones.get(asker.tenant)
    port = None if snapshot is None else snapshot.ports.get(asker.port)
    if snapshot is None or port is None or zone is None:
        return None
    first = _first(roster, snapshot, asker, port)
    nics = [port] if first is None else [first, *_others(roster, snapshot, asker.tenant, first)]
    found = [(nic, snapshot.networks[nic.network]) for nic in nics if nic.network in snapshot.networks]
    if not found or any(network.tenant != asker.tenant for _, network in found):
        return None
    sown = snapshot.seeds.get(found[0][0].key)
    domain = b".".join(zone.origin).decode("ascii")
    return make_facts(*found[0], domain, NOTHING if sown is None else sown.seed, found[1:])


def _first(roster: Roster, snapshot: Snapshot, asker: Asker, port: Port) -> Port | None:
    """The first NIC of its instance; None: it is said to be another port, which can't be on this host."""
    sown = snapshot.seeds.get(port.key)
    if sown is None or not sown.seed.first:
        return port
    key = roster.named.get((asker.tenant, sown.seed.first))
    first = None if key is None else snapshot.ports.get(key)
    return first if first is not None and snapshot.host in first.hosts else None


def _others(roster: Roster, snapshot: Snapshot, tenant: TenantKey, first: Port) -> list[Port]:
    """Further NICs of its instance that may be on this host, by name. Hosts hear of seeds of no others."""
    keys = [key for key, sown in snapshot.seeds.items() if sown.seed.first == first.name]
    ports = [snapshot.ports[key] for key in keys if key in snapshot.ports and key in roster.askers]
    return sorted((p for p in ports if roster.askers[p.key].tenant == tenant), key=lambda port: port.name)


def _kept(new: Directory, old: Directory) -> Directory:
    """With the very zones that are equal: what was answered from one is answered so again."""
    zones = new.zones.mutate()
    for tenant, zone in new.zones.items():
        if old.zones.get(tenant) == zone:
            zones[tenant] = old.zones[tenant]
    return replace(new, zones=zones.finish())
