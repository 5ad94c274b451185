"""Operations: a plan as the operations of one OVSDB transaction (RFC 7047 section 5.2).

Place: between `ipam`'s plans and `writer`. Pure. Must not send; must not decide what is allowed, but adds the
`wait`s that make the server refuse a plan whose ground has moved where no unique index would.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from controller.store import destinations, hardware, policies, rows, seeds, ways
from controller.store.identity import row_uid
from controller.store.records import (
    ClassRecord,
    Contents,
    ExternalRecord,
    FabricRecord,
    FloatingRecord,
    HypervisorRecord,
    LinkRecord,
    NetworkRecord,
    NodeRecord,
    PeeringRecord,
    PolicyRecord,
    PortRecord,
    Record,
    RouteRecord,
    SkuRecord,
    TenantRecord,
    refer,
)
from controller.store.statements import Operation, by_uid, delete, insert, select, update, wait
from ipam.steps import Plan, Step, Verb
from model.ids import HostName, Uid, Vni
from model.intent import Egress, Network
from model.wanted import Kind

REQUEST_LIFE_MS: Final = 24 * 3600 * 1000
"""How long an idempotency key is remembered."""
_SWEEP_EVERY: Final = 64
"""One write in so many (by its clock) looks for requests that are too old: that reads the whole table."""

GANG_MARK: Final = "Gang_Mark"
"""Table of one row: the generation of the last gang that got MACs."""

_TABLES: Final = {
    Kind.HYPERVISOR: "Hypervisor",
    Kind.SKU: "Sku",
    Kind.FABRIC: "Fabric",
    Kind.NODE: "Node",
    Kind.EXTERNAL: "External",
    Kind.TENANT: "Tenant",
    Kind.NETWORK: "Network",
    Kind.EGRESS_CLASS: "Egress_Class",
    Kind.PORT: "Port",
    Kind.ROUTE: "Route",
    Kind.FLOATING_IP: "Floating_Ip",
    Kind.PEERING: "Peering",
    Kind.LINK: "Peering_Link",
    Kind.OPERATOR_POLICY: "Policy",
    Kind.SECURITY_POLICY: "Policy",
}


class _Parents:
    """uids of what rows refer to, by name: those of the contents, and those that the plan creates."""

    def __init__(self, contents: Contents, steps: Iterable[Step]) -> None:
        self._contents = contents
        self._new = {s.reference: s.after for s in steps if s.verb is Verb.CREATE}
        self._networks = {
            (r.tenant, r.value.name): r.value for r in self._new.values() if isinstance(r, NetworkRecord)
        }
        self._externals = {
            r.value.name: r.value.uid for r in self._new.values() if isinstance(r, ExternalRecord)
        }
        self._ports = {
            (r.tenant, r.value.name): r.value.uid for r in self._new.values() if isinstance(r, PortRecord)
        }
        self._tenants = {r.value.name: r.value.uid for r in self._new.values() if isinstance(r, TenantRecord)}

    def tenant(self, name: str) -> Uid:
        return self._tenants.get(name) or self._contents.tenants[name].value.uid

    def external(self, name: str) -> Uid | None:
        if not name:
            return None
        return self._externals.get(name) or self._contents.externals[name].value.uid

    def port(self, tenant: str, name: str) -> Uid | None:
        if not name:
            return None
        return self._ports.get((tenant, name)) or self._contents.ports[tenant, name].value.uid

    def network(self, tenant: str, name: str) -> Network:
        return self._networks.get((tenant, name)) or self._contents.networks[tenant, name].value


def translate(contents: Contents, plan: Plan) -> list[Operation]:
    """The operations of a plan made on `contents`; the caller adds generation, request and commit."""
    parents = _Parents(contents, plan.steps)
    operations = list(_guards(contents, plan))
    for step in plan.steps:
        match step:
            case Step(Verb.CREATE, after=after) if after is not None:
                operations.extend(_insert(after, parents))
            case Step(Verb.CHANGE, before=before, after=after) if before is not None and after is not None:
                operations.extend(_change(before, after, parents))
            case Step(Verb.DELETE, before=before) if before is not None:
                operations.extend(_delete(before, parents))
    operations.extend(_cool_down(contents, plan))
    return operations


def request(key: str, digest: str, result: str, now: int) -> list[Operation]:
    """Remember that the request was done; now and then forget what is a day old."""
    row = {"key": key, "digest": digest, "result": result, "created": now}
    operations = [insert("Request", request_uid(key), row)]
    if now % _SWEEP_EVERY == 0:
        old = [["created", "<", now - REQUEST_LIFE_MS]]
        operations.append({"op": "delete", "table": "Request", "where": old})
    return operations


def request_uid(key: str) -> Uid:
    """Row of an idempotency key."""
    return row_uid("Request", key)


def binding_uid(port: Uid) -> Uid:
    """Row of a port's binding."""
    return row_uid("Binding", port)


