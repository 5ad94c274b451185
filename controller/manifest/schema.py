"""The manifest's kinds and fields, declared as data: what may stand where, how it is read, what it means.

Place: drives `controller.manifest.draft`, the OpenAPI description and the reference in docs/cli.md.
Must not hold rules that span fields or objects.
"""

from __future__ import annotations

from typing import Final

from controller.manifest import readers
from controller.manifest.fields import (
    HOST_NAME,
    LABELS,
    NAME,
    TENANT_NAME,
    FieldRule,
    KindRule,
    Presence,
    Shape,
)
from controller.manifest.guidance import GUIDANCE
from controller.manifest.hardware import FABRIC, NODE, PORT_VF, QUOTA, SKU
from controller.manifest.policies import OPERATOR_POLICY, SECURITY_POLICY, TENANT_DEFAULTS
from controller.manifest.routing import routing_rules
from controller.manifest.seeds import SEED
from controller.manifest.ways import EXTERNAL, FLOATING_IP, PEERING, ROUTE
from model.wanted import Kind

API_VERSION: Final = "ringfence/v1"

TENANT: Final = KindRule(
    Kind.TENANT,
    "tenants",
    ("t",),
    "A customer: a routing table of its own. Tenants never see each other.",
    (
        NAME,
        LABELS,
        FieldRule(
            "spec",
            "l3vni",
            readers.read_vni,
            "VXLAN network identifier of its routed traffic, 1 to 16777215 but 16777214, no network's; given"
            " a free one if left out. Can't be changed.",
            "6001",
        ),
        FieldRule(
            "spec",
            "egress",
            readers.read_egress,
            "Its way out of the cluster: none; `fabric`: by what borders announce, under its own addresses;"
            " `snat`: behind an address of its own, on gateway hosts (default none).",
            "snat",
        ),
        FieldRule(
            "spec",
            "external",
            readers.read_name,
            "The external network that its address comes from. Needed for `egress: snat`.",
            "internet",
        ),
        FieldRule(
            "spec",
            "publicPrefixes",
            readers.read_pool,
            "What is its own beyond private addresses (10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7):"
            " with `egress: fabric` borders are told its subnets, routes and allowed addresses, and they must"
            " lie in either. Apart from other tenants' and from pools of external networks (default none).",
            "[192.0.2.0/24]",
            shape=Shape.MANY,
            most=64,
        ),
        *routing_rules("its VRF", "L3VNI"),
        QUOTA,
        TENANT_DEFAULTS,
    ),
)
NETWORK: Final = KindRule(
    Kind.NETWORK,
    "networks",
    ("net", "nets"),
    "A layer 2 segment of a tenant, one VXLAN VNI.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        FieldRule(
            "spec",
            "subnets",
            readers.read_subnet,
            "At most one IPv4 and one IPv6 subnet. The first address of each is the gateway's.",
            "[10.0.0.0/24, fd00:0:0:1::/64]",
            shape=Shape.MANY,
        ),
        FieldRule(
            "spec",
            "vni",
            readers.read_vni,
            "VXLAN network identifier, 1 to 16777215 but 16777214; given a free one if left out."
            " Can't be changed.",
            "5001",
        ),
        FieldRule(
            "spec",
            "mtu",
            readers.read_mtu,
            "MTU of the workloads, 576 to 9216. Default: what fits below when the network is made: 1450, or"
            " 1430 if a VTEP has an IPv6 address; less if a host reports a device with less than 1500.",
            "1450",
        ),
        FieldRule(
            "spec",
            "replicate",
            readers.read_flag,
            "Send broadcast and multicast to every host of the network (default false: dropped and counted).",
            "false",
        ),
        FieldRule(
            "spec",
            "routed",
            readers.read_flag,
            "The gateway answers and routes to the tenant's other routed networks (default true).",
            "true",
        ),
        FieldRule(
            "spec",
            "gateways",
            readers.read_address,
            "Only checked: the gateway of a subnet is its first address, always.",
            "[10.0.0.1]",
            shape=Shape.MANY,
        ),
        FieldRule(
            "spec",
            "dscp",
            readers.read_dscp,
            "What all packets of its ports are marked with (default none: they keep theirs).",
            "46",
        ),
        *GUIDANCE,
        *routing_rules("it", "VNI"),
    ),
)
MOST_PREFIXES: Final = 20_000
"""Of an egress class: more than all prefixes of a large peer, and a bundle that a standstill has room for."""
EGRESS_CLASS: Final = KindRule(
    Kind.EGRESS_CLASS,
    "egressclasses",
    ("egress-class", "egress-classes", "class", "classes"),
    "A class of destinations on the bill. Longest prefix first.",
    (
        NAME,
        LABELS,
        FieldRule(
            "spec",
            "prefixes",
            readers.read_prefix,
            "The destinations, up to 20,000. A prefix may stand in one class only.",
            "[203.0.113.0/24]",
            shape=Shape.MANY,
            most=MOST_PREFIXES,
        ),
        FieldRule(
            "spec",
            "relations",
            readers.read_relation,
            "Destinations that no prefix tells: in another network of the sender's tenant, across a peering,"
            " or any public address that no prefix takes. A relation may stand in one class only.",
            "[same-tenant]",
            shape=Shape.MANY,
        ),
        FieldRule(
            "spec",
            "effective",
            readers.read_moment,
            "From when they hold, by the clock of each host (default: at once). What held before, does until"
            " then.",
            '"2026-02-01T00:00:00Z"',
        ),
    ),
)
HYPERVISOR: Final = KindRule(
    Kind.HYPERVISOR,
    "hypervisors",
    ("hv", "hvs", "host", "hosts"),
    "A host that tunnels start and end at.",
    (
        HOST_NAME,
        LABELS,
        FieldRule("spec", "vtep", readers.read_vtep, "Its tunnel address.", "192.0.2.11", Presence.REQUIRED),
        FieldRule(
            "spec",
            "routerId",
            readers.read_router_id,
            "BGP identifier; the VTEP's own number if that is IPv4, else required.",
            "192.0.2.11",
        ),
        FieldRule(
            "spec",
            "external",
            readers.read_flag,
            "true: no agent of ours runs there (FRR, SONiC); manifests say its ports (default false).",
            "false",
        ),
        FieldRule(
            "spec",
            "border",
            readers.read_flag,
            "It leads out of the cluster: what it announces is believed. Needs `external: true` (default"
            " false).",
            "false",
        ),
        FieldRule(
            "spec",
            "gateway",
            readers.read_flag,
            "It may translate for tenants with `egress: snat`. Not for external hosts (default false).",
            "false",
        ),
        FieldRule(
            "spec",
            "segments",
            readers.read_segment,
            "Ethernet segments (RFC 7432) that it is on: what it says of them is believed, and ports may"
            " have several external hosts that share one. Needs `external: true` (default none).",
            "['00:11:22:33:44:55:66:77:88:99']",
            shape=Shape.MANY,
            most=64,
        ),
        FieldRule(
            "spec",
            "partner",
            readers.read_partner,
            "The other DPU of the same server, which names this one as well: only one of them serves ports at"
            " a time. `none` takes it back (default none).",
            "hv2",
        ),
    ),
)
PORT: Final = KindRule(
    Kind.PORT,
    "ports",
    ("p",),
    "A workload's interface in a network. Its uid is the `external_ids:iface-id` of the OVS interface.",
    (
        NAME,
        TENANT_NAME,
        LABELS,
        FieldRule(
            "spec",
            "network",
            readers.read_name,
            "The network, of the same tenant. Can't be changed.",
            "front",
            Presence.REQUIRED,
        ),
        FieldRule(
            "spec", "mac", readers.read_mac, "Unicast MAC; allocated if left out.", '"02:00:00:00:00:01"'
        ),
        FieldRule(
            "spec",
            "addresses",
            readers.read_address,
            "Its addresses; left out: one of each subnet is allocated; `[]`: none.",
            "[10.0.0.5]",
            shape=Shape.MANY,
        ),
        FieldRule(
            "spec",
            "hosts",
            readers.read_host,
            "Hypervisors that may bind it; none by default.",
            "[hv1, hv2]",
            shape=Shape.MANY,
        ),
        FieldRule(
            "spec",
            "allowedAddresses",
            readers.read_unicast,
            "What it may use besides its own (VRRP, containers in a VM): a prefix, and the MAC if it is"
            " not the port's own. Never the gateway or another port's own address.",
            '[{prefix: 10.0.0.100/32, mac: "00:00:5e:00:01:0a"}]',
            shape=Shape.RECORDS,
            most=64,
            parts=(
                FieldRule("pair", "prefix", readers.read_unicast, "", "10.0.0.100/32", Presence.REQUIRED),
                FieldRule("pair", "mac", readers.read_mac, "", '"00:00:5e:00:01:0a"'),
            ),
        ),
        FieldRule(
            "spec",
            "rateOut",
            readers.read_rate,
            "Most that the workload may send, 64 kbit/s to 400 Gbit/s (default none).",
            "100M",
        ),
        FieldRule(
            "spec", "rateIn", readers.read_rate, "Most that it is sent, likewise (default none).", "1G"
        ),
        FieldRule(
            "spec", "enabled", readers.read_flag, "false: the port passes nothing (default true).", "true"
        ),
        FieldRule(
            "spec",
            "sticky",
            readers.read_flag,
            "true: announced as static (RFC 7432 section 15.2); it moves by its hosts or a migration only"
            " (default false).",
            "false",
        ),
        PORT_VF,
        *SEED,
    ),
)

KINDS: Final = (
    HYPERVISOR, SKU, FABRIC, NODE, EXTERNAL, TENANT, NETWORK, EGRESS_CLASS, PORT, ROUTE, FLOATING_IP, PEERING,
    OPERATOR_POLICY, SECURITY_POLICY,
)  # fmt: skip
"""In the order in which they are written."""


def find_kind(word: str) -> KindRule | None:
    """The kind that a person means: any case, singular, plural or short form; None if none fits."""
    lowered = word.lower()
    for rule in KINDS:
        if lowered in {rule.kind.value.lower(), rule.plural, *rule.short}:
            return rule
    return None
