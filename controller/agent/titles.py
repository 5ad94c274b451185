"""Titles: networks in words, for reports and the looking glass.

Place: pure. Must not be parsed by anything.
"""

from __future__ import annotations

from model.ids import NetworkKey, TenantKey
from model.snapshot import Snapshot


def network_title(now: Snapshot, key: NetworkKey) -> str:
    """`tenant/network`, or its key if nobody knows it."""
    network = now.networks.get(key)
    if network is None:
        return f"network {key}"
    tenant = now.tenants.get(network.tenant)
    return f"{tenant.name if tenant else network.tenant}/{network.name}"


def tenants_of(now: Snapshot, key: NetworkKey) -> tuple[TenantKey, ...]:
    """The tenant of a network; none if nobody knows it."""
    known = now.networks.get(key)
    return () if known is None else (known.tenant,)
