"""Schema: the tables of the store as data, with their unique indexes, and the version that the code speaks.

Place: `server` creates and upgrades database files from it, `watch` and `cache` monitor its columns. A change
of the tables raises VERSION: the middle number for additions, which old rows survive as they are. Must not do
I/O.

A row's `_uuid` is the object's uid: it is given at insertion, so that references and iface-ids need no
mapping.
"""

from __future__ import annotations

import json
from typing import Any, Final

from controller.store.records import DATABASE
from model.fabric import PKEYS
from model.hardware import NODE_KEYS
from model.ids import DECLARED_CLASSES, NETWORK_KEYS, PORT_KEYS, RATES, TENANT_KEYS, VNIS
from model.policy import NUMBERS

VERSION: Final = "1.9.0"
"""1.0.0: first. 1.1.0: Tombstone; Egress_Class.effective; Hypervisor.frozen, .confirm; labels of both.
1.2.0: Tenant.l3vni, Network.routed (both optional: absent = none yet, and routed), Vni_Claim.
1.3.0: Network.dscp; Port.allowed, .rate_out, .rate_in, .enabled, .migration, .activate; Hypervisor.border,
.gateway; Tenant.egress, .external, .external_key, .egress_addresses, .gateways, .gateway_active,
.public_prefixes; Binding.key
(all optional: absent = none, and enabled); Route; External; Floating_Ip; Peering,
Peering_Link.
1.4.0: Cluster.guard, .peer_routes, .tenant_routes, .mac_moves, .mac_window (all optional: absent = as the
agent has it); Tenant and Network .import_targets, .export_targets, .communities (all optional: absent = what
is derived, and none).
1.5.0: Hypervisor.segments, .partner; Tenant.distinguisher, Network.distinguisher; Port.sticky;
Tenant.quota_gangs, .quota_interfaces (all optional: absent = none, and the key);
Sku, Fabric, Node; Gang, Gang_Node, Gang_Mark; Lease.
1.6.0: Gang.why, .vouched, .since; Port.vf (all optional: absent = no reason, nobody, not known, and none).
1.7.0: Egress_Class.relations, .since, .former, .former_relations (all optional: absent = none, always).
1.8.0: Policy; Tenant.defaults, .default_out, .default_in (all optional: absent = nothing is said). Hosts read
the labels of tenants, networks and ports.
1.9.0: Network.guidance (optional: absent = the usual); Seed."""
Column = dict[str, Any]

_TEXT: Final[Column] = {"type": "string"}
_WHOLE: Final[Column] = {"type": {"key": {"type": "integer", "minInteger": 0}}}
_COUNT: Final[Column] = {"type": {"key": {"type": "integer", "minInteger": 0}, "min": 0, "max": 1}}
_FLAG: Final[Column] = {"type": "boolean"}
_MAYBE: Final[Column] = {"type": {"key": "boolean", "min": 0, "max": 1}}
_SHORT: Final[Column] = {"type": {"key": "string", "min": 0, "max": 1}}
_MAYBE_TEXT: Final[Column] = {"type": {"key": "string", "min": 0, "max": 1}}
_TEXTS: Final[Column] = {"type": {"key": "string", "min": 0, "max": "unlimited"}}
_LABELS: Final[Column] = {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}}
_RULES: Final = {"import_targets": _TEXTS, "export_targets": _TEXTS, "communities": _TEXTS}


def _within(numbers: range) -> Column:
    return {"type": {"key": {"type": "integer", "minInteger": numbers[0], "maxInteger": numbers[-1]}}}


def _optional(numbers: range) -> Column:
    return {"type": {**_within(numbers)["type"], "min": 0, "max": 1}}


def _one(table: str) -> Column:
    """A strong reference: the server refuses to delete a row that another one needs."""
    return {"type": {"key": {"type": "uuid", "refTable": table, "refType": "strong"}}}


def _maybe(table: str) -> Column:
    """An optional strong reference."""
    return {"type": {**_one(table)["type"], "min": 0, "max": 1}}


def _table(columns: dict[str, Column], *indexes: list[str]) -> dict[str, Any]:
    return {"isRoot": True, "columns": columns, "indexes": list(indexes)}


