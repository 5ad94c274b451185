"""Inward: which local ports are reached from outside the cluster, by what the store says of their tenants.

Place: asked by views and touch. Must not look at what others announce: a port is open before its first
packet.
"""

from __future__ import annotations

from model.ids import PortKey, TenantKey
from model.intent import Egress
from model.snapshot import Snapshot
from pipelines.index import Index


def opens(snapshot: Snapshot, vrf: TenantKey | None) -> bool:
    """Whether a tenant has a way out, by which there is a way in."""
    tenant = None if vrf is None else snapshot.tenants.get(vrf)
    return tenant is not None and tenant.egress is not Egress.NONE


def receives(snapshot: Snapshot, index: Index, key: PortKey, vrf: TenantKey | None) -> bool:
    """Whether something from outside may be for a port of this host: by its tenant, or a floating IP."""
    return opens(snapshot, vrf) or (vrf is not None and key in index.outward.pinned)


def open_here(snapshot: Snapshot, index: Index) -> bool:
    """Whether any port of this host is such a one: else nobody asks for the class of a source."""
    return bool(index.outward.floats) or any(opens(snapshot, vrf) for vrf in index.live)
