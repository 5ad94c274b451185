"""Contents: everything that the store holds, as frozen values with the indexes that allocation needs.

Place: made by `controller.store` from rows (through `ipam.draft`), read by `ipam.plan` and by the API's
`get`. Records wrap the model values with what only people see (names of parents, labels). Must not do I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from immutables import Map

from ipam.bitmap import Bitmap
from ipam.burdens import Burden
from ipam.gangs.ledger import Ledger
from ipam.pools import Pool
from model.addresses import Prefix
from model.fabric import Fabric
from model.gang import Gang, Quota
from model.hardware import Node, Sku
from model.ids import HostName, PortKey, TenantKey, Uid, Vni
from model.intent import (
    Binding,
    Cluster,
    EgressClass,
    External,
    FloatingIp,
    Hypervisor,
    Network,
    Port,
    StaticRoute,
    Tenant,
)
from model.policy import Standing
from model.seed import NOTHING, Seed
from model.wanted import Kind, Labels, Reference

Name = tuple[str, str]
"""(tenant name, own name): the natural key of Network and Port."""
Need = tuple[str, str, str]
"""(what, tenant or "", name): what an object rests on; see `ipam.needs`."""
Claim = tuple[str, int | str]
"""(scope, value): a number or text that one object alone may hold; scopes come from `ipam.pools`."""
_NO_QUOTA: Final = Quota()


@dataclass(frozen=True, slots=True)
class TenantRecord:
    """`external`: the name of the external network that its value names by key; empty = none. `quota`: of its
    gangs; no host knows it.
    """

    value: Tenant
    labels: Labels = ()
    external: str = ""
    quota: Quota = _NO_QUOTA


@dataclass(frozen=True, slots=True)
class NetworkRecord:
    """`tenant`: the tenant's name."""

    value: Network
    tenant: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class PortRecord:
    """`tenant`, `network`: the names of the parents."""

    value: Port
    tenant: str
    network: str
    labels: Labels = ()
    seed: Seed = NOTHING


@dataclass(frozen=True, slots=True)
class ClassRecord:
    """`version` rises by one with each change of prefixes or relations; `effective` is aware and UTC, None =
    at once.
    """

    value: EgressClass
    version: int = 1
    effective: datetime | None = None
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class HypervisorRecord:
    value: Hypervisor
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class SkuRecord:
    value: Sku
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class FabricRecord:
    value: Fabric
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class NodeRecord:
    value: Node
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class RouteRecord:
    """`tenant`: the tenant's name."""

    value: StaticRoute
    tenant: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class ExternalRecord:
    value: External
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class FloatingRecord:
    """`tenant`, `external`, `port`: names; `port` empty = of nobody."""

    value: FloatingIp
    tenant: str
    external: str
    port: str = ""
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Half:
    """What one tenant of a peering declared."""

    uid: Uid
    name: str
    tenant: TenantKey
    peer: TenantKey
    prefixes: tuple[Prefix, ...]


@dataclass(frozen=True, slots=True)
class PeeringRecord:
    """`tenant`, `peer`: names."""

    value: Half
    tenant: str
    peer: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Link:
    """The VRF of two tenants of which at least one declared a peering."""

    uid: Uid
    key: TenantKey
    l3vni: Vni


@dataclass(frozen=True, slots=True)
class LinkRecord:
    """`tenants`: names, in order."""

    value: Link
    tenants: tuple[str, str]


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """`tenant`: the tenant's name; None = it is the operator's."""

    value: Standing
    tenant: str | None
    labels: Labels = ()


def link_name(one: str, other: str) -> str:
    """The name of the link of two tenants, which no other pair has."""
    return "+".join(sorted((one, other)))


Record = (
    TenantRecord
    | NetworkRecord
    | PortRecord
    | ClassRecord
    | HypervisorRecord
    | RouteRecord
    | ExternalRecord
    | FloatingRecord
    | PeeringRecord
    | LinkRecord
    | PolicyRecord
    | SkuRecord
    | FabricRecord
    | NodeRecord
)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """A claim that was given up and cools down: not handed out again before `until` (Unix ms)."""

    scope: str
    value: int | str
    until: int


