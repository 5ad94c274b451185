"""Intent: what operator and tenants want, as validated and allocated values.

Place: read from the store, input of every compiler. Must not hold anything observed or learned.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.addresses import Address, Prefix
from model.guidance import USUAL, Guidance
from model.ids import ClassId, HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.labels import Labels
from model.outlet import Outlet
from model.policy import Defaults
from model.targets import PLAIN, Rules

_NO_VNI: Final = Vni(0)
_NO_VRF: Final = TenantKey(0)
_NOWHERE: Final = HostName("")
_SILENT: Final = Defaults()


class Guard(Enum):
    """What becomes of EVPN routes that the store does not authorise. COUNT: those for which only a
    declaration is missing are used, and listed."""

    ENFORCE = "enforce"
    COUNT = "count"


@dataclass(frozen=True, slots=True)
class Policy:
    """How hosts take EVPN routes; None = as the agent has it.

    `peer_routes`, `tenant_routes`: kept at most, of a BGP peer and of a tenant. `mac_moves` within
    `mac_window` seconds: then a MAC is damped; 0 = none is.
    """

    guard: Guard = Guard.ENFORCE
    peer_routes: int | None = None
    tenant_routes: int | None = None
    mac_moves: int | None = None
    mac_window: int | None = None


_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Settings that hold for the whole cluster. `generation` rises with each `--wait`-able change."""

    uid: Uid
    generation: int
    asn: int
    reflectors: tuple[Address, ...] = ()
    policy: Policy = _POLICY


class Egress(Enum):
    """A tenant's way out. NONE: there is none. FABRIC: what borders announce in its VRF. SNAT: behind an
    address of its own, on a gateway host."""

    NONE = "none"
    FABRIC = "fabric"
    SNAT = "snat"


