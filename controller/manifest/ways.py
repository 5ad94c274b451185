"""Kinds of what leads beyond a network, declared as data: routes, external networks, floating IPs, peerings.

Place: part of `controller.manifest.schema`. Must not hold rules that span fields or objects.
"""

from __future__ import annotations

from typing import Final

from controller.manifest import readers
from controller.manifest.fields import LABELS, NAME, TENANT_NAME, FieldRule, KindRule, Presence, Shape
from model.wanted import Kind

ROUTE: Final = KindRule(
    Kind.ROUTE,
    "routes",
    ("rt",),
    "A static route of a tenant: a prefix behind its own ports.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        FieldRule(
            "spec",
            "prefix",
            readers.read_unicast,
            "Where it leads; not inside a subnet of the tenant. One route to a prefix.",
            "172.16.0.0/16",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec",
            "nextHops",
            readers.read_address,
            "Own addresses of ports of the tenant in routed networks, 1 to 16, of the prefix's IP version."
            " Several share the load.",
            "[10.0.0.5, 10.0.0.6]",
            Presence.REQUIRED,
            Shape.MANY,
            most=16,
        ),
    ),
)
EXTERNAL: Final = KindRule(
    Kind.EXTERNAL,
    "externals",
    ("ext", "exts"),
    "A network outside the cluster, reached through borders: a routing table of its own, in which tenants"
    " have addresses.",
    (
        NAME,
        LABELS,
        FieldRule(
            "spec",
            "pools",
            readers.read_pool,
            "Addresses of ours in it, handed out as floating IPs and to tenants with `egress: snat`. Apart"
            " from those of other external networks, and from subnets of tenants that use it.",
            "[203.0.113.0/24, 2001:db8:f::/64]",
            Presence.REQUIRED,
            Shape.MANY,
            most=64,
        ),
        FieldRule(
            "spec",
            "vni",
            readers.read_vni,
            "VXLAN network identifier of its traffic, 1 to 16777215 but 16777214; given a free one if left"
            " out. Can't be changed.",
            "7001",
        ),
    ),
)
FLOATING_IP: Final = KindRule(
    Kind.FLOATING_IP,
    "floatingips",
    ("floating-ip", "floating-ips", "fip", "fips"),
    "An address outside that stands for a port, one to one.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        FieldRule(
            "spec",
            "external",
            readers.read_name,
            "The external network. Can't be changed.",
            "internet",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec",
            "address",
            readers.read_address,
            "Of one of its pools; given a free one if left out. Can't be changed.",
            "203.0.113.80",
        ),
        FieldRule(
            "spec",
            "family",
            readers.read_family,
            "Of the address that is given (default: IPv4 if external network and port have it).",
            "ipv6",
        ),
        FieldRule(
            "spec",
            "port",
            readers.read_reference,
            'The port of the same tenant; `""`: nobody. It stands for its first address of that family.',
            "web-1",
        ),
    ),
)
PEERING: Final = KindRule(
    Kind.PEERING,
    "peerings",
    ("peer", "peers"),
    "One tenant's half of a peering: what it lets another reach. Packets pass, both ways, only between what"
    " both have declared, and only while both halves are there.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        FieldRule(
            "spec",
            "peer",
            readers.read_name,
            "The other tenant, one half for each. Can't be changed.",
            "globex",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec",
            "prefixes",
            readers.read_unicast,
            "What the peer may reach: in the tenant's own routed subnets or routes, apart from the peer's.",
            "[10.0.2.0/24]",
            Presence.REQUIRED,
            Shape.MANY,
            most=256,
        ),
    ),
)
