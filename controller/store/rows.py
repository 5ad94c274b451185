"""Rows: database rows to model values and back to columns. One function per table; all pure.

Place: the edge where the store's JSON (RFC 7047 section 5.1) becomes typed values: `watch`, `cache` and
`writer` go through here. Every parser raises ValueError for a row that does not fit; the caller skips that
row only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address, ip_address, ip_network
from typing import Any, Final

from controller.store.guidance_texts import guidance_text, parse_guidance
from controller.store.policy_texts import defaults_text, parse_defaults
from ipam.pools import Pool, PoolKind, parse_range, render_range
from model.addresses import Address, format_mac, parse_mac
from model.gang import Quota
from model.ids import HostName, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import (
    Binding,
    Cluster,
    Egress,
    Guard,
    Hypervisor,
    Network,
    Pair,
    Policy,
    Port,
    Tenant,
)
from model.order import address_rank, pair_rank, prefix_rank
from model.outlet import Outlet, format_outlet, parse_outlet
from model.policy import Defaults
from model.segments import parse_segment, segment_text
from model.targets import Rules, any_text, member_text, parse_any, parse_member, rules
from model.wanted import Labels

Row = Mapping[str, Any]
"""Column -> JSON value as OVSDB writes it."""
Columns = dict[str, Any]

ABSENT: Final = ["set", []]


def texts(value: Any) -> tuple[str, ...]:
    """A set of strings: `["set", [...]]`, or the bare value if there is just one."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return tuple(str(item) for item in value[1])
    raise ValueError(f"{value!r} is no set of texts")


def text_set(items: Iterable[str]) -> list[Any]:
    """A set of strings as OVSDB's JSON. Inverse of texts."""
    return ["set", list(items)]


def optional(value: Any) -> Any:
    """The value of an optional scalar; None if it is absent (`["set", []]`)."""
    if isinstance(value, list) and value[:1] != ["uuid"]:
        if value != ABSENT:
            raise ValueError(f"{value!r} is no optional value")
        return None
    return value


def optional_text(value: Any) -> str:
    """An optional text; empty if it is absent."""
    return str(optional(value) or "")


def reference(value: Any) -> Uid:
    """A reference to a row: `["uuid", "..."]`."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "uuid":
        return Uid(str(value[1]))
    raise ValueError(f"{value!r} is no reference")


def labels(value: Any) -> Labels:
    """A map of strings: `["map", [[key, value], ...]]`."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "map":
        return tuple(sorted((str(k), str(v)) for k, v in value[1]))
    raise ValueError(f"{value!r} is no map")


def cluster(uid: Uid, row: Row) -> Cluster:
    """Table Cluster. Its row's uid is the cluster's id."""
    return Cluster(uid, int(row["generation"]), int(row["asn"]), addresses(row["reflectors"]), _policy(row))


def _policy(row: Row) -> Policy:
    """A guard that this version does not know is the strictest."""
    word = optional_text(row["guard"])
    guards = {each.value: each for each in Guard}
    return Policy(
        guards.get(word, Guard.ENFORCE),
        _number(row["peer_routes"]),
        _number(row["tenant_routes"]),
        _number(row["mac_moves"]),
        _number(row["mac_window"]),
    )


def _number(value: Any) -> int | None:
    found = optional(value)
    return None if found is None else int(found)


def pool(row: Row) -> Pool:
    """Table Pool."""
    return parse_range(str(row["name"]), PoolKind(row["kind"]), str(row["first"]), str(row["last"]))


def hypervisor(row: Row) -> Hypervisor:
    """Table Hypervisor. The router id is dotted text, as people write it."""
    router_id = int(IPv4Address(row["router_id"]))
    return Hypervisor(
        name=HostName(str(row["name"])),
        vtep=ip_address(row["vtep"]),
        router_id=router_id,
        external=bool(row["external"]),
        frozen=bool(row["frozen"]),
        confirm=str(row["confirm"]),
        border=bool(optional(row["border"])),
        gateway=bool(optional(row["gateway"])),
        segments=tuple(sorted(parse_segment(one) for one in texts(row["segments"]))),
        partner=HostName(optional_text(row["partner"])),
    )


