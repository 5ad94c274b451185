"""Claims: what an object alone may hold: keys, numbers, addresses, prefixes.

Place: under `ipam.draft`, which keeps who holds what. The scopes come from `ipam.pools`. Must not judge.
"""

from __future__ import annotations

from typing import Protocol

from ipam.contents import (
    Claim,
    ClassRecord,
    ExternalRecord,
    FabricRecord,
    FloatingRecord,
    HypervisorRecord,
    LinkRecord,
    Name,
    NetworkRecord,
    NodeRecord,
    PeeringRecord,
    PolicyRecord,
    PortRecord,
    Record,
    RouteRecord,
    SkuRecord,
    TenantRecord,
)
from ipam.pools import (
    CLASS_ID,
    CLASS_PREFIX,
    CLASS_RELATION,
    MAC,
    NETWORK_KEY,
    NODE_HOST,
    NODE_KEY,
    POLICY_NUMBER,
    PORT_KEY,
    PORT_VF,
    ROUTER_ID,
    TENANT_KEY,
    VNI,
    VTEP,
    address_scope,
    outside_scope,
)
from model.addresses import Address, Prefix
from model.ids import HostName, PortKey
from model.intent import External, Network
from model.outlet import Outlet
from model.policy import UNREAD


def address_claim(network: Network, address: Address) -> Claim:
    """Who holds an address is decided per network; the scope is the subnet that the address lies in."""
    for subnet in network.subnets:
        if address.version == subnet.version and address in subnet:
            return address_scope(network.key, subnet), int(address)
    return f"address:{network.key}", int(address)


def route_claim(tenant: str, prefix: Prefix) -> Claim:
    """A tenant has one route to a prefix."""
    return f"route:{tenant}", str(prefix)


def outside_claim(external: External, address: Address) -> Claim:
    """Who holds an address of an external network is decided per pool that it lies in."""
    for pool in external.pools:
        if address.version == pool.version and address in pool:
            return outside_scope(external.key, pool), int(address)
    return f"outside:{external.key}", int(address)


def translated_claim(port: PortKey, version: int) -> Claim:
    """A port has one floating IP of each family."""
    return f"translated:{version}", int(port)


def vf_claims(hosts: tuple[HostName, ...], vf: Outlet | None) -> tuple[Claim, ...]:
    """A VF serves one port; one of a port without a single host is nobody's (and refused)."""
    return ((PORT_VF, f"{hosts[0]}/{vf.pf}/{vf.index}"),) if vf is not None and len(hosts) == 1 else ()


class Networks(Protocol):
    """Networks by name, as Contents and Draft have them."""

    def __getitem__(self, name: Name, /) -> NetworkRecord: ...


class Externals(Protocol):
    """External networks by name, likewise."""

    def __getitem__(self, name: str, /) -> ExternalRecord: ...


def peer_claim(tenant: str, peer: str) -> Claim:
    """A tenant declares one half for each peer."""
    return f"peer:{tenant}", peer


def claims(networks: Networks, externals: Externals, record: Record) -> tuple[Claim, ...]:
    """All of the record's; `networks`: those that ports may be in; `externals`: those that lead out.

    Ports first: of them there are many.
    """
    match record:
        case PortRecord(value, tenant, network):
            parent = networks[tenant, network].value
            addresses = (address_claim(parent, address) for address in value.addresses)
            return ((PORT_KEY, value.key), (MAC, value.mac), *vf_claims(value.hosts, value.vf), *addresses)
        case TenantRecord(value, external=external):
            routing = ((VNI, value.l3vni),) if value.l3vni else ()
            outside = (outside_claim(externals[external].value, a) for a in value.egress_addresses)
            named = ((TENANT_KEY, value.distinguisher),) if value.distinguisher else ()
            seats = ((POLICY_NUMBER, number) for number in value.seats if number)
            return ((TENANT_KEY, value.key), *named, *routing, *outside, *seats)
        case ExternalRecord(value):
            return ((TENANT_KEY, value.key), (VNI, value.l3vni))
        case PeeringRecord(_, tenant, peer):
            return (peer_claim(tenant, peer),)
        case LinkRecord(value):
            return ((TENANT_KEY, value.key), (VNI, value.l3vni))
        case PolicyRecord(value):
            defaults = (seat for seat in (value.outward, value.inward) if seat is not None)
            held = (seat.number for seat in (*value.seats, *defaults))
            return tuple((POLICY_NUMBER, number) for number in held if number not in UNREAD)
        case FloatingRecord(value, external=external):
            own = outside_claim(externals[external].value, value.address)
            return (own, translated_claim(value.port, value.address.version)) if value.port else (own,)
        case NetworkRecord(value):
            named = ((NETWORK_KEY, value.distinguisher),) if value.distinguisher else ()
            return ((NETWORK_KEY, value.key), *named, (VNI, value.vni))
        case ClassRecord(value):
            destinations = [(CLASS_PREFIX, str(p)) for p in value.prefixes]
            destinations += [(CLASS_RELATION, r.value) for r in value.relations]
            return ((CLASS_ID, value.id), *destinations)
        case HypervisorRecord(value):
            return ((VTEP, str(value.vtep)), (ROUTER_ID, value.router_id))
        case RouteRecord(value, tenant):
            return (route_claim(tenant, value.prefix),)
        case NodeRecord(value):
            return ((NODE_KEY, value.key), (NODE_HOST, value.host))
        case SkuRecord() | FabricRecord():
            return ()  # spans of fabrics are compared, not claimed number by number
