"""Needs: what an object rests on that is not its parent by name: tenants, addresses, ports, externals.

Place: under `ipam.draft`, which keeps the reverse (`Contents.needed`), so that what is still needed is known
without a search. Must not judge.
"""

from __future__ import annotations

from ipam.contents import (
    FloatingRecord,
    Need,
    NetworkRecord,
    NodeRecord,
    PeeringRecord,
    PolicyRecord,
    PortRecord,
    Record,
    RouteRecord,
    TenantRecord,
)
from model.addresses import Address
from model.gang import Gang


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


def of_public() -> Need:
    """The addresses of the world, of which some tenants have a part."""
    return "public", "", ""


def of_targets() -> Need:
    """The route targets of the world, of which some networks and tenants name a part."""
    return "targets", "", ""


def of_gangs(tenant: str) -> Need:
    """A tenant, of its gangs."""
    return "gangs", "", tenant


def of_node(name: str) -> Need:
    """A node, of gangs that hold something there."""
    return "node", "", name


def needs_of_gang(gang: Gang) -> tuple[Need, ...]:
    """Its tenant, and its nodes as they are."""
    return (of_gangs(gang.request.tenant), *(of_node(berth.node) for berth in gang.berths))


def of_sku(name: str) -> Need:
    """A kind of server."""
    return "sku", "", name


def of_fabric(name: str) -> Need:
    """A fabric."""
    return "fabric", "", name


def of_host(name: str) -> Need:
    """A hypervisor, of its node; ports that name it stand in `Contents.uses`."""
    return "host", "", name


def needs(record: Record) -> tuple[Need, ...]:
    """All of the record's."""
    match record:
        case PortRecord(_, tenant, seed=seed):
            # the most by far; few rest on more than their parents
            return (of_port(tenant, seed.first),) if seed.first else ()
        case NetworkRecord(value):
            return (of_targets(),) if value.rules.named() else ()
        case RouteRecord(value, tenant):
            return (of_tenant(tenant), *(of_address(tenant, hop) for hop in value.next_hops))
        case TenantRecord(value, external=external):
            outside = (of_external(external),) if external else ()
            public = (of_public(),) if value.public_prefixes else ()
            return (*outside, *public, *((of_targets(),) if value.rules.named() else ()))
        case FloatingRecord(_, tenant, external, port):
            ports = (of_port(tenant, port),) if port else ()
            return (of_tenant(tenant), of_external(external), *ports)
        case NodeRecord(value):
            return (of_sku(value.sku), of_fabric(value.fabric), of_host(value.host))
        case PolicyRecord(_, tenant):
            return () if tenant is None else (of_tenant(tenant),)
        case PeeringRecord(_, tenant, peer):
            return (of_tenant(tenant), of_tenant(peer))
        case _:
            return ()
