"""Ways: rows of what leads beyond a network to model values and back: routes.

Place: as `controller.store.rows`, whose readers it uses. Pure. Must not do I/O.
"""

from __future__ import annotations

from ipaddress import ip_network

from controller.store.rows import Columns, Row, addresses, label_map, text_set
from model.ids import TenantKey, Uid
from model.intent import StaticRoute
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
