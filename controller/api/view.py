"""Views: stored records as the documents that `get` shows and `apply` takes back.

Place: last step of a read. Pure. What is observed stands under `status`, which `apply` ignores.
Must not decide anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address
from typing import Any

from controller.api import gang_forms as gangs
from controller.api import hardware
from controller.manifest.policy_documents import defaults_spec, policy_spec
from controller.manifest.schema import API_VERSION
from controller.store.policies import unread
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
)
from ipam.claims import peer_claim
from ipam.contents import link_name
from ipam.needs import of_external
from model.addresses import format_mac
from model.guidance import USUAL, Guidance
from model.intent import Egress, Pair
from model.policy import Standing
from model.report import PortReport, Report
from model.segments import segment_text
from model.targets import Rules, any_text, member_text
from model.wanted import Kind, Labels

Document = dict[str, Any]


def records(contents: Contents, kind: Kind) -> Iterator[Record]:
    """All records of a kind, by tenant and name."""
    tables: dict[Kind, Mapping[Any, Record]] = {
        Kind.TENANT: contents.tenants,
        Kind.NETWORK: contents.networks,
        Kind.PORT: contents.ports,
        Kind.EGRESS_CLASS: contents.classes,
        Kind.HYPERVISOR: contents.hypervisors,
        Kind.ROUTE: contents.routes,
        Kind.EXTERNAL: contents.externals,
        Kind.FLOATING_IP: contents.floating,
        Kind.PEERING: contents.peerings,
        Kind.LINK: contents.links,
        Kind.SECURITY_POLICY: contents.policies,
        Kind.OPERATOR_POLICY: contents.operator_policies,
        Kind.SKU: contents.skus,
        Kind.FABRIC: contents.fabrics,
        Kind.NODE: contents.nodes,
    }
    table = tables[kind]
    for key in sorted(table):
        yield table[key]


def port_states(reports: Iterable[Report]) -> dict[tuple[str, str], PortReport]:
    """(host, uid) -> what that host says of the port."""
    return {(report.host, port.uid): port for report in reports for port in report.ports}


def document(record: Record, contents: Contents, states: Mapping[tuple[str, str], PortReport]) -> Document:
    """The manifest of a record, with its status."""
    match record:
        case TenantRecord():
            return _tenant(record, contents)
        case ExternalRecord(value, labels):
            outside: Document = {"pools": [str(p) for p in value.pools], "vni": value.l3vni}
            users = len(contents.needed.get(of_external(value.name), ()))
            return _document(
                Kind.EXTERNAL,
                value.name,
                None,
                value.uid,
                labels,
                outside,
                {"key": value.key, "users": users},
            )
        case PeeringRecord():
            return _peering(record, contents)
        case PolicyRecord(value, tenant, labels):
            kind = Kind.OPERATOR_POLICY if tenant is None else Kind.SECURITY_POLICY
            says, status = policy_spec(value.policy), _seats(value)
            return _document(kind, value.policy.name, tenant, value.uid, labels, says, status)
        case LinkRecord(value, tenants):
            return _document(Kind.LINK, link_name(*tenants), None, value.uid, (), {}, {"key": value.key})
        case FloatingRecord():
            return _floating(record, contents)
        case NetworkRecord():
            return _network(record, contents)
        case PortRecord():
            return _port(record, contents, states)
        case ClassRecord(value, version, effective, labels):
            spec: Document = {"prefixes": [str(p) for p in value.prefixes]}
            if value.relations:
                spec["relations"] = [r.value for r in value.relations]
            if effective is not None:
                spec["effective"] = effective.isoformat().replace("+00:00", "Z")
            status: Document = {"id": value.id, "version": version}
            if value.since:
                former = {"prefixes": [str(p) for p in value.former]}
                status["until"] = former | {"relations": [r.value for r in value.former_relations]}
            return _document(Kind.EGRESS_CLASS, value.name, None, value.uid, labels, spec, status)
        case SkuRecord(value, labels):
            return _document(Kind.SKU, value.name, None, "", labels, *hardware.sku(record, contents))
        case FabricRecord(value, labels):
            return _document(Kind.FABRIC, value.name, None, "", labels, *hardware.fabric(record, contents))
        case NodeRecord(value, labels):
            return _document(Kind.NODE, value.name, None, "", labels, *hardware.node(record, contents))
        case HypervisorRecord():
            return _hypervisor(record, contents)
        case RouteRecord(value, tenant, labels):
            way: Document = {"prefix": str(value.prefix), "nextHops": [str(a) for a in value.next_hops]}
            return _document(Kind.ROUTE, value.name, tenant, value.uid, labels, way, {})


def _document(
    kind: Kind, name: str, tenant: str | None, uid: str, labels: Labels, spec: Document, status: Document
) -> Document:
    metadata: Document = {"name": name}
    if tenant is not None:
        metadata["tenant"] = tenant
    if labels:
        metadata["labels"] = dict(labels)
    if uid:
        metadata["uid"] = uid
    made: Document = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": metadata}
    if spec:
        made["spec"] = spec
    return made | {"status": status}


def _tenant(record: TenantRecord, contents: Contents) -> Document:
    value = record.value
    spec: Document = {"l3vni": value.l3vni} if value.l3vni else {}
    status: Document = {"key": value.key, "networks": len(contents.networks_of.get(value.name, ()))}
    if value.egress is not Egress.NONE:
        spec["egress"] = value.egress.value
        status["egressAddresses"] = [str(a) for a in value.egress_addresses]
        status["gateways"] = list(value.gateways)
    if record.external:
        spec["external"] = record.external
    if value.public_prefixes:
        spec["publicPrefixes"] = [str(p) for p in value.public_prefixes]
    spec |= _rules(value.rules, value.distinguisher) | gangs.quota_document(record.quota)
    spec |= defaults_spec(value.defaults)
    if any(value.seats):
        named = zip(("out", "in"), value.seats, strict=True)
        status["defaults"] = {name: number for name, number in named if number}
    status |= gangs.holding_document(value.name, contents.ledger)
    return _document(Kind.TENANT, value.name, None, value.uid, record.labels, spec, status)


def _rules(rules: Rules, distinguisher: int) -> Document:
    """As they were written; what is derived by itself is left out."""
    found: Document = {
        "importTargets": [member_text(one) for one in rules.imports],
        "exportTargets": [member_text(one) for one in rules.exports],
        "communities": [any_text(one) for one in rules.all_communities],
    }
    found = {name: texts for name, texts in found.items() if texts}
    return found | ({"distinguisher": distinguisher} if distinguisher else {})


def _floating(record: FloatingRecord, contents: Contents) -> Document:
    value = record.value
    spec: Document = {"external": record.external, "address": str(value.address)}
    if record.port:
        spec["port"] = record.port
    binding = contents.bindings.get(value.port)
    host = binding.host if binding is not None and binding.active else ""
    status: Document = {"target": "" if value.target is None else str(value.target), "host": host}
    return _document(Kind.FLOATING_IP, value.name, record.tenant, value.uid, record.labels, spec, status)


def _peering(record: PeeringRecord, contents: Contents) -> Document:
    value = record.value
    spec: Document = {"peer": record.peer, "prefixes": [str(p) for p in value.prefixes]}
    link = contents.links.get(link_name(record.tenant, record.peer))
    answered = peer_claim(record.peer, record.tenant) in contents.owners
    status: Document = {"state": "complete" if answered else "half"}
    if link is not None:
        status |= {"key": link.value.key, "vni": link.value.l3vni}
    return _document(Kind.PEERING, value.name, record.tenant, value.uid, record.labels, spec, status)


def _seats(value: Standing) -> Document:
    """The numbers of its rules and defaults, by which counters and traces name them."""
    given = (("out", value.outward), ("in", value.inward))
    numbers = {name: seat.number for name, seat in given if seat is not None}
    found: Document = {"rules": [seat.number for seat in value.seats], "defaults": numbers}
    return found | ({"state": "unreadable"} if unread(value) else {})


def _network(record: NetworkRecord, contents: Contents) -> Document:
    value = record.value
    spec: Document = {
        "subnets": [str(s) for s in value.subnets],
        "vni": value.vni,
        "mtu": value.mtu,
        "replicate": value.replicate,
        "routed": value.routed,
    }
    if value.dscp is not None:
        spec["dscp"] = value.dscp
    spec |= _guidance(value.guidance)
    spec |= _rules(value.rules, value.distinguisher)
    status = {"key": value.key, "ports": len(contents.members.get((record.tenant, value.name), ()))}
    return _document(Kind.NETWORK, value.name, record.tenant, value.uid, record.labels, spec, status)


def _guidance(value: Guidance) -> Document:
    """What differs from the usual."""
    found: Document = {} if value.answers else {"dhcp": False}
    found |= {"resolvers": [str(a) for a in value.resolvers]} if value.resolvers else {}
    found |= {} if value.names else {"names": False}
    found |= {"domain": value.domain} if value.domain else {}
    found |= {"search": list(value.search)} if value.search else {}
    routes = [{"prefix": str(prefix), "nextHop": str(hop)} for prefix, hop in value.routes]
    found |= {"guestRoutes": routes} if routes else {}
    return found | ({} if value.lease == USUAL.lease else {"lease": value.lease})


def _port(record: PortRecord, contents: Contents, states: Mapping[tuple[str, str], PortReport]) -> Document:
    value = record.value
    spec: Document = {
        "network": record.network,
        "mac": format_mac(value.mac),
        "addresses": [str(a) for a in value.addresses],
        "hosts": list(value.hosts),
    }
    if value.allowed:
        spec["allowedAddresses"] = [_pair(pair) for pair in value.allowed]
    rates = (("rateOut", value.rate_out), ("rateIn", value.rate_in))
    spec |= {name: rate for name, rate in rates if rate}
    if not value.enabled:
        spec["enabled"] = False
    if value.sticky:
        spec["sticky"] = True
    if value.vf is not None:
        spec["vf"] = {"pf": value.vf.pf, "index": value.vf.index, "for": value.vf.use.value}
    seed = record.seed
    told = (("instance", seed.first), ("publicKeys", list(seed.keys)), ("userData", seed.data))
    spec |= {name: said for name, said in told if said}
    status: Document = {"key": value.key} | _location(record, contents, states)
    if value.migration:
        status["movingTo"] = value.migration
    return _document(Kind.PORT, value.name, record.tenant, value.uid, record.labels, spec, status)


def _pair(pair: Pair) -> Document:
    return {"prefix": str(pair.prefix)} | ({} if pair.mac is None else {"mac": format_mac(pair.mac)})


def _location(
    record: PortRecord, contents: Contents, states: Mapping[tuple[str, str], PortReport]
) -> Document:
    """Where the port lives and how it is there."""
    value = record.value
    binding = contents.bindings.get(value.key)
    if binding is not None and binding.active:
        said = states.get((binding.host, value.uid))
        state = said.state.value if said else "bound"
        reason = said.reason if said else "its host has not reported it yet"
        return {"host": binding.host, "sequence": binding.sequence, "state": state, "reason": reason}
    for host in value.hosts:
        declared = contents.hypervisors.get(host)
        if declared is not None and declared.value.external:
            return {"host": host, "state": "external", "reason": ""}
        said = states.get((host, value.uid))
        if said is not None:
            return {"host": "", "state": said.state.value, "reason": f"{host}: {said.reason}"}
    reason = "no host has its interface yet" if value.hosts else "its hosts name nobody"
    return {"host": "", "state": "unbound", "reason": reason}


def _hypervisor(record: HypervisorRecord, contents: Contents) -> Document:
    value = record.value
    spec: Document = {
        "vtep": str(value.vtep),
        "routerId": str(IPv4Address(value.router_id)),
        "external": value.external,
    }
    spec |= {name: True for name, duty in (("border", value.border), ("gateway", value.gateway)) if duty}
    if value.segments:
        spec["segments"] = [segment_text(one) for one in value.segments]
    if value.partner:
        spec["partner"] = value.partner
    status: Document = {"ports": len(contents.uses.get(value.name, ())), "frozen": value.frozen}
    return _document(Kind.HYPERVISOR, value.name, None, "", record.labels, spec, status)
