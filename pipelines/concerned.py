"""Concerned: the ports and rules that changes have to do with, where policies select by more than the port.

Place: a part of `pipelines.policed`, read by touch as well. Must not know what judges whom.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from immutables import Map

from model.change import Change, Part
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.snapshot import Snapshot
from pipelines.policy import seated
from pipelines.policy.seated import Ruling, RulingKey

_NO_PORTS: Final[Map[PortKey, None]] = Map()


def seen_anew(old: Snapshot, new: Snapshot, changes: Iterable[Change]) -> set[PortKey]:
    """Ports that selectors may see with other labels or names, or peers in other places."""
    found: set[PortKey] = set()
    for change in changes:
        if not isinstance(change.key, int):
            continue
        for snapshot in (old, new):
            match change.part:
                case Part.NETWORK:
                    found.update(snapshot.by_network.get(NetworkKey(change.key), _NO_PORTS))
                case Part.TENANT if _told(old, change.key) != _told(new, change.key):
                    found.update(_of_tenants(snapshot, {TenantKey(change.key)}))
                case Part.PEERING:
                    peering = snapshot.peerings.get(TenantKey(change.key))
                    sides = () if peering is None else peering.sides
                    found.update(_of_tenants(snapshot, {side.tenant for side in sides}))
                case _:
                    pass
    return found


def _told(snapshot: Snapshot, key: int) -> object:
    tenant = snapshot.tenants.get(TenantKey(key))
    return None if tenant is None else (tenant.name, tenant.labels)


def _of_tenants(snapshot: Snapshot, tenants: set[TenantKey]) -> Iterator[PortKey]:
    for key, network in snapshot.networks.items():
        if network.tenant in tenants:
            yield from snapshot.by_network.get(key, _NO_PORTS)


def plugged(snapshot: Snapshot) -> set[PortKey]:
    """All ports with an interface here, whatever else they lack."""
    owners = (snapshot.by_uid.get(uid) for uid in snapshot.interfaces)
    return {key for key in owners if key is not None}


def named(snapshot: Snapshot, changes: Iterable[Change]) -> dict[RulingKey, Ruling]:
    """The rules that the changes name."""
    found: dict[RulingKey, Ruling] = {}
    for change in changes:
        if change.part is Part.POLICY and isinstance(change.key, str):
            found.update((one.key, one) for one in seated.of_policy(snapshot, Uid(change.key)))
        if change.part is Part.TENANT and isinstance(change.key, int):
            found.update((one.key, one) for one in seated.of_tenant(snapshot, TenantKey(change.key)))
    return found
