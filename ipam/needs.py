"""Needs: what an object rests on that is not its parent by name: tenants, addresses, ports, externals.

Place: under `ipam.draft`, which keeps the reverse (`Contents.needed`), so that what is still needed is known
without a search. Must not judge.
"""

from __future__ import annotations

from ipam.contents import Need, Record, RouteRecord
from model.addresses import Address


def of_tenant(name: str) -> Need:
    """A tenant."""
    return "tenant", "", name


def of_address(tenant: str, address: Address) -> Need:
    """An own address of a tenant's port."""
    return "address", tenant, str(address)


def needs(record: Record) -> tuple[Need, ...]:
    """All of the record's."""
    match record:
        case RouteRecord(value, tenant):
            return (of_tenant(tenant), *(of_address(tenant, hop) for hop in value.next_hops))
        case _:
            return ()
