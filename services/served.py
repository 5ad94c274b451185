"""Served: what ports are told of names where we answer them, and their network says nothing of it.

Place: between a network's guidance and whatever tells it: DHCP, router advertisements, metadata. Must not
change what a network does say.
"""

from __future__ import annotations

from dataclasses import replace

from model.guidance import Guidance
from model.serving import RESOLVERS


def zone_of(tenant: str, suffix: str) -> str:
    """The domain of a tenant's zone, without a dot at its end. `suffix`: what all of them end in."""
    return f"{tenant.lower()}.{suffix}"


def fill_in(guidance: Guidance, zone: str) -> Guidance:
    """`zone`: of the port's tenant, "" = names are not served to it; nor are they where its network does not
    want that.

    Who has resolvers of its own is not sent there for names in our zone: they do not know it.
    """
    if not zone or not guidance.names:
        return guidance
    resolvers = guidance.resolvers or RESOLVERS
    ours = any(each in RESOLVERS for each in resolvers)
    return replace(guidance, resolvers=resolvers, domain=guidance.domain or (zone if ours else ""))
