"""Wanted objects: what a manifest asks for, parsed and typed, before anything is allocated.

Place: made by `controller.manifest` from documents, consumed by `ipam.plan`, which fills what is None from
pools and compares with the store. Must not hold allocated values or defaults of ours: None means "not
written".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Final

from model.addresses import Address, Prefix
from model.errors import Fault
from model.fabric import Addressing, FabricKind, Rail
from model.gang import Quota
from model.hardware import Gpu, PfSlot
from model.ids import HostName, Mac, Vni
from model.intent import Egress, Pair, Relation
from model.labels import Labels as Labels
from model.outlet import Outlet
from model.policy import Defaults, Policy
from model.targets import Community

UNMARKED: Final = -1
"""A DSCP that is written as `none`: packets keep theirs."""


class Kind(Enum):
    """The kinds of a manifest, in the order in which they are written to the store.

    LINK stands in no manifest: the planner makes one for two tenants of which one declares a Peering. Nor
    does GANG: gangs are requested one by one.
    """

    HYPERVISOR = "Hypervisor"
    SKU = "Sku"
    FABRIC = "Fabric"
    NODE = "Node"
    EXTERNAL = "External"
    TENANT = "Tenant"
    NETWORK = "Network"
    EGRESS_CLASS = "EgressClass"
    PORT = "Port"
    ROUTE = "Route"
    FLOATING_IP = "FloatingIp"
    PEERING = "Peering"
    LINK = "Link"
    OPERATOR_POLICY = "OperatorPolicy"
    SECURITY_POLICY = "SecurityPolicy"
    GANG = "Gang"


@dataclass(frozen=True, slots=True)
class Where:
    """Where an object was written: file (`<stdin>`, `<request>`), 1-based line of its document (0 = unknown).

    `lines` maps field paths (`spec.addresses[0]`, `metadata.name`) to 1-based lines.
    """

    source: str = ""
    line: int = 0
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)

    def at(self, path: str) -> int:
        """Line of the field, or of the nearest parent that was written, or of the object."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[: max(path.rfind("."), path.rfind("["), 0)]
        return self.line


@dataclass(frozen=True, slots=True)
class WantedTenant:
    """`labels` None = not written (on update: keep). `external`: by name. `defaults`: all of them anew."""

    name: str
    labels: Labels | None = None
    where: Where = Where()
    l3vni: Vni | None = None
    egress: Egress | None = None
    external: str | None = None
    public_prefixes: tuple[Prefix, ...] | None = None
    import_targets: tuple[bytes, ...] | None = None
    export_targets: tuple[bytes, ...] | None = None
    communities: tuple[Community, ...] | None = None
    distinguisher: int | None = None
    quota: Quota | None = None
    defaults: Defaults | None = None


@dataclass(frozen=True, slots=True)
class WantedGuidance:
    """As `model.guidance.Guidance`; `domain` "": none any more."""

    answers: bool | None = None
    resolvers: tuple[Address, ...] | None = None
    domain: str | None = None
    search: tuple[str, ...] | None = None
    routes: tuple[tuple[Prefix, Address], ...] | None = None
    lease: int | None = None
    names: bool | None = None


_NO_GUIDANCE: Final = WantedGuidance()


@dataclass(frozen=True, slots=True)
class WantedNetwork:
    """A network of `tenant` (by name). `subnets` in the order written. `gateways` are only checked.

    `dscp`: 0..63 or UNMARKED. Route targets: see `model.targets.Rules`. `distinguisher`: 0 = derived.
    `guidance`: what its ports are told.
    """

    tenant: str
    name: str
    subnets: tuple[Prefix, ...] | None = None
    vni: Vni | None = None
    mtu: int | None = None
    replicate: bool | None = None
    labels: Labels | None = None
    where: Where = Where()
    routed: bool | None = None
    dscp: int | None = None
    gateways: tuple[Address, ...] | None = None
    import_targets: tuple[bytes, ...] | None = None
    export_targets: tuple[bytes, ...] | None = None
    communities: tuple[Community, ...] | None = None
    distinguisher: int | None = None
    guidance: WantedGuidance = _NO_GUIDANCE


@dataclass(frozen=True, slots=True)
class WantedSeed:
    """What a port's instance is told; None = as it is. `first`: "" = this port is its first NIC."""

    first: str | None = None
    keys: tuple[str, ...] | None = None
    data: str | None = None


@dataclass(frozen=True, slots=True)
class WantedPort:
    """A port of `tenant` on its `network` (both by name). `addresses` in the order written.

    `addresses` None = allocate one of each family that the network has; () = none at all. `rate_out`,
    `rate_in`: kbit/s, 0 = no limit. `allowed` in the order written. `vf`: at most one, () = none any more.
    """

    tenant: str
    name: str
    network: str
    mac: Mac | None = None
    addresses: tuple[Address, ...] | None = None
    hosts: tuple[HostName, ...] | None = None
    labels: Labels | None = None
    where: Where = Where()
    allowed: tuple[Pair, ...] | None = None
    rate_out: int | None = None
    rate_in: int | None = None
    enabled: bool | None = None
    sticky: bool | None = None
    vf: tuple[Outlet, ...] | None = None
    seed: WantedSeed = WantedSeed()


@dataclass(frozen=True, slots=True)
class WantedEgressClass:
    """A destination class of the bill. `effective`: aware, UTC. `prefixes`, `relations` None: as they are."""

    name: str
    prefixes: tuple[Prefix, ...] | None
    effective: datetime | None = None
    labels: Labels | None = None
    where: Where = Where()
    relations: tuple[Relation, ...] | None = None


@dataclass(frozen=True, slots=True)
class WantedHypervisor:
    """A host. `router_id` is 32 bits; None only if the VTEP is IPv4: then it is the VTEP's number."""

    name: HostName
    vtep: Address
    router_id: int | None = None
    external: bool | None = None
    labels: Labels | None = None
    where: Where = Where()
    border: bool | None = None
    gateway: bool | None = None
    segments: tuple[bytes, ...] | None = None
    partner: HostName | None = None


@dataclass(frozen=True, slots=True)
class WantedRoute:
    """A static route of `tenant`; `next_hops` in the order written."""

    tenant: str
    name: str
    prefix: Prefix
    next_hops: tuple[Address, ...]
    labels: Labels | None = None
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WantedExternal:
    """A network outside. `pools` in the order written."""

    name: str
    pools: tuple[Prefix, ...]
    vni: Vni | None = None
    labels: Labels | None = None
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WantedFloatingIp:
    """An address of `external` for a port of `tenant` (by name; "" = of nobody). `family`: 4 or 6."""

    tenant: str
    name: str
    external: str
    address: Address | None = None
    family: int | None = None
    port: str | None = None
    labels: Labels | None = None
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WantedPeering:
    """The half of a peering that `tenant` declares: what `peer` (by name) may reach."""

    tenant: str
    name: str
    peer: str
    prefixes: tuple[Prefix, ...]
    labels: Labels | None = None
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WantedPolicy:
    """A policy of `tenant`, or with None of the operator. `policy`, the whole of it, replaces what was; its
    own name and tenant (empty = the operator's) are these."""

    tenant: str | None
    name: str
    policy: Policy
    labels: Labels | None = None
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WantedSku:
    """A kind of server, in the order written."""

    name: str
    gpus: tuple[Gpu, ...]
    pfs: tuple[PfSlot, ...]
    labels: Labels | None = None
    where: Where = Where()


@dataclass(frozen=True, slots=True)
class WantedFabric:
    """A fabric; `rails` in the order written, numbered from 0. `block4`, `block6`: prefix lengths."""

    name: str
    kind: FabricKind
    rails: tuple[Rail, ...]
    pkeys: range | None = None
    guids: tuple[range, ...] | None = None
    addressing: Addressing | None = None
    block4: int | None = None
    block6: int | None = None
    excluded: tuple[Prefix, ...] | None = None
    cool_down: int | None = None
    labels: Labels | None = None
    where: Where = Where()
    reserved: tuple[Prefix, ...] | None = None
    reserved_pkeys: tuple[range, ...] | None = None


@dataclass(frozen=True, slots=True)
class WantedNode:
    """A server. `leaves`: (rail's name, switch) in the order written."""

    name: str
    sku: str
    fabric: str
    host: HostName
    leaves: tuple[tuple[str, str], ...] | None = None
    labels: Labels | None = None
    where: Where = Where()


Tenanted = WantedNetwork | WantedPort | WantedRoute | WantedFloatingIp | WantedPeering
"""Those that belong to a tenant."""
WantedHardware = WantedSku | WantedFabric | WantedNode
WantedRoot = WantedTenant | WantedEgressClass | WantedHypervisor | WantedExternal
Wanted = WantedRoot | WantedHardware | Tenanted | WantedPolicy


@dataclass(frozen=True, slots=True)
class Reference:
    """Names an object: of a delete, of a get. `tenant` is None for kinds that belong to no tenant.

    A key: two are equal wherever they were written.
    """

    kind: Kind
    name: str
    tenant: str | None = None
    where: Where = field(default=Where(), compare=False)


def kind_of(wanted: Wanted) -> Kind:
    """The kind of a wanted object."""
    match wanted:
        case WantedTenant():
            return Kind.TENANT
        case WantedNetwork():
            return Kind.NETWORK
        case WantedPort():
            return Kind.PORT
        case WantedEgressClass():
            return Kind.EGRESS_CLASS
        case WantedHypervisor():
            return Kind.HYPERVISOR
        case WantedSku():
            return Kind.SKU
        case WantedFabric():
            return Kind.FABRIC
        case WantedNode():
            return Kind.NODE
        case WantedRoute():
            return Kind.ROUTE
        case WantedExternal():
            return Kind.EXTERNAL
        case WantedFloatingIp():
            return Kind.FLOATING_IP
        case WantedPeering():
            return Kind.PEERING
        case WantedPolicy(tenant=None):
            return Kind.OPERATOR_POLICY
        case WantedPolicy():
            return Kind.SECURITY_POLICY


def refer(wanted: Wanted) -> Reference:
    """The name of a wanted object, as a key."""
    tenant = wanted.tenant if isinstance(wanted, Tenanted | WantedPolicy) else None
    return Reference(kind_of(wanted), wanted.name, tenant, wanted.where)


def title(reference: Reference) -> str:
    """How faults and tables call an object: `Port acme/web-1`, `Tenant acme`."""
    if reference.tenant is None:
        return f"{reference.kind.value} {reference.name}"
    return f"{reference.kind.value} {reference.tenant}/{reference.name}"


def fault(wanted: Wanted | Reference, rule: str, message: str, remedy: str, path: str = "") -> Fault:
    """A fault of that object, with the file and line of the field at `path`."""
    reference = wanted if isinstance(wanted, Reference) else refer(wanted)
    where = reference.where
    return Fault(
        object=title(reference),
        rule=rule,
        message=message,
        remedy=remedy,
        path=path,
        source=where.source,
        line=where.at(path),
    )