def count_change(plan: Plan) -> list[Operation]:
    """Raise the cluster's generation, if anything changes, and read it."""
    return raise_generation() if plan else [select("Cluster", [], ("_uuid", "generation"))]


def raise_generation() -> list[Operation]:
    """Raise the cluster's generation, and read it."""
    raised = {"op": "mutate", "table": "Cluster", "where": [], "mutations": [["generation", "+=", 1]]}
    return [raised, select("Cluster", [], ("_uuid", "generation"))]


def _guards(contents: Contents, plan: Plan) -> Iterator[Operation]:
    """Waits for what no index decides.

    Overlapping classes, a host that goes, a subnet that changes: only if nothing else was written since. New
    and changed ports: their network's subnets and their hosts are as they were, and no gang got MACs since.
    """
    if contents.cluster is not None and any(_needs_calm(step) for step in plan.steps):
        found = [{"generation": contents.cluster.generation}]
        yield wait("Cluster", [], ("generation",), found)
    if any(_takes_mac(step) for step in plan.steps):
        mark = [{"generation": contents.gang_mark}] if contents.gang_mark else []
        yield wait(GANG_MARK, [], ("generation",), mark)
    networks: set[tuple[str, str]] = set()
    hosts: set[HostName] = set()
    for step in plan.steps:
        if step.verb in (Verb.CREATE, Verb.CHANGE) and isinstance(step.after, PortRecord):
            networks.add((step.after.tenant, step.after.network))
            hosts.update(step.after.value.hosts)
    for name in sorted(networks):
        record = contents.networks.get(name)
        if record is not None:
            columns = {"subnets": rows.text_set(str(s) for s in record.value.subnets)}
            yield wait("Network", by_uid(record.value.uid), columns, [columns])
    for host in sorted(hosts):
        if host in contents.hypervisors:
            yield wait("Hypervisor", by_uid(row_uid("Hypervisor", host)), ("name",), [{"name": host}])


_RARE: Final = (
    ClassRecord | RouteRecord | ExternalRecord | FloatingRecord | PeeringRecord | LinkRecord
    | SkuRecord | FabricRecord | NodeRecord | PolicyRecord
)  # fmt: skip
"""Kinds that are judged together with others, and of which there are few."""


def _takes_mac(step: Step) -> bool:
    """Whether a port gets a MAC: no index spans those of ports and those of gangs."""
    before, after = step.before, step.after
    if not isinstance(after, PortRecord):
        return False
    return not isinstance(before, PortRecord) or before.value.mac != after.value.mac


def _takes_unguarded(step: Step) -> bool:
    """Whether a tenant's way out or its defaults are part of it: their addresses and numbers come from pools
    that no index guards."""
    found = [r.value for r in (step.before, step.after) if isinstance(r, TenantRecord)]
    return any(value.egress is not Egress.NONE or any(value.seats) for value in found)


