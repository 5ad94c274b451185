"""Intent: what operator and tenants want, as validated and allocated values.

Place: read from the store, input of every compiler. Must not hold anything observed or learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from model.addresses import Address, Prefix
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni

_NO_VNI: Final = Vni(0)


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings that hold for the whole cluster. `generation` rises with each `--wait`-able change."""

    uid: Uid
    generation: int
    asn: int
    reflectors: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class Tenant:
    """A VRF (RFC 9135). `l3vni` 0: none allocated yet (tenants of an older store): then nothing is routed."""

    uid: Uid
    name: str
    key: TenantKey
    l3vni: Vni = _NO_VNI


@dataclass(frozen=True, slots=True)
class Network:
    """A layer 2 segment of a tenant: a MAC-VRF with an L2VNI (RFC 8365 section 5).

    At most one IPv4 and one IPv6 subnet, in that order. `replicate`: broadcast and multicast are sent
    head-end to the VTEPs of RT-3; otherwise they are dropped and counted. `routed`: the anycast gateway
    answers and routes between the routed networks of the tenant.
    """

    uid: Uid
    tenant: TenantKey
    name: str
    key: NetworkKey
    vni: Vni
    subnets: tuple[Prefix, ...] = ()
    mtu: int = 1450
    replicate: bool = False
    routed: bool = True


@dataclass(frozen=True, slots=True)
class Port:
    """A workload's interface. `hosts`: where it may be bound, none = nowhere. Addresses sorted, v4 first."""

    uid: Uid
    network: NetworkKey
    name: str
    key: PortKey
    mac: Mac
    addresses: tuple[Address, ...]
    hosts: tuple[HostName, ...]


@dataclass(frozen=True, slots=True)
class EgressClass:
    """A named destination class of the bill: versioned prefixes, longest prefix first."""

    uid: Uid
    name: str
    id: ClassId
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A declared host. `external`: no agent of ours runs there (FRR, SONiC); its ports come by manifest.

    `frozen`: the operator froze its agent. `confirm`: the token of the stop that the operator let pass.
    """

    name: HostName
    vtep: Address
    router_id: int
    external: bool = False
    frozen: bool = False
    confirm: str = ""


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a port lives. One per port; `sequence` is the MAC mobility sequence (RFC 7432 section 7.7)."""

    port: PortKey
    host: HostName
    sequence: int
    active: bool