@dataclass(frozen=True, slots=True)
class Tenant:
    """A VRF (RFC 9135). `l3vni` 0: none allocated yet (tenants of an older store): then nothing is routed.

    With SNAT: `external` is the key of the external network that `egress_addresses` belong to, at most one
    of each family, IPv4 first; `gateways` translate: the first of them that works, the others stand by.
    With FABRIC: `public_prefixes` are what borders may be told besides private ones, IPv4 first.
    `distinguisher`: the number in its route distinguishers, 0 = the key (RFC 4364 section 4.2).
    `defaults`: what becomes of connections that no policy decides; `seats`: the numbers of these two, out and
    in, 0 where nothing is said (model.policy).
    """

    uid: Uid
    name: str
    key: TenantKey
    l3vni: Vni = _NO_VNI
    egress: Egress = Egress.NONE
    external: TenantKey = _NO_VRF
    egress_addresses: tuple[Address, ...] = ()
    gateways: tuple[HostName, ...] = ()
    public_prefixes: tuple[Prefix, ...] = ()
    rules: Rules = PLAIN
    distinguisher: int = 0
    labels: Labels = ()
    defaults: Defaults = _SILENT
    seats: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class Network:
    """A layer 2 segment of a tenant: a MAC-VRF with an L2VNI (RFC 8365 section 5).

    At most one IPv4 and one IPv6 subnet, in that order. `replicate`: broadcast and multicast are sent
    head-end to the VTEPs of RT-3; otherwise they are dropped and counted. `routed`: the anycast gateway
    answers and routes between the routed networks of the tenant. `dscp`: what all packets of its ports are
    marked with (RFC 2474 section 3), None = they keep theirs. `distinguisher` as a tenant's.
    `guidance`: what its ports are told by DHCP and router advertisements.
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
    dscp: int | None = None
    rules: Rules = PLAIN
    distinguisher: int = 0
    labels: Labels = ()
    guidance: Guidance = USUAL


@dataclass(frozen=True, slots=True)
class Pair:
    """Addresses that a port may use besides its own (VRRP, containers in a VM); `mac` None = with its own."""

    prefix: Prefix
    mac: Mac | None = None


@dataclass(frozen=True, slots=True)
class Port:
    """A workload's interface. `hosts`: where it may be bound, none = nowhere. Addresses sorted, v4 first.

    `rate_out`, `rate_in`: limits in kbit/s of what the workload sends and gets, 0 = none. `enabled` False:
    the port passes nothing. `migration`: the host that it is moving to; there it may be plugged in beside
    the host that it is bound to, and takes over when its workload announces itself there, or, with
    `activate`, at once. `sticky`: it moves when the store says so, whatever hosts announce (RFC 7432 section
    15.2). `vf`: a VF of its only host that serves it, None = whoever plugs it in.
    """

    uid: Uid
    network: NetworkKey
    name: str
    key: PortKey
    mac: Mac
    addresses: tuple[Address, ...]
    hosts: tuple[HostName, ...]
    allowed: tuple[Pair, ...] = ()
    rate_out: int = 0
    rate_in: int = 0
    enabled: bool = True
    migration: HostName = _NOWHERE
    activate: bool = False
    sticky: bool = False
    vf: Outlet | None = None
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class StaticRoute:
    """A prefix of a tenant behind addresses of its own ports; several share the load (ECMP). All of one IP
    version, `next_hops` in order."""

    uid: Uid
    tenant: TenantKey
    name: str
    prefix: Prefix
    next_hops: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """What one tenant of a peering lets the other reach."""

    tenant: TenantKey
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class Peering:
    """Two tenants that both declared it, the one with the lower key first: a VRF of its own, in which only
    the prefixes of both sides are."""

    key: TenantKey
    l3vni: Vni
    sides: tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class External:
    """A network outside, reached through borders: a VRF whose addresses of ours lie in `pools`."""

    uid: Uid
    name: str
    key: TenantKey
    l3vni: Vni
    pools: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class FloatingIp:
    """An address of an external network that stands for `target`, an address of `port`, one to one.

    `port` 0: it is reserved and stands for nobody.
    """

    uid: Uid
    tenant: TenantKey
    name: str
    external: TenantKey
    address: Address
    port: PortKey
    target: Address | None


class Relation(Enum):
    """What a destination is to the sender, where no prefix can tell. SAME_TENANT: in another routed network
    of its tenant. PEERED_TENANT: across a peering. INTERNET: a public address that nothing else takes."""

    SAME_TENANT = "same-tenant"
    PEERED_TENANT = "peered-tenant"
    INTERNET = "internet"


@dataclass(frozen=True, slots=True)
class EgressClass:
    """A named destination class of the bill: prefixes, longest first, and relations, sorted by name.

    They hold from `since` on (Unix ms, 0 = always); until then `former` and `former_relations` do.
    """

    uid: Uid
    name: str
    id: ClassId
    prefixes: tuple[Prefix, ...]
    relations: tuple[Relation, ...] = ()
    since: int = 0
    former: tuple[Prefix, ...] = ()
    former_relations: tuple[Relation, ...] = ()


@dataclass(frozen=True, slots=True)
class Hypervisor:
    """A declared host. `external`: no agent of ours runs there (FRR, SONiC); its ports come by manifest.

    `border`: an external host that leads out of the cluster. `gateway`: one that may translate for tenants.
    `frozen`: the operator froze its agent. `confirm`: the token of the stop that the operator let pass.
    `segments`: Ethernet segments that an external host is on, 10 octets each, sorted (model.segments).
    `partner`: the other DPU of the same server; of the two, only the holder of their lease serves ports.
    """

    name: HostName
    vtep: Address
    router_id: int
    external: bool = False
    frozen: bool = False
    confirm: str = ""
    border: bool = False
    gateway: bool = False
    segments: tuple[bytes, ...] = ()
    partner: HostName = _NOWHERE


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a port lives. One per port; `sequence` is the MAC mobility sequence (RFC 7432 section 7.7)."""

    port: PortKey
    host: HostName
    sequence: int
    active: bool
