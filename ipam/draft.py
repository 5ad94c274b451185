"""Draft: Contents under change, with their indexes kept right.

Place: the store's cache turns rows into Contents with it, and a plan tries its allocations on one that it
throws away. The Contents it was made from stay as they are. Must not refuse anything: that is the plan's
task.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from immutables import Map, MapMutation

from ipam.bitmap import Bitmap
from ipam.burdens import NOTHING, Burden, burden, shift
from ipam.claims import claims
from ipam.contents import (
    Claim,
    Contents,
    FabricRecord,
    HypervisorRecord,
    Need,
    NetworkRecord,
    PolicyRecord,
    PortRecord,
    Record,
    natural_key,
    refer,
)
from ipam.gangs.ledger import Ledger, macs
from ipam.members import add, count, discard
from ipam.needs import needs, needs_of_gang
from ipam.pools import MAC, PORT_KEY, VNI, Pool, address_scope, pool_of_scope
from model.gang import Gang
from model.ids import PROBE_VNI, HostName, PortKey
from model.intent import Binding, Cluster, Network
from model.wanted import Kind, Reference


class Draft:
    """Mutable Contents. Parents before children: a port is indexed with its network's subnets."""

    def __init__(self, contents: Contents) -> None:
        self.cluster = contents.cluster
        self.pools: MapMutation[str, Pool] = contents.pools.mutate()
        self.bindings: MapMutation[PortKey, Binding] = contents.bindings.mutate()
        self.tombstones: MapMutation[Claim, int] = contents.tombstones.mutate()
        self.owners: MapMutation[Claim, Reference] = contents.owners.mutate()
        self.tenants = contents.tenants.mutate()
        self.networks = contents.networks.mutate()
        self.ports = contents.ports.mutate()
        self.classes = contents.classes.mutate()
        self.hypervisors = contents.hypervisors.mutate()
        self.routes = contents.routes.mutate()
        self.peerings = contents.peerings.mutate()
        self.links = contents.links.mutate()
        self.policies = contents.policies.mutate()
        self.operator_policies = dict(contents.operator_policies)
        self.externals = dict(contents.externals)
        self.floating = contents.floating.mutate()
        self.skus = contents.skus.mutate()
        self.fabrics = dict(contents.fabrics)
        self.nodes = contents.nodes.mutate()
        self._gateways = dict(contents.gateways)
        self._tables: dict[Kind, MapMutation[Any, Any] | dict[Any, Any]] = {
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
        self._ledger = contents.ledger
        self._ledger_is_ours = False
        self.gang_mark = contents.gang_mark
        self._needed = contents.needed.mutate()
        self._members = contents.members.mutate()
        self._networks_of = contents.networks_of.mutate()
        self._uses = contents.uses.mutate()
        self._bound = contents.bound.mutate()
        self._dwellers = contents.dwellers.mutate()
        self._paired = contents.paired.mutate()
        self._burdens = contents.burdens.mutate()
        self._addressed = contents.addressed.mutate()
        self._taken: Mapping[str, Bitmap] = contents.taken
        self._own: dict[str, Bitmap] = {}
        self._subnet_pools: dict[str, Pool] = {}

    def contents(self) -> Contents:
        """The state now, frozen; the draft must not be used any more."""
        taken = dict(self._taken)
        taken.update(self._own)
        return Contents(
            cluster=self.cluster,
            pools=self.pools.finish(),
            tenants=self.tenants.finish(),
            networks=self.networks.finish(),
            ports=self.ports.finish(),
            classes=self.classes.finish(),
            hypervisors=self.hypervisors.finish(),
            routes=self.routes.finish(),
            externals=Map(self.externals),
            floating=self.floating.finish(),
            peerings=self.peerings.finish(),
            links=self.links.finish(),
            policies=self.policies.finish(),
            operator_policies=Map(self.operator_policies),
            skus=self.skus.finish(),
            fabrics=Map(self.fabrics),
            nodes=self.nodes.finish(),
            gateways=Map(self._gateways),
            needed=self._needed.finish(),
            bindings=self.bindings.finish(),
            tombstones=self.tombstones.finish(),
            owners=self.owners.finish(),
            taken=taken,
            members=self._members.finish(),
            networks_of=self._networks_of.finish(),
            uses=self._uses.finish(),
            bound=self._bound.finish(),
            dwellers=self._dwellers.finish(),
            paired=self._paired.finish(),
            burdens=self._burdens.finish(),
            addressed=self._addressed.finish(),
            ledger=self._ledger,
            gang_mark=self.gang_mark,
        )

    def set_cluster(self, cluster: Cluster | None) -> None:
        """Replace the cluster's settings."""
        self.cluster = cluster

    def put_pool(self, pool: Pool) -> None:
        """Add or move a pool; its bitmap is built again from what is held in its scope."""
        self.pools[pool.name] = pool
        bitmap = Bitmap()
        owners, tombstones = self.owners.finish(), self.tombstones.finish()
        self.owners, self.tombstones = owners.mutate(), tombstones.mutate()
        for held in (owners, tombstones):
            for scope, value in held:
                if scope == pool.name and isinstance(value, int) and pool.first <= value <= pool.last:
                    bitmap.take(value - pool.first)
        if pool.name == VNI and pool.first <= PROBE_VNI <= pool.last:
            bitmap.take(PROBE_VNI - pool.first)
        self._own[pool.name] = bitmap

    def bind(self, binding: Binding) -> None:
        """A port lives somewhere, or does not any longer."""
        self.unbind(binding.port)
        self.bindings[binding.port] = binding
        self._count_binding(binding, 1)

    def unbind(self, port: PortKey) -> None:
        """Forget a binding, if there is one; before the port itself goes."""
        before = self.bindings.pop(port, None)
        if before is not None:
            self._count_binding(before, -1)

    def _count_binding(self, binding: Binding, step: int) -> None:
        if not binding.active:
            return
        count(self._bound, binding.host, step)
        owner = self.owners.get((PORT_KEY, binding.port))
        record = None if owner is None else self.find(owner)
        if isinstance(record, PortRecord):
            home = (record.tenant, record.network)
            hosts = self._dwellers.get(home, Map()).mutate()
            count(hosts, binding.host, step)
            left = hosts.finish()
            if left:
                self._dwellers[home] = left
            else:
                self._dwellers.pop(home, None)

    def put(self, record: Record) -> None:
        """Add or replace an object."""
        reference = refer(record)
        before = self.find(reference)
        old = () if before is None else self.claims(before)
        new = self.claims(record)
        kept = {*new}  # of a class thousands
        for claim in old:
            if claim not in kept:
                self.free(claim, reference)
        if before is not None:
            self._unlink(before)
        self._tables[reference.kind][natural_key(reference)] = record
        self._link(record)
        for claim in new:
            self.owners[claim] = reference
            self._settle(claim)
        if isinstance(record, FabricRecord) and (before is None or before != record):
            self._books().set_fabric(record.value)

    def remove(self, reference: Reference) -> Record | None:
        """Take an object out; None if it was not there."""
        before = self.find(reference)
        if before is None:
            return None
        for claim in self.claims(before):
            self.free(claim, reference)
        self._unlink(before)
        del self._tables[reference.kind][natural_key(reference)]
        if isinstance(before, FabricRecord):
            self._books().drop_fabric(before.value.name)
        return before

    def put_gang(self, gang: Gang, until: int = 0) -> None:
        """A gang comes or changes; `until` (Unix ms) not 0: it was released, and cools down. Invalid if what
        it holds is somebody's.
        """
        if until:
            self._books().cool(gang, until)
        else:
            self._books().hold(gang)
        reference = Reference(Kind.GANG, gang.request.name, gang.request.tenant)
        for mac in macs(gang):
            self.owners[MAC, mac] = reference
            self._settle((MAC, mac))
        for need in needs_of_gang(gang):
            if not until:
                add(self._needed, need, reference)
            elif (gang.request.tenant, gang.request.name) not in self._ledger.gangs:
                discard(self._needed, need, reference)

    def drop_gang(self, gang: Gang) -> None:
        """Nothing is left of a gang, nor does anything of it cool down."""
        self.put_gang(gang, until=1)
        self._books().forget(gang)
        for mac in macs(gang):
            self.free((MAC, mac), Reference(Kind.GANG, gang.request.name, gang.request.tenant))

    def _books(self) -> Ledger:
        if not self._ledger_is_ours:
            self._ledger, self._ledger_is_ours = self._ledger.copy(), True
        return self._ledger

    def hold(self, claim: Claim, reference: Reference) -> Reference | None:
        """Claim for `reference`; if another object holds it, nothing changes and that one is returned."""
        holder = self.owners.get(claim)
        if holder is not None and holder != reference:
            return holder
        self.owners[claim] = reference
        self._settle(claim)
        return None

    def free(self, claim: Claim, reference: Reference) -> None:
        """Give a claim up, if it is the object's."""
        if self.owners.get(claim) == reference:
            del self.owners[claim]
            self._settle(claim)

    def bury(self, claim: Claim, until: int) -> None:
        """Let a claim cool down until `until` (Unix ms)."""
        self.tombstones[claim] = until
        self._settle(claim)

    def unbury(self, claim: Claim) -> None:
        """End a claim's cool-down, if it has one."""
        if self.tombstones.pop(claim, None) is not None:
            self._settle(claim)

    def find(self, reference: Reference) -> Record | None:
        """The record of that name; None if there is none."""
        return self._tables[reference.kind].get(natural_key(reference))

    def claims(self, record: Record) -> tuple[Claim, ...]:
        """What the object alone may hold."""
        return claims(self.networks, self.externals, record)

    def dependants(self, need: Need) -> list[Reference]:
        """Who rests on it, in order."""
        found = self._needed.get(need, Map())
        return sorted(found, key=lambda r: (r.kind.value, r.tenant or "", r.name))

    def pool(self, scope: str) -> Pool | None:
        """The pool of a scope; None if nothing is handed out from it."""
        found = self.pools.get(scope) or self._subnet_pools.get(scope)
        if found is None:
            found = pool_of_scope(scope)
            if found is not None:
                self._subnet_pools[scope] = found
        return found

    def subnet_pool(self, network: Network, version: int) -> Pool | None:
        """The pool of the network's IPv4 (4) or IPv6 (6) subnet; None if it has none."""
        for subnet in network.subnets:
            if subnet.version == version:
                return self.pool(address_scope(network.key, subnet))
        return None

    def next_free(self, pool: Pool, start: int = 0) -> int | None:
        """The lowest number of the pool, not below `start`, that nobody holds and that is not cooling down;
        None if there is none.
        """
        first = max(start, pool.first)
        taken = self._own.get(pool.name) or self._taken.get(pool.name)
        if taken is None:
            return first if first <= pool.last else None
        offset = taken.next_free(first - pool.first, pool.last - pool.first + 1)
        return None if offset is None else pool.first + offset

    def used(self, pool: Pool) -> int:
        """How many numbers of the pool are held or cooling down."""
        taken = self._own.get(pool.name) or self._taken.get(pool.name)
        return 0 if taken is None else taken.used

    def members(self, tenant: str, network: str) -> Iterable[str]:
        """Names of the network's ports."""
        return sorted(self._members.get((tenant, network), Map()))

    def paired(self, tenant: str, network: str) -> Iterable[str]:
        """Names of the network's ports that have allowed pairs."""
        return sorted(self._paired.get((tenant, network), Map()))

    def uses(self, host: HostName) -> Iterable[tuple[str, str]]:
        """(tenant, name) of the ports whose hosts name it."""
        return sorted(self._uses.get(host, Map()))

    def networks_of(self, tenant: str) -> Iterable[str]:
        """Names of the tenant's networks."""
        return sorted(self._networks_of.get(tenant, Map()))

    def burden(self, tenant: str) -> Burden:
        """Of the tenant's policies."""
        return self._burdens.get(tenant, NOTHING)

    def population(self, tenant: str) -> tuple[int, int]:
        """How many ports a tenant has, and how many addresses they have."""
        homes = ((tenant, network) for network in self._networks_of.get(tenant, Map()))
        return sum(len(self._members.get(home, Map())) for home in homes), self._addressed.get(tenant, 0)

    def external_names(self) -> tuple[str, ...]:
        """Names of the external networks."""
        return tuple(sorted(self.externals))

    def gateways(self) -> tuple[HostName, ...]:
        """Hosts that may translate for tenants, by name."""
        return tuple(sorted(self._gateways))

    def _link(self, record: Record) -> None:
        for need in needs(record):
            add(self._needed, need, refer(record))
        match record:
            case PortRecord(value, tenant, network):
                add(self._members, (tenant, network), value.name)
                count(self._addressed, tenant, len(value.addresses))
                if value.allowed:
                    add(self._paired, (tenant, network), value.name)
                for host in value.hosts:
                    add(self._uses, host, (tenant, value.name))
            case NetworkRecord(value, tenant):
                add(self._networks_of, tenant, value.name)
            case PolicyRecord(value, str(tenant)):
                shift(self._burdens, tenant, NOTHING, burden(value.policy))
            case HypervisorRecord(value) if value.gateway and not value.external:
                self._gateways[value.name] = None

    def _unlink(self, record: Record) -> None:
        for need in needs(record):
            discard(self._needed, need, refer(record))
        match record:
            case NetworkRecord(value, tenant):
                discard(self._networks_of, tenant, value.name)
            case PolicyRecord(value, str(tenant)):
                shift(self._burdens, tenant, burden(value.policy), NOTHING)
            case PortRecord(value, tenant, network):
                discard(self._members, (tenant, network), value.name)
                count(self._addressed, tenant, -len(value.addresses))
                discard(self._paired, (tenant, network), value.name)
                for host in value.hosts:
                    discard(self._uses, host, (tenant, value.name))
            case HypervisorRecord(value):
                self._gateways.pop(value.name, None)

    def _settle(self, claim: Claim) -> None:
        scope, value = claim
        pool = self.pool(scope)
        if pool is None or not isinstance(value, int) or not pool.first <= value <= pool.last:
            return
        bitmap = self._own.get(scope)
        if bitmap is None:
            found = self._taken.get(scope)
            bitmap = self._own[scope] = Bitmap() if found is None else found.copy()
        if claim in self.owners or claim in self.tombstones:
            bitmap.take(value - pool.first)
        else:
            bitmap.release(value - pool.first)
