"""Gateways: which of a tenant's gateway hosts translates now, from one host's point of view.

Place: asked by whoever announces the way out (bgp) and by whoever programs it (pipelines), so that the two
never differ. Pure. Must not remember who did it before.
"""

from __future__ import annotations

from typing import Final

from model.intent import Egress, Tenant
from model.snapshot import Snapshot

FIRST: Final = 200
"""Local preference of the first gateway's routes."""
STEP: Final = 100
"""How much higher each standby's are that took over: the routes of a host that died stand until its BGP
session times out, and must not win until then."""


def preference(snapshot: Snapshot, tenant: Tenant) -> int | None:
    """Local preference with which this host announces a tenant's way out; None = it does not translate.

    The first gateway always does. A standby does while its probes reach none of those before it. When they
    are back it stops, and its routes go.
    """
    known = tenant.external in snapshot.externals and tenant.egress_addresses
    if tenant.egress is not Egress.SNAT or not known or snapshot.host not in tenant.gateways:
        return None
    rank = tenant.gateways.index(snapshot.host)
    for name in tenant.gateways[:rank]:
        host = snapshot.hypervisors.get(name)
        if host is not None and host.vtep not in snapshot.down:
            return None
    return FIRST + STEP * rank


def translating(snapshot: Snapshot, tenant: Tenant) -> bool:
    """Whether this host translates for the tenant now."""
    return preference(snapshot, tenant) is not None