def tenant(uid: Uid, row: Row) -> Tenant:
    """Table Tenant."""
    active = optional_text(row["gateway_active"])
    defaults, seats = own_defaults(row)
    gateways = sorted((HostName(h) for h in texts(row["gateways"])), key=lambda host: (host != active, host))
    return Tenant(
        uid=uid,
        name=str(row["name"]),
        key=TenantKey(int(row["key"])),
        l3vni=Vni(int(optional(row["l3vni"]) or 0)),
        egress=Egress(optional_text(row["egress"]) or Egress.NONE.value),
        external=TenantKey(int(optional(row["external_key"]) or 0)),
        egress_addresses=addresses(row["egress_addresses"]),
        gateways=tuple(gateways),
        public_prefixes=tuple(
            sorted((ip_network(p) for p in texts(row["public_prefixes"])), key=prefix_rank)
        ),
        rules=_rules(row),
        distinguisher=optional(row["distinguisher"]) or 0,
        labels=labels(row["labels"]),
        defaults=defaults,
        seats=seats,
    )


def own_defaults(row: Row) -> tuple[Defaults, tuple[int, int]]:
    """Table Tenant: what becomes of what no policy decides, and the numbers of both. One without a number
    would be no default at all."""
    defaults = parse_defaults(optional_text(row["defaults"]))
    seats = (int(optional(row["default_out"]) or 0), int(optional(row["default_in"]) or 0))
    if (defaults.outward is None, defaults.inward is None) != (not seats[0], not seats[1]):
        raise ValueError("its defaults and their numbers differ")
    return defaults, seats


def quota(row: Row) -> Quota:
    """Table Tenant, of its gangs."""
    return Quota(_number(row["quota_gangs"]), _number(row["quota_interfaces"]))


def _rules(row: Row) -> Rules:
    """What EVPN routes of a network or VRF bear."""
    return rules(
        (parse_member(one) for one in texts(row["import_targets"])),
        (parse_member(one) for one in texts(row["export_targets"])),
        (parse_any(one) for one in texts(row["communities"])),
    )


def _rule_columns(value: Rules) -> Columns:
    """Inverse of _rules."""
    return {
        "import_targets": text_set(member_text(one) for one in value.imports),
        "export_targets": text_set(member_text(one) for one in value.exports),
        "communities": text_set(any_text(one) for one in value.all_communities),
    }


def network(uid: Uid, row: Row, parent: TenantKey) -> Network:
    """Table Network; `parent`: the key of the tenant that the row refers to."""
    return Network(
        uid=uid,
        tenant=parent,
        name=str(row["name"]),
        key=NetworkKey(int(row["key"])),
        vni=Vni(int(row["vni"])),
        subnets=tuple(sorted((ip_network(s) for s in texts(row["subnets"])), key=prefix_rank)),
        mtu=int(row["mtu"]),
        replicate=bool(row["replicate"]),
        routed=optional(row["routed"]) is not False,
        dscp=optional(row["dscp"]),
        rules=_rules(row),
        distinguisher=optional(row["distinguisher"]) or 0,
        labels=labels(row["labels"]),
        guidance=parse_guidance(optional_text(row["guidance"])),
    )


def port(uid: Uid, row: Row, parent: NetworkKey) -> Port:
    """Table Port; `parent`: the key of the network that the row refers to."""
    return Port(
        uid=uid,
        network=parent,
        name=str(row["name"]),
        key=PortKey(int(row["key"])),
        mac=parse_mac(str(row["mac"])),
        addresses=addresses(row["addresses"]),
        hosts=tuple(HostName(h) for h in sorted(texts(row["hosts"]))),
        allowed=tuple(sorted((_pair(p) for p in texts(row["allowed"])), key=pair_rank)),
        rate_out=int(optional(row["rate_out"]) or 0),
        rate_in=int(optional(row["rate_in"]) or 0),
        enabled=optional(row["enabled"]) is not False,
        migration=HostName(str(optional(row["migration"]) or "")),
        activate=bool(optional(row["activate"])),
        sticky=bool(optional(row["sticky"])),
        vf=outlet(row["vf"]),
        labels=labels(row["labels"]),
    )


def outlet(cell: object) -> Outlet | None:
    """Column vf of table Port."""
    text = optional(cell)
    return None if text is None else parse_outlet(str(text))


def binding(row: Row, key: PortKey) -> Binding:
    """Table Binding; `key`: of the port that the row refers to."""
    return Binding(key, HostName(str(row["host"])), int(row["sequence"]), bool(row["active"]))


def cluster_columns(value: Cluster) -> Columns:
    """Inverse of cluster, but for the uid."""
    return {
        "generation": value.generation,
        "asn": value.asn,
        "reflectors": text_set(str(a) for a in value.reflectors),
        "guard": value.policy.guard.value,
        "peer_routes": _present(value.policy.peer_routes),
        "tenant_routes": _present(value.policy.tenant_routes),
        "mac_moves": _present(value.policy.mac_moves),
        "mac_window": _present(value.policy.mac_window),
    }


def _present(number: int | None) -> Any:
    return ABSENT if number is None else number