def _needs_calm(step: Step) -> bool:
    match step.verb:
        case Verb.UNCHANGED:
            return False
        case Verb.CREATE if isinstance(step.after, PortRecord):
            return bool(step.after.value.allowed) or step.after.value.vf is not None
        case Verb.CREATE:
            return isinstance(step.after, _RARE) or _takes_unguarded(step)
        case Verb.CHANGE if isinstance(step.before, TenantRecord):
            return _takes_unguarded(step)
        case Verb.CHANGE if isinstance(step.before, PortRecord) and isinstance(step.after, PortRecord):
            old, new = step.before.value, step.after.value
            return old.allowed != new.allowed or (new.vf is not None and new != old)
        case Verb.DELETE if isinstance(step.before, TenantRecord):
            return True  # its gangs bear its name, and no reference
        case Verb.CHANGE | Verb.DELETE:
            return isinstance(step.before, HypervisorRecord | NetworkRecord | _RARE)


def _insert(record: Record, parents: _Parents) -> Iterator[Operation]:
    yield insert(_table(record), _uid(record), _columns(record, parents))
    yield from _claim_vni(_vni(record))
    if isinstance(record, PortRecord):
        yield from _addresses(record, parents, frozenset())
        yield from _sow(None, record)


def _change(before: Record, after: Record, parents: _Parents) -> Iterator[Operation]:
    """Only the columns that differ, and only if they still are what the plan saw."""
    old, new = _columns(before, parents), _columns(after, parents)
    changed = sorted(column for column in new if new[column] != old[column])
    table, uid = _table(before), _uid(before)
    if isinstance(before, PolicyRecord) and policies.unread(before.value):
        yield update(table, uid, new)  # what it really says nobody has seen
        return
    # whoever moves a port has seen that no VF serves it
    held = [*changed, "vf"] if table == "Port" and "hosts" in changed and "vf" not in changed else changed
    if changed:
        yield wait(table, by_uid(uid), held, [{column: old[column] for column in held}])
        yield update(table, uid, {column: new[column] for column in changed})
    if _vni(before) != _vni(after):
        yield from _release_vni(_vni(before))
        yield from _claim_vni(_vni(after))
    if isinstance(before, PortRecord) and isinstance(after, PortRecord):
        yield from _addresses(before, parents, frozenset(after.value.addresses), gone=True)
        yield from _addresses(after, parents, frozenset(before.value.addresses))
        yield from _sow(before, after)


def _delete(record: Record, parents: _Parents) -> Iterator[Operation]:
    if isinstance(record, PortRecord):
        yield from _addresses(record, parents, frozenset(), gone=True)
        yield from _sow(record, None)
        yield delete("Binding", binding_uid(record.value.uid))
    yield from _release_vni(_vni(record))
    yield delete(_table(record), _uid(record))


def _vni(record: Record) -> Vni:
    """What it claims of the number space that L2VNIs and L3VNIs share; 0 = nothing."""
    match record:
        case TenantRecord(value) | ExternalRecord(value) | LinkRecord(value):
            return value.l3vni
        case NetworkRecord(value):
            return value.vni
        case _:
            return Vni(0)


def _claim_vni(vni: Vni) -> Iterator[Operation]:
    """A row whose id follows from the VNI: of two writers that take it, as L2VNI or L3VNI, one is refused.

    Networks of before 1.2.0 have none: every plan has seen them.
    """
    if vni:
        yield insert("Vni_Claim", row_uid("Vni_Claim", str(vni)), {"vni": vni})


def _release_vni(vni: Vni) -> Iterator[Operation]:
    if vni:
        yield delete("Vni_Claim", row_uid("Vni_Claim", str(vni)))


