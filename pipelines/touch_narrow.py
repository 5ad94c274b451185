"""Which networks' narrower destinations a change touches.

Place: a part of `pipelines.touch`; too much rather than too little, as there. A network that comes and goes
is named there; here are the others, which may send to what changed. Costs the networks with local ports of
the tenants concerned, never their ports.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from immutables import Map

from model.change import Change, Part
from model.ids import NetworkKey, TenantKey
from model.snapshot import Snapshot
from model.vrfs import peerings_of
from pipelines import objects as o
from pipelines.index import Index

Moment = tuple[Snapshot, Index]


def touched(before: Moment, after: Moment, change: Change) -> set[o.Object]:
    """Those that a change of a network, a static route or a peering touches."""
    key: Any = change.key
    found: set[o.Object] = set()
    for snapshot, index in (before, after):
        match change.part:
            case Part.NETWORK:
                found.update(_by_network((snapshot, index), key))
            case Part.STATIC_ROUTE:
                route = snapshot.static_routes.get(key)
                found.update(() if route is None else _of(index, route.tenant))
            case Part.PEERING:
                peering = snapshot.peerings.get(key)
                for side in () if peering is None else peering.sides:
                    found.update(_of(index, side.tenant))
            case _:
                pass
    return found


def _of(index: Index, tenant: TenantKey) -> Iterator[o.Object]:
    """All of a tenant's networks with a local port."""
    return (o.narrow(network) for network in index.live.get(tenant, Map()))


def _by_network(moment: Moment, key: NetworkKey) -> Iterator[o.Object]:
    """Those that are larger: to all others it is no different from a network that is not there, unless it
    lies in a prefix of a static route."""
    snapshot, index = moment
    network = snapshot.networks.get(key)
    if network is None:
        return
    peers = (other.tenant for _, _, other in peerings_of(snapshot, network.tenant))
    for tenant in (network.tenant, *peers):
        every = tenant in index.statics.prefixes
        for source in index.live.get(tenant, Map()):
            if every or snapshot.networks[source].mtu > network.mtu:
                yield o.narrow(source)