@dataclass(frozen=True, slots=True)
class Contents:
    """The store's rows. Plain maps by natural key; `owners`, `taken`, `members` are indexes that Draft keeps.

    `bindings` by port key. `tombstones`: claim -> Unix ms. `owners`: claim -> who holds it. `taken`: scope ->
    bitmap of what is held or cools down, offset by the scope's first value; treat the bitmaps as read-only.
    `members`: (tenant, network) -> names of its ports; `networks_of`: tenant -> names of its networks.
    `uses`: host name -> (tenant, port) of the ports whose `hosts` name it. `paired`: (tenant, network) ->
    names of its ports with allowed pairs. `bound`: host name -> how many ports live there; `dwellers`:
    (tenant, network) -> the same for its own ports. `needed`: what others rest on -> who they are (see
    ipam.needs). `gateways`: hosts that may translate. `ledger`: who holds what of the fabrics; read-only too.
    `burdens`: tenant -> what its policies make at most; `addressed`: tenant -> addresses of its ports.
    `gang_mark`: the generation of the last write that gave MACs to a gang; 0 = none did. `unheld`: gangs that
    claim what is another's, so that the ledger does not have them: somebody wrote them by hand.
    """

    cluster: Cluster | None = None
    pools: Map[str, Pool] = Map()
    tenants: Map[str, TenantRecord] = Map()
    networks: Map[Name, NetworkRecord] = Map()
    ports: Map[Name, PortRecord] = Map()
    classes: Map[str, ClassRecord] = Map()
    hypervisors: Map[HostName, HypervisorRecord] = Map()
    bindings: Map[PortKey, Binding] = Map()
    tombstones: Map[Claim, int] = Map()
    owners: Map[Claim, Reference] = Map()
    taken: Mapping[str, Bitmap] = Map()
    members: Map[Name, Map[str, None]] = Map()
    networks_of: Map[str, Map[str, None]] = Map()
    uses: Map[HostName, Map[Name, None]] = Map()
    paired: Map[Name, Map[str, None]] = Map()
    bound: Map[HostName, int] = Map()
    dwellers: Map[Name, Map[HostName, int]] = Map()
    routes: Map[Name, RouteRecord] = Map()
    externals: Map[str, ExternalRecord] = Map()
    floating: Map[Name, FloatingRecord] = Map()
    peerings: Map[Name, PeeringRecord] = Map()
    links: Map[str, LinkRecord] = Map()
    policies: Map[Name, PolicyRecord] = Map()
    operator_policies: Map[str, PolicyRecord] = Map()
    gateways: Map[HostName, None] = Map()
    needed: Map[Need, Map[Reference, None]] = Map()
    ledger: Ledger = field(default_factory=Ledger)
    gang_mark: int = 0
    skus: Map[str, SkuRecord] = Map()
    fabrics: Map[str, FabricRecord] = Map()
    nodes: Map[str, NodeRecord] = Map()
    unheld: tuple[Gang, ...] = ()
    burdens: Map[str, Burden] = Map()
    addressed: Map[str, int] = Map()

    def find(self, reference: Reference) -> Record | None:
        """The record of that name; None if there is none."""
        tables: dict[Kind, Mapping[Any, Record]] = {
            Kind.TENANT: self.tenants,
            Kind.NETWORK: self.networks,
            Kind.PORT: self.ports,
            Kind.EGRESS_CLASS: self.classes,
            Kind.HYPERVISOR: self.hypervisors,
            Kind.ROUTE: self.routes,
            Kind.EXTERNAL: self.externals,
            Kind.FLOATING_IP: self.floating,
            Kind.PEERING: self.peerings,
            Kind.LINK: self.links,
            Kind.SECURITY_POLICY: self.policies,
            Kind.OPERATOR_POLICY: self.operator_policies,
            Kind.SKU: self.skus,
            Kind.FABRIC: self.fabrics,
            Kind.NODE: self.nodes,
        }
        return tables[reference.kind].get(natural_key(reference))


def natural_key(reference: Reference) -> Name | str:
    """The key of the object in its table of Contents."""
    return reference.name if reference.tenant is None else (reference.tenant, reference.name)


def refer(record: Record) -> Reference:
    """The name of a stored object, as a key."""
    match record:
        case PortRecord(value, tenant):
            return Reference(Kind.PORT, value.name, tenant)
        case TenantRecord(value):
            return Reference(Kind.TENANT, value.name)
        case NetworkRecord(value, tenant):
            return Reference(Kind.NETWORK, value.name, tenant)
        case ClassRecord(value):
            return Reference(Kind.EGRESS_CLASS, value.name)
        case HypervisorRecord(value):
            return Reference(Kind.HYPERVISOR, value.name)
        case RouteRecord(value, tenant):
            return Reference(Kind.ROUTE, value.name, tenant)
        case ExternalRecord(value):
            return Reference(Kind.EXTERNAL, value.name)
        case FloatingRecord(value, tenant):
            return Reference(Kind.FLOATING_IP, value.name, tenant)
        case PeeringRecord(value, tenant):
            return Reference(Kind.PEERING, value.name, tenant)
        case LinkRecord(_, tenants):
            return Reference(Kind.LINK, link_name(*tenants))
        case PolicyRecord(value, tenant):
            kind = Kind.OPERATOR_POLICY if tenant is None else Kind.SECURITY_POLICY
            return Reference(kind, value.policy.name, tenant)
        case SkuRecord(value):
            return Reference(Kind.SKU, value.name)
        case FabricRecord(value):
            return Reference(Kind.FABRIC, value.name)
        case NodeRecord(value):
            return Reference(Kind.NODE, value.name)