def pool_columns(value: Pool) -> Columns:
    """Inverse of pool."""
    first, last = render_range(value)
    return {"name": value.name, "kind": value.kind.value, "first": first, "last": last}


def hypervisor_columns(value: Hypervisor, tags: Labels) -> Columns:
    """Inverse of hypervisor."""
    return {
        "name": value.name,
        "vtep": str(value.vtep),
        "router_id": str(IPv4Address(value.router_id)),
        "external": value.external,
        "frozen": value.frozen,
        "confirm": value.confirm,
        "border": value.border or ABSENT,
        "gateway": value.gateway or ABSENT,
        "segments": text_set(segment_text(one) for one in value.segments),
        "partner": value.partner or ABSENT,
        "labels": label_map(tags),
    }


def tenant_columns(value: Tenant, external: Uid | None, tags: Labels, most: Quota) -> Columns:
    """Inverse of tenant and quota; `external`: uid of the external network.

    A set has no order: hence the active one. Which of the standbys is next matters only among three,
    and there are two.
    """
    return {
        "name": value.name,
        "key": value.key,
        "l3vni": value.l3vni or ABSENT,
        "egress": ABSENT if value.egress is Egress.NONE else value.egress.value,
        "external": ABSENT if external is None else ["uuid", external],
        "external_key": value.external or ABSENT,
        "egress_addresses": text_set(str(a) for a in value.egress_addresses),
        "gateways": text_set(sorted(value.gateways)),
        "gateway_active": value.gateways[0] if value.gateways else ABSENT,
        "public_prefixes": text_set(str(p) for p in value.public_prefixes),
        **_rule_columns(value.rules),
        "distinguisher": value.distinguisher or ABSENT,
        "quota_gangs": _present(most.gangs),
        "quota_interfaces": _present(most.interfaces),
        "defaults": defaults_text(value.defaults) or ABSENT,
        "default_out": value.seats[0] or ABSENT,
        "default_in": value.seats[1] or ABSENT,
        "labels": label_map(tags),
    }


def network_columns(value: Network, parent: Uid, tags: Labels) -> Columns:
    """Inverse of network; `parent`: uid of the tenant."""
    return {
        "tenant": ["uuid", parent],
        "name": value.name,
        "key": value.key,
        "vni": value.vni,
        "subnets": text_set(str(s) for s in value.subnets),
        "mtu": value.mtu,
        "replicate": value.replicate,
        # Absent = true, as rows of before 1.2.0 have it: one value has one form, which `wait`s compare.
        "routed": ABSENT if value.routed else False,
        "dscp": ABSENT if value.dscp is None else value.dscp,
        **_rule_columns(value.rules),
        "distinguisher": value.distinguisher or ABSENT,
        "guidance": guidance_text(value.guidance) or ABSENT,
        "labels": label_map(tags),
    }


def port_columns(value: Port, tenant_uid: Uid, network_uid: Uid, tags: Labels) -> Columns:
    """Inverse of port."""
    return {
        "tenant": ["uuid", tenant_uid],
        "network": ["uuid", network_uid],
        "name": value.name,
        "key": value.key,
        "mac": format_mac(value.mac),
        "addresses": text_set(str(a) for a in value.addresses),
        "hosts": text_set(value.hosts),
        "allowed": text_set(_pair_text(p) for p in value.allowed),
        "rate_out": value.rate_out or ABSENT,
        "rate_in": value.rate_in or ABSENT,
        "enabled": ABSENT if value.enabled else False,
        "migration": value.migration or ABSENT,
        "activate": True if value.activate else ABSENT,
        "sticky": True if value.sticky else ABSENT,
        "vf": ABSENT if value.vf is None else format_outlet(value.vf),
        "labels": label_map(tags),
    }


def settled_columns() -> Columns:
    """Of a port that has arrived where it was moving to."""
    return {"migration": ABSENT, "activate": ABSENT}


def addresses(value: Any) -> tuple[Address, ...]:
    """A set of addresses, in order."""
    return tuple(sorted((ip_address(a) for a in texts(value)), key=address_rank))


def _pair(text: str) -> Pair:
    """`10.0.0.9/32`, or with its MAC behind a space."""
    prefix, _, mac = text.partition(" ")
    return Pair(ip_network(prefix), parse_mac(mac) if mac else None)


def _pair_text(pair: Pair) -> str:
    return str(pair.prefix) if pair.mac is None else f"{pair.prefix} {format_mac(pair.mac)}"


def label_map(pairs: Labels) -> list[Any]:
    """Inverse of labels."""
    return ["map", [[key, value] for key, value in pairs]]
