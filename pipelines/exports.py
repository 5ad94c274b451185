"""Exports: which other hosts may have ports whose addresses a side of a peering exports.

Place: a part of the index, so that the right to send in a peering's VRF is found without a scan. Must come to
the same as counting anew.
"""

from __future__ import annotations

from collections.abc import Iterable

from immutables import Map

from model.change import Change, Part
from model.ids import HostName, NetworkKey, PortKey, TenantKey
from model.snapshot import Snapshot
from model.vrfs import exported, peerings_of, tenant_of

Exports = Map[TenantKey, Map[HostName, int]]
"""By peering: how many exported ports each other host may have."""


def count(snapshot: Snapshot, peerings: Iterable[TenantKey]) -> Exports:
    """The hosts of these peerings from nothing; costs the ports of their tenants."""
    wanted = set(peerings)
    sides = {side.tenant for key in wanted for side in snapshot.peerings[key].sides}
    homes = (key for key in snapshot.networks if tenant_of(snapshot, key) in sides)
    found = Exports()
    for port in (port for network in homes for port in snapshot.by_network.get(network, ())):
        found = _counted(found, snapshot, port, 1, wanted)
    return found


def follow(
    exports: Exports, old: Snapshot, new: Snapshot, changes: Iterable[Change], ports: Iterable[PortKey]
) -> Exports:
    """The exports of `new`. `ports`: those that changed in whatever way."""
    again = _disturbed(old, new, changes)
    steady = {*old.peerings, *new.peerings} - again
    for key in ports:
        exports = _counted(exports, old, key, -1, steady)
        exports = _counted(exports, new, key, 1, steady)
    for gone in again:
        exports = exports.delete(gone) if gone in exports else exports
    return exports.update(count(new, {key for key in again if key in new.peerings}))


def _disturbed(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> set[TenantKey]:
    """Peerings that a change touches as a whole: they changed, or a network of theirs did."""
    found: set[TenantKey] = set()
    for change in changes:
        if change.part is Part.PEERING and isinstance(change.key, int):
            found.add(TenantKey(change.key))
        elif change.part is Part.NETWORK and isinstance(change.key, int):
            for snapshot in (old, new):
                network = snapshot.networks.get(NetworkKey(change.key))
                if network is not None:
                    found.update(one.key for one, _, _ in peerings_of(snapshot, network.tenant))
    return found


def _counted(
    exports: Exports, snapshot: Snapshot, key: PortKey, step: int, peerings: set[TenantKey]
) -> Exports:
    port = snapshot.ports.get(key)
    tenant = None if port is None else tenant_of(snapshot, port.network)
    if port is None or tenant is None or not peerings:
        return exports
    for peering, own, _ in peerings_of(snapshot, tenant):
        if peering.key not in peerings or not exported(port.addresses, own.prefixes):
            continue
        for host in sorted({*port.hosts} - {snapshot.host}):
            hosts = exports.get(peering.key, Map())
            left = hosts.get(host, 0) + step
            hosts = hosts.set(host, left) if left else hosts.delete(host)
            exports = exports.set(peering.key, hosts) if hosts else exports.delete(peering.key)
    return exports
