"""Subnets: which addresses of a subnet are the network's own, and which may be handed out.

Place: the arithmetic under address pools. Must not know networks, ports or what is in use.
"""

from __future__ import annotations

from typing import Final

from model.addresses import Address, Prefix, gateway

WINDOW: Final = 1 << 20
"""Addresses of a subnet, from its start, that are allocated by themselves: a /64 would need 2^54 words.
Static requests may lie anywhere in the subnet."""


def size(subnet: Prefix) -> int:
    """Number of addresses, all counted."""
    return int(subnet.num_addresses)


def usable(subnet: Prefix) -> range:
    """Offsets that may be handed out: after the gateway, no IPv4 broadcast address, in the window."""
    first = int(gateway(subnet)) - int(subnet.network_address) + 1
    total = size(subnet)
    last = total - 1 if subnet.version == 4 and total > 2 else total
    return range(first, max(min(last, WINDOW), first))


def lendable(pool: Prefix) -> range:
    """Offsets of an external network's pool that may be handed out: nobody of ours routes in it, so only its
    first address (network, or subnet-router anycast) and an IPv4 broadcast address are left out.
    """
    total = size(pool)
    if total <= 2:
        return range(total)
    return range(1, min(total - 1 if pool.version == 4 else total, WINDOW))


def lending_objection(pool: Prefix, address: Address) -> str:
    """Why nobody may have this address of the pool; empty if one may."""
    if size(pool) <= 2:
        return ""
    if address == pool.network_address:
        return "is the network address" if pool.version == 4 else "is the subnet-router anycast address"
    if pool.version == 4 and address == pool.broadcast_address:
        return "is the broadcast address"
    return ""


def reservation(subnet: Prefix, address: Address) -> str:
    """Why no port may have this address of the subnet; empty if it may.

    RFC 4291 section 2.6.1: the first IPv6 address is the subnet-router anycast address.
    """
    if address == gateway(subnet):
        return "is the gateway"
    if size(subnet) <= 2:
        return ""
    if address == subnet.network_address:
        return "is the network address" if subnet.version == 4 else "is the subnet-router anycast address"
    if subnet.version == 4 and address == subnet.broadcast_address:
        return "is the broadcast address"
    return ""
