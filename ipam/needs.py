"""Needs: what an object rests on that is not its parent by name: tenants, addresses, ports, externals.

Place: under `ipam.draft`, which keeps the reverse (`Contents.needed`), so that what is still needed is known
without a search. Must not judge.
"""

from __future__ import annotations

from ipam.contents import (
    FloatingRecord,
    Need,
    NetworkRecord,
    PeeringRecord,
    PortRecord,
    Record,
    RouteRecord,
    TenantRecord,
)
from model.addresses import Address


def of_tenant(name: str) -> Need:
    """A tenant."""
    return "tenant", "", name


def of_address(tenant: str, address: Address) -> Need:
    """An own address of a tenant's port."""
    return "address", tenant, str(address)


def of_port(tenant: str, name: str) -> Need:
    """A port."""
    return "port", tenant, name


def of_external(name: str) -> Need:
    """An external network."""
    return "external", "", name


def needs(record: Record) -> tuple[Need, ...]:
    """All of the record's."""
    match record:
        case PortRecord() | NetworkRecord():
            return ()  # the most by far; they rest on their parents only
        case RouteRecord(value, tenant):
            return (of_tenant(tenant), *(of_address(tenant, hop) for hop in value.next_hops))
        case TenantRecord(external=external) if external:
            return (of_external(external),)
        case FloatingRecord(_, tenant, external, port):
            ports = (of_port(tenant, port),) if port else ()
            return (of_tenant(tenant), of_external(external), *ports)
        case PeeringRecord(_, tenant, peer):
            return (of_tenant(tenant), of_tenant(peer))
        case _:
            return ()