_TABLES: Final[dict[str, Any]] = {
    "Cluster": {
        "isRoot": True,
        "maxRows": 1,
        "columns": {
            "generation": _WHOLE,
            "asn": _WHOLE,
            "reflectors": _TEXTS,
            "guard": _MAYBE_TEXT,
            "peer_routes": _COUNT,
            "tenant_routes": _COUNT,
            "mac_moves": _COUNT,
            "mac_window": _COUNT,
        },
    },
    "Pool": _table({"name": _TEXT, "kind": _TEXT, "first": _TEXT, "last": _TEXT}, ["name"]),
    "Hypervisor": _table(
        {
            "name": _TEXT,
            "vtep": _TEXT,
            "router_id": _TEXT,
            "external": _FLAG,
            "border": _MAYBE,
            "gateway": _MAYBE,
            "segments": _TEXTS,
            "partner": _MAYBE_TEXT,
            "frozen": _FLAG,
            "confirm": _TEXT,
            "labels": _LABELS,
        },
        ["name"],
        ["vtep"],
        ["router_id"],
    ),
    # l3vni has no index: all rows of an older store lack it. Vni_Claim keeps it unique.
    "Tenant": _table(
        {
            "name": _TEXT,
            "key": _within(TENANT_KEYS),
            "l3vni": _optional(VNIS),
            "egress": _MAYBE_TEXT,
            "external": _maybe("External"),
            "external_key": _optional(TENANT_KEYS),
            "egress_addresses": _TEXTS,
            "gateways": _TEXTS,
            "gateway_active": _MAYBE_TEXT,
            "public_prefixes": _TEXTS,
            **_RULES,
            "distinguisher": _optional(NETWORK_KEYS),
            "quota_gangs": _COUNT,
            "quota_interfaces": _COUNT,
            "defaults": _MAYBE_TEXT,
            "default_out": _optional(NUMBERS),
            "default_in": _optional(NUMBERS),
            "labels": _LABELS,
        },
        ["name"],
        ["key"],
    ),
    "External": _table(
        {
            "name": _TEXT,
            "key": _within(TENANT_KEYS),
            "l3vni": _within(VNIS),
            "pools": _TEXTS,
            "labels": _LABELS,
        },
        ["name"],
        ["key"],
        ["l3vni"],
    ),
    # The keys stand beside the references: who reads it need not see those rows.
    "Floating_Ip": _table(
        {
            "tenant": _one("Tenant"),
            "tenant_key": _within(TENANT_KEYS),
            "name": _TEXT,
            "external": _one("External"),
            "external_key": _within(TENANT_KEYS),
            "address": _TEXT,
            "port": _maybe("Port"),
            "port_key": _optional(PORT_KEYS),
            "target": _MAYBE_TEXT,
            "labels": _LABELS,
        },
        ["tenant", "name"],
        ["external", "address"],
    ),
    "Network": _table(
        {
            "tenant": _one("Tenant"),
            "name": _TEXT,
            "key": _within(NETWORK_KEYS),
            "vni": _within(VNIS),
            "subnets": _TEXTS,
            "mtu": _WHOLE,
            "replicate": _FLAG,
            "routed": _MAYBE,
            "dscp": _optional(range(64)),
            **_RULES,
            "distinguisher": _optional(NETWORK_KEYS),
            "guidance": _MAYBE_TEXT,  # a JSON text (controller.store.guidance_texts): its order counts
            "labels": _LABELS,
        },
        ["tenant", "name"],
        ["key"],
        ["vni"],
    ),
    "Vni_Claim": _table({"vni": _within(VNIS)}, ["vni"]),
    "Egress_Class": _table(
        {
            "name": _TEXT,
            "id": _within(DECLARED_CLASSES),
            "prefixes": _TEXTS,
            "version": _WHOLE,
            "effective": _TEXT,
            "relations": _TEXTS,
            "since": _COUNT,
            "former": _TEXTS,
            "former_relations": _TEXTS,
            "labels": _LABELS,
        },
        ["name"],
        ["id"],
    ),
    "Port": _table(
        {
            "tenant": _one("Tenant"),
            "network": _one("Network"),
            "name": _TEXT,
            "key": _within(PORT_KEYS),
            "mac": _TEXT,
            "addresses": _TEXTS,
            "hosts": _TEXTS,
            "allowed": _TEXTS,
            "rate_out": _optional(RATES),
            "rate_in": _optional(RATES),
            "enabled": _MAYBE,
            "migration": _MAYBE_TEXT,
            "activate": _MAYBE,
            "sticky": _MAYBE,
            "vf": _MAYBE_TEXT,
            "labels": _LABELS,
        },
        ["tenant", "name"],
        ["key"],
        ["mac"],
    ),
    "Address": _table(
        {"network": _one("Network"), "address": _TEXT, "port": _one("Port")}, ["network", "address"]
    ),
    "Binding": _table(
        {
            "port": _one("Port"),
            "key": _optional(PORT_KEYS),
            "network": _one("Network"),
            "host": _TEXT,
            "sequence": _WHOLE,
            "active": _FLAG,
        },
        ["port"],
    ),
    # What a port's instance is told: a row of its own, since hosts of the port alone read it.
    "Seed": _table({"port": _one("Port"), "hosts": _TEXTS, "text": _TEXT}, ["port"]),
    "Route": _table(
        {
            "tenant": _one("Tenant"),
            "name": _TEXT,
            "prefix": _TEXT,
            "next_hops": _TEXTS,
            "labels": _LABELS,
        },
        ["tenant", "name"],
        ["tenant", "prefix"],
    ),
    # What one tenant declares; a peering is there when both have.
    "Peering": _table(
        {
            "tenant": _one("Tenant"),
            "tenant_key": _within(TENANT_KEYS),
            "name": _TEXT,
            "peer": _one("Tenant"),
            "peer_key": _within(TENANT_KEYS),
            "prefixes": _TEXTS,
            "labels": _LABELS,
        },
        ["tenant", "name"],
        ["tenant", "peer"],
    ),
    "Peering_Link": _table(
        {
            "first": _one("Tenant"),
            "second": _one("Tenant"),
            "key": _within(TENANT_KEYS),
            "l3vni": _within(VNIS),
        },
        ["first", "second"],
        ["key"],
        ["l3vni"],
    ),
    # What it says is a JSON text (controller.store.policy_texts): a rule is no row of its own, and one that
    # changes is a row for those who watch. Numbers and heights have no index: `operations` waits.
    "Policy": _table(
        {
            "tenant": _maybe("Tenant"),
            "name": _TEXT,
            "tier": _TEXT,
            "order": {"type": "integer"},
            "spec": _TEXT,
            "seats": _TEXT,
            "labels": _LABELS,
        },
        ["tenant", "name"],
    ),
    # Layouts are JSON texts (controller.store.hardware): their order counts, and a set has none.
    "Sku": _table({"name": _TEXT, "gpus": _TEXT, "pfs": _TEXT, "labels": _LABELS}, ["name"]),
    "Fabric": _table(
        {
            "name": _TEXT,
            "kind": _TEXT,
            "rails": _TEXT,
            "pkey_first": _optional(PKEYS),
            "pkey_last": _optional(PKEYS),
            "guids": _TEXT,
            "addressing": _TEXT,
            "block4": _WHOLE,
            "block6": _WHOLE,
            "excluded": _TEXTS,
            "cool_down": _WHOLE,
            "reserved": _TEXTS,
            "reserved_pkeys": _TEXTS,
            "labels": _LABELS,
        },
        ["name"],
    ),
    # A PCI address is one of a hypervisor, which is one node's: its SKU has it once.
    "Node": _table(
        {
            "name": _TEXT,
            "key": _within(NODE_KEYS),
            "sku": _one("Sku"),
            "fabric": _one("Fabric"),
            "host": _one("Hypervisor"),
            "leaves": _TEXT,
            "labels": _LABELS,
        },
        ["name"],
        ["key"],
        ["host"],
    ),
    # Interfaces are texts (controller.store.gangs), a row a node: an agent reads its own.
    "Gang_Node": {
        "isRoot": False,
        "columns": {
            "generation": _WHOLE,
            "node": _TEXT,
            "host": _TEXT,
            "gpus": _TEXT,
            "interfaces": _TEXT,
        },
        "indexes": [["generation", "node"]],
    },
    # Of a gang that was released the row stays until `until`: it says what cools down.
    "Gang": _table(
        {
            "tenant": _TEXT,
            "name": _TEXT,
            "fabric": _TEXT,
            "generation": _WHOLE,
            "state": _TEXT,
            "begun": _TEXT,
            "until": _WHOLE,
            "request": _TEXT,
            "pkey": _WHOLE,
            "block": _COUNT,
            "why": _SHORT,
            "vouched": _TEXTS,
            "since": _COUNT,
            "nodes": {
                "type": {"key": {"type": "uuid", "refTable": "Gang_Node"}, "min": 0, "max": "unlimited"}
            },
        },
        ["generation"],
    ),
    # A gang that gets MACs writes its generation here, and who makes a port waits for none having come.
    "Gang_Mark": {"isRoot": True, "maxRows": 1, "columns": {"generation": _WHOLE}},
    # Of two DPUs of one server. `beat`, `standby_beat` count signs of life; `patience`: seconds.
    "Lease": _table(
        {
            "pair": _TEXT,
            "holder": _TEXT,
            "term": _WHOLE,
            "beat": _WHOLE,
            "patience": _WHOLE,
            "standby_beat": _WHOLE,
            "standby_fit": _FLAG,
            "wanted": _TEXT,
        },
        ["pair"],
    ),
    "Tombstone": _table({"scope": _TEXT, "value": _TEXT, "until": _WHOLE}, ["scope", "value"]),
    "Request": _table({"key": _TEXT, "digest": _TEXT, "result": _TEXT, "created": _WHOLE}, ["key"]),
}


def intent_schema() -> dict[str, Any]:
    """The schema of the durable database, as OVSDB's JSON (RFC 7047 section 3.2); a fresh copy."""
    schema = {"name": DATABASE, "version": VERSION, "tables": _TABLES}
    copy: dict[str, Any] = json.loads(json.dumps(schema))
    return copy


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table of the durable database, in order."""
    return tuple(_TABLES[table]["columns"])


def parse_version(text: str) -> tuple[int, ...]:
    """`1.10.0` as numbers, so that it is newer than 1.9.0; ValueError for anything else."""
    return tuple(int(part) for part in text.split("."))
