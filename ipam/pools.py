"""Pools: the ranges that numbers come from, and the names (scopes) under which they are claimed.

Place: declares every scope once; `ipam.draft` keeps a bitmap for each, `ipam.plan` allocates from them.
Must not hold what is in use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_network
from typing import Final

from ipam.subnets import lendable, usable
from model.addresses import Prefix, format_mac, parse_mac
from model.hardware import NODE_KEYS
from model.ids import DECLARED_CLASSES, NETWORK_KEYS, PORT_KEYS, PROBE_VNI, TENANT_KEYS, NetworkKey, TenantKey
from model.policy import NUMBERS, UNREAD


class PoolKind(Enum):
    """What a pool hands out."""

    KEY = "key"
    VNI = "vni"
    MAC = "mac"
    IPV4 = "ipv4"
    IPV6 = "ipv6"


@dataclass(frozen=True, slots=True)
class Pool:
    """`first`..`last` inclusive, as integers."""

    name: str
    kind: PoolKind
    first: int
    last: int


TENANT_KEY: Final = "tenant-key"
NETWORK_KEY: Final = "network-key"
PORT_KEY: Final = "port-key"
CLASS_ID: Final = "class-id"
VNI: Final = "vni"
MAC: Final = "mac"
NODE_KEY: Final = "node-key"
"""Its pool is the same everywhere, and so is no row of the store."""
POLICY_NUMBER: Final = "policy-number"
"""Of rules and defaults of policies. Likewise."""
NODE_HOST: Final = "node-host"
"""Scope without a pool: the hypervisors whose devices a node is made of."""
PORT_VF: Final = "port-vf"
"""Scope without a pool: the VFs that serve ports, as HOST/PF/NUMBER."""
VTEP: Final = "vtep"
"""Scope without a pool: the VTEP addresses of hypervisors, as text."""
ROUTER_ID: Final = "router-id"
"""Scope without a pool: the router ids of hypervisors."""
CLASS_PREFIX: Final = "class-prefix"
"""Scope without a pool: the prefixes of egress classes, as text."""
CLASS_RELATION: Final = "class-relation"
"""The same of their relations, by name."""

SITES: Final = range(1 << 16)
_LOCAL: Final = 0x02 << 40
"""First byte 02: locally administered, individual (IEEE 802 section 8.4)."""
_SERIAL_BITS: Final = 24
FREE_VNIS: Final = range(10_000, PROBE_VNI)
"""Default range for the VNIs of networks (L2) and tenants (L3), which share one number space; those below are
left to the operator's static requests. Stores of before 1.3.0 end their pool behind PROBE_VNI: `ipam.draft`
never hands that out."""


def mac_pool(site: int) -> Pool:
    """The MACs of a site: `02:` + 16 bits of site + 24 bits of serial. ValueError if site is out of SITES."""
    if site not in SITES:
        raise ValueError(f"site {site} is not in 0..{SITES.stop - 1}")
    first = _LOCAL | site << _SERIAL_BITS
    return Pool(MAC, PoolKind.MAC, first + 1, first + (1 << _SERIAL_BITS) - 1)


def node_pool() -> Pool:
    """The keys of nodes."""
    return Pool(NODE_KEY, PoolKind.KEY, NODE_KEYS.start, NODE_KEYS.stop - 1)


def number_pool() -> Pool:
    """The numbers of rules and defaults."""
    return Pool(POLICY_NUMBER, PoolKind.KEY, NUMBERS.start, UNREAD.start - 1)


def defaults(site: int) -> tuple[Pool, ...]:
    """The pools of a new cluster."""
    return (
        Pool(CLASS_ID, PoolKind.KEY, DECLARED_CLASSES.start, DECLARED_CLASSES.stop - 1),
        mac_pool(site),
        Pool(NETWORK_KEY, PoolKind.KEY, NETWORK_KEYS.start, NETWORK_KEYS.stop - 1),
        Pool(PORT_KEY, PoolKind.KEY, PORT_KEYS.start, PORT_KEYS.stop - 1),
        Pool(TENANT_KEY, PoolKind.KEY, TENANT_KEYS.start, TENANT_KEYS.stop - 1),
        Pool(VNI, PoolKind.VNI, FREE_VNIS.start, FREE_VNIS.stop - 1),
    )


def address_scope(network: NetworkKey, subnet: Prefix) -> str:
    """The scope of a network's addresses in one of its subnets."""
    return f"address:{network}:{subnet}"


def address_pool(network: NetworkKey, subnet: Prefix) -> Pool:
    """The addresses that may be handed out in a subnet (see ipam.subnets.usable)."""
    kind = PoolKind.IPV4 if subnet.version == 4 else PoolKind.IPV6
    offsets = usable(subnet)
    base = int(subnet.network_address)
    return Pool(address_scope(network, subnet), kind, base + offsets.start, base + offsets.stop - 1)


def outside_scope(external: TenantKey, pool: Prefix) -> str:
    """The scope of an external network's addresses in one of its pools."""
    return f"outside:{external}:{pool}"


def outside_pool(external: TenantKey, pool: Prefix) -> Pool:
    """The addresses that may be handed out of an external network's pool (see ipam.subnets.lendable)."""
    kind = PoolKind.IPV4 if pool.version == 4 else PoolKind.IPV6
    offsets, base = lendable(pool), int(pool.network_address)
    return Pool(outside_scope(external, pool), kind, base + offsets.start, base + offsets.stop - 1)


def pool_of_scope(scope: str) -> Pool | None:
    """The pool of a scope that `address_scope` or `outside_scope` made, and those of nodes' keys and of the
    numbers of rules; None for any other scope."""
    if scope == NODE_KEY:
        return node_pool()
    if scope == POLICY_NUMBER:
        return number_pool()
    kind, _, rest = scope.partition(":")
    key, _, subnet = rest.partition(":")
    if kind not in {"address", "outside"} or not key.isdecimal() or not subnet:
        return None
    if kind == "outside":
        return outside_pool(TenantKey(int(key)), ip_network(subnet))
    return address_pool(NetworkKey(int(key)), ip_network(subnet))


def capacity(pool: Pool) -> int:
    """How many numbers the pool has."""
    return max(pool.last - pool.first + 1, 0)


def render_range(pool: Pool) -> tuple[str, str]:
    """First and last as text: decimal, or colon form for MACs. Inverse: parse_range."""
    if pool.kind is PoolKind.MAC:
        return format_mac(pool.first), format_mac(pool.last)
    return str(pool.first), str(pool.last)


def parse_range(name: str, kind: PoolKind, first: str, last: str) -> Pool:
    """A pool from the texts that the store keeps; ValueError if they are no numbers of that kind."""
    if kind is PoolKind.MAC:
        return Pool(name, kind, parse_mac(first), parse_mac(last))
    return Pool(name, kind, int(first), int(last))
