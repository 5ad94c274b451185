"""Claims: what an object alone may hold: keys, numbers, addresses, prefixes.

Place: under `ipam.draft`, which keeps who holds what. The scopes come from `ipam.pools`. Must not judge.
"""

from __future__ import annotations

from typing import Protocol

from ipam.contents import (
    Claim,
    ClassRecord,
    HypervisorRecord,
    Name,
    NetworkRecord,
    PortRecord,
    Record,
    RouteRecord,
    TenantRecord,
)
from ipam.pools import (
    CLASS_ID,
    CLASS_PREFIX,
    MAC,
    NETWORK_KEY,
    PORT_KEY,
    ROUTER_ID,
    TENANT_KEY,
    VNI,
    VTEP,
    address_scope,
)
from model.addresses import Address, Prefix
from model.intent import Network


def address_claim(network: Network, address: Address) -> Claim:
    """Who holds an address is decided per network; the scope is the subnet that the address lies in."""
    for subnet in network.subnets:
        if address.version == subnet.version and address in subnet:
            return address_scope(network.key, subnet), int(address)
    return f"address:{network.key}", int(address)


def route_claim(tenant: str, prefix: Prefix) -> Claim:
    """A tenant has one route to a prefix."""
    return f"route:{tenant}", str(prefix)


class Networks(Protocol):
    """Networks by name, as Contents and Draft have them."""

    def __getitem__(self, name: Name, /) -> NetworkRecord: ...


def claims(networks: Networks, record: Record) -> tuple[Claim, ...]:
    """All of the record's; `networks`: those that ports may be in."""
    match record:
        case TenantRecord(value):
            routing = ((VNI, value.l3vni),) if value.l3vni else ()
            return ((TENANT_KEY, value.key), *routing)
        case NetworkRecord(value):
            return ((NETWORK_KEY, value.key), (VNI, value.vni))
        case PortRecord(value, tenant, network):
            parent = networks[tenant, network].value
            own = (address_claim(parent, address) for address in value.addresses)
            return ((PORT_KEY, value.key), (MAC, value.mac), *own)
        case ClassRecord(value):
            return ((CLASS_ID, value.id), *((CLASS_PREFIX, str(p)) for p in value.prefixes))
        case HypervisorRecord(value):
            return ((VTEP, str(value.vtep)), (ROUTER_ID, value.router_id))
        case RouteRecord(value, tenant):
            return (route_claim(tenant, value.prefix),)
