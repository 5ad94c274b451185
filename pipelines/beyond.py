"""Beyond: which objects of peerings, and which borders' right to send, a change touches.

Place: a part of `pipelines.touch`; too much rather than too little, as there. Borders count here only as
senders to tenants with `egress: fabric`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from immutables import Map

from model.change import Change, Part
from model.ids import HostName, NetworkKey, PortKey, TenantKey
from model.intent import Egress
from model.snapshot import Snapshot
from model.vrfs import peerings_of
from pipelines import objects as o
from pipelines.index import Index

Moment = tuple[Snapshot, Index]


def peers_here(snapshot: Snapshot, index: Index, key: TenantKey) -> bool:
    """Whether a side of a peering has a local port."""
    peering = snapshot.peerings.get(key)
    return peering is not None and any(side.tenant in index.live for side in peering.sides)


def borders(snapshot: Snapshot) -> Iterator[HostName]:
    """Hosts that lead out of the cluster."""
    return (name for name, host in snapshot.hypervisors.items() if host.border and host.external)


def objects(snapshot: Snapshot, index: Index) -> set[o.Object]:
    """All of them in a snapshot."""
    moment = (snapshot, index)
    found = {one for key in snapshot.peerings if peers_here(*moment, key) for one in _whole(moment, key)}
    return found | {one for vrf in index.live for one in _borders(moment, vrf)}


def touched(before: Moment, after: Moment, change: Change) -> set[o.Object]:
    """Those that a change of anything but a port touches."""
    key: Any = change.key
    found: set[o.Object] = set()
    for moment in (before, after):
        snapshot, index = moment
        match change.part:
            case Part.HYPERVISOR:
                found.update(o.sender(vrf, key) for vrf in (*snapshot.peerings, *index.live))
            case Part.PREFIX:
                found.add(o.peered(*key))
            case Part.TENANT:
                found.update(_borders(moment, key))
            case Part.PEERING:  # of two that go to the same place, the first has it
                peering = snapshot.peerings.get(key)
                for side in () if peering is None else peering.sides:
                    found.update(_of_tenant(moment, side.tenant))
            case Part.NETWORK:
                network = snapshot.networks.get(key)
                if network is not None:
                    found.update(_of_tenant(moment, network.tenant))
            case _:
                pass
    return found


def touched_by_ports(before: Moment, after: Moment, ports: Iterable[PortKey]) -> set[o.Object]:
    """Those that ports touch which come, go or change."""
    found: set[o.Object] = set()
    for key in ports:
        for snapshot, _ in (before, after):
            port = snapshot.ports.get(key)
            tenant = None if port is None else _owner(snapshot, port.network)
            if port is None or tenant is None:
                continue
            for peering, _, _ in peerings_of(snapshot, tenant):
                found.add(o.peering(peering.key))
                found.update(o.sender(peering.key, host) for host in port.hosts)
            if (tenant in before[1].live) != (tenant in after[1].live):
                found.update((*_of_tenant(before, tenant), *_of_tenant(after, tenant)))
    return found


def _owner(snapshot: Snapshot, key: NetworkKey) -> TenantKey | None:
    network = snapshot.networks.get(key)
    return None if network is None else network.tenant


def _of_tenant(moment: Moment, tenant: TenantKey) -> Iterator[o.Object]:
    yield from _borders(moment, tenant)
    for peering, _, _ in peerings_of(moment[0], tenant):
        yield from _whole(moment, peering.key)


def _borders(moment: Moment, vrf: TenantKey) -> Iterator[o.Object]:
    tenant = moment[0].tenants.get(vrf)
    if tenant is not None and tenant.egress is Egress.FABRIC:
        yield from (o.sender(vrf, name) for name in borders(moment[0]))


def _whole(moment: Moment, key: TenantKey) -> Iterator[o.Object]:
    _, index = moment
    yield o.peering(key)
    yield from (o.sender(key, host) for host in index.exports.get(key, Map()))
    yield from (o.peered(key, prefix) for prefix in index.outward.routes.get(key, Map()))
