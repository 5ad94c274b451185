"""Ways: rows of what leads beyond a network to model values and back: routes, external
networks, floating IPs, peerings.

Place: as `controller.store.rows`, whose readers it uses. Pure. Must not do I/O.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from controller.store.rows import (
    ABSENT,
    Columns,
    Row,
    addresses,
    label_map,
    optional,
    optional_text,
    text_set,
    texts,
)
from ipam.contents import Half, Link
from model.addresses import Prefix
from model.ids import PortKey, TenantKey, Uid, Vni
from model.intent import External, FloatingIp, Peering, Side, StaticRoute
from model.order import prefix_rank
from model.wanted import Labels


def route(uid: Uid, row: Row, parent: TenantKey) -> StaticRoute:
    """Table Route; `parent`: the key of the tenant that the row refers to."""
    prefix, hops = ip_network(str(row["prefix"])), addresses(row["next_hops"])
    return StaticRoute(uid, parent, str(row["name"]), prefix, hops)


def route_columns(value: StaticRoute, parent: Uid, tags: Labels) -> Columns:
    """Inverse of route; `parent`: uid of the tenant."""
    return {
        "tenant": ["uuid", parent],
        "name": value.name,
        "prefix": str(value.prefix),
        "next_hops": text_set(str(a) for a in value.next_hops),
        "labels": label_map(tags),
    }


def external(uid: Uid, row: Row) -> External:
    """Table External."""
    return External(
        uid=uid,
        name=str(row["name"]),
        key=TenantKey(int(row["key"])),
        l3vni=Vni(int(row["l3vni"])),
        pools=_prefixes(row["pools"]),
    )


def external_columns(value: External, tags: Labels) -> Columns:
    """Inverse of external."""
    return {
        "name": value.name,
        "key": value.key,
        "l3vni": value.l3vni,
        "pools": text_set(str(p) for p in value.pools),
        "labels": label_map(tags),
    }


def floating(uid: Uid, row: Row) -> FloatingIp:
    """Table Floating_Ip: all that an agent must know of it stands in the row."""
    target = optional_text(row["target"])
    return FloatingIp(
        uid=uid,
        tenant=TenantKey(int(row["tenant_key"])),
        name=str(row["name"]),
        external=TenantKey(int(row["external_key"])),
        address=ip_address(str(row["address"])),
        port=PortKey(int(optional(row["port_key"]) or 0)),
        target=ip_address(target) if target else None,
    )


def floating_columns(value: FloatingIp, parent: Uid, outside: Uid, port: Uid | None, tags: Labels) -> Columns:
    """Inverse of floating; the uids of its tenant, external network and port."""
    return {
        "tenant": ["uuid", parent],
        "tenant_key": value.tenant,
        "name": value.name,
        "external": ["uuid", outside],
        "external_key": value.external,
        "address": str(value.address),
        "port": ABSENT if port is None else ["uuid", port],
        "port_key": value.port or ABSENT,
        "target": ABSENT if value.target is None else str(value.target),
        "labels": label_map(tags),
    }


def half(uid: Uid, row: Row) -> Half:
    """Table Peering."""
    return Half(
        uid=uid,
        name=str(row["name"]),
        tenant=TenantKey(int(row["tenant_key"])),
        peer=TenantKey(int(row["peer_key"])),
        prefixes=_prefixes(row["prefixes"]),
    )


def half_columns(value: Half, parent: Uid, peer: Uid, tags: Labels) -> Columns:
    """Inverse of half; the uids of its tenants."""
    return {
        "tenant": ["uuid", parent],
        "tenant_key": value.tenant,
        "name": value.name,
        "peer": ["uuid", peer],
        "peer_key": value.peer,
        "prefixes": text_set(str(p) for p in value.prefixes),
        "labels": label_map(tags),
    }


def link(uid: Uid, row: Row) -> Link:
    """Table Peering_Link."""
    return Link(uid, TenantKey(int(row["key"])), Vni(int(row["l3vni"])))


def link_columns(value: Link, first: Uid, second: Uid) -> Columns:
    """Inverse of link; the uids of its tenants, by their names."""
    return {
        "first": ["uuid", first],
        "second": ["uuid", second],
        "key": value.key,
        "l3vni": value.l3vni,
    }


def peering(value: Link, halves: tuple[Half, Half]) -> Peering:
    """Two halves and their link: what agents see."""
    low, high = sorted(halves, key=lambda each: each.tenant)
    return Peering(value.key, value.l3vni, (Side(low.tenant, low.prefixes), Side(high.tenant, high.prefixes)))


def _prefixes(value: Any) -> tuple[Prefix, ...]:
    return tuple(sorted((ip_network(p) for p in texts(value)), key=prefix_rank))
