"""Tenants with networks, ports and gangs as zones are made of them, and questions about them.

Place: imported by the tests of names. Knows nothing of the code that answers.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

import dns.message

from model.fabric import RailIndex
from model.ids import Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Network, Port, Tenant
from model.roll import Roll

ACME: Final = TenantKey(1)
RIVAL: Final = TenantKey(2)


def tenant(name: str, key: TenantKey) -> Tenant:
    return Tenant(Uid(f"tenant-{name}"), name, key)


def network(name: str, key: int, owner: TenantKey, *subnets: str) -> Network:
    prefixes = tuple(ip_network(one) for one in subnets)
    return Network(Uid(f"network-{key}"), owner, name, NetworkKey(key), Vni(key), prefixes)


def port(name: str, key: int, home: int, *addresses: str) -> Port:
    found = tuple(ip_address(one) for one in addresses)
    uid = Uid(f"port-{key}")
    return Port(uid, NetworkKey(home), name, PortKey(key), Mac(0x020000000000 + key), found, ())


def gang(owner: str, name: str, *nodes: tuple[str, ...]) -> Roll:
    """Of each node, the addresses on rail 0, 1 and so on."""
    ranks = (
        tuple((RailIndex(rail), (ip_address(address),)) for rail, address in enumerate(addresses))
        for addresses in nodes
    )
    return Roll(1, owner, name, tuple(ranks))


def question(name: str, rdtype: str = "A", **more: object) -> bytes:
    """As a port's resolver would send it; without EDNS unless asked for, and the same each time."""
    return dns.message.make_query(name, rdtype, **{"id": 1, **more}).to_wire()  # type: ignore[arg-type]