def _addresses(
    record: PortRecord, parents: _Parents, but: frozenset[Any], *, gone: bool = False
) -> Iterator[Operation]:
    """Rows of the port's addresses, without those in `but`: new ones, or old ones that go."""
    network = parents.network(record.tenant, record.network)
    for address in record.value.addresses:
        if address in but:
            continue
        uid = row_uid("Address", network.uid, str(address))
        if gone:
            yield delete("Address", uid)
        else:
            row = {
                "network": ["uuid", network.uid],
                "address": str(address),
                "port": ["uuid", record.value.uid],
            }
            yield insert("Address", uid, row)


def _sow(before: PortRecord | None, after: PortRecord | None) -> Iterator[Operation]:
    """The row of the port's seed, if it is to be another one; not over what came meanwhile."""
    old = None if before is None else seeds.columns(before)
    new = None if after is None else seeds.columns(after)
    known = after or before
    if old == new or known is None:
        return
    uid = seeds.seed_uid(known.value.uid)
    if old is not None and after is not None:
        yield wait(seeds.TABLE, by_uid(uid), ("text",), [{"text": old["text"]}])
    if new is None:
        yield delete(seeds.TABLE, uid)
    else:
        yield insert(seeds.TABLE, uid, new) if old is None else update(seeds.TABLE, uid, new)


def _cool_down(contents: Contents, plan: Plan) -> Iterator[Operation]:
    """Renewed tombstones first, so that the sweep of old ones spares them."""
    for stone in plan.tombstones:
        uid = row_uid("Tombstone", stone.scope, str(stone.value))
        if (stone.scope, stone.value) in contents.tombstones:
            yield update("Tombstone", uid, {"until": stone.until})
        else:
            row = {"scope": stone.scope, "value": str(stone.value), "until": stone.until}
            yield insert("Tombstone", uid, row)
    if any(until <= plan.now for until in contents.tombstones.values()):
        yield {"op": "delete", "table": "Tombstone", "where": [["until", "<=", plan.now]]}


def _table(record: Record) -> str:
    return _TABLES[refer(record).kind]


def _uid(record: Record) -> Uid:
    if isinstance(record, HypervisorRecord | SkuRecord | FabricRecord | NodeRecord):
        return row_uid(_table(record), record.value.name)
    return record.value.uid


def _columns(record: Record, parents: _Parents) -> rows.Columns:
    match record:
        case TenantRecord(value, labels, external, quota):
            return rows.tenant_columns(value, parents.external(external), labels, quota)
        case NetworkRecord(value, tenant, labels):
            return rows.network_columns(value, parents.tenant(tenant), labels)
        case PortRecord(value, tenant, network, labels):
            home = parents.network(tenant, network).uid
            return rows.port_columns(value, parents.tenant(tenant), home, labels)
        case ClassRecord(value, version, effective, labels):
            return destinations.class_columns(value, version, effective, labels)
        case HypervisorRecord(value, labels):
            return rows.hypervisor_columns(value, labels)
        case SkuRecord(value, labels):
            return hardware.sku_columns(value, labels)
        case FabricRecord(value, labels):
            return hardware.fabric_columns(value, labels)
        case NodeRecord(value, labels):
            made, net = row_uid("Sku", value.sku), row_uid("Fabric", value.fabric)
            return hardware.node_columns(value, labels, (made, net, row_uid("Hypervisor", value.host)))
        case RouteRecord(value, tenant, labels):
            return ways.route_columns(value, parents.tenant(tenant), labels)
        case ExternalRecord(value, labels):
            return ways.external_columns(value, labels)
        case PeeringRecord(value, tenant, peer, labels):
            return ways.half_columns(value, parents.tenant(tenant), parents.tenant(peer), labels)
        case PolicyRecord(value, tenant, labels):
            return policies.policy_columns(value, parents.tenant(tenant) if tenant else None, labels)
        case LinkRecord(value, (first, second)):
            return ways.link_columns(value, parents.tenant(first), parents.tenant(second))
        case FloatingRecord(value, tenant, external, port, labels):
            home, outside = parents.tenant(tenant), parents.external(external)
            assert outside is not None
            return ways.floating_columns(value, home, outside, parents.port(tenant, port), labels)
