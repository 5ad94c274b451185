"""Assembly: rows of every table, as they come and go, to Contents.

Place: under `cache` (which feeds it monitor updates) and `Store.read_all` (which feeds it one select). Knows
which row refers to which. Must not do I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from controller.store import destinations, gangs, hardware, policies, rows, seeds, ways
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
from controller.store.schema import columns
from ipam.contents import Claim
from ipam.draft import Draft
from model.errors import Invalid
from model.gang import Berth, Gang
from model.ids import PortKey, TenantKey, Uid
from model.intent import Network, Tenant
from model.labels import Labels
from model.seed import NOTHING, Seed
from model.wanted import Reference

log = logging.getLogger(__name__)

TABLES: Final = (
    "Cluster", "Pool", "Hypervisor", "Sku", "Fabric", "Node", "External", "Tenant", "Network", "Egress_Class",
    "Port", "Seed", "Binding", "Route", "Floating_Ip", "Peering", "Peering_Link", "Policy", "Gang_Node",
    "Gang", "Gang_Mark", "Tombstone",
)  # fmt: skip
"""What Contents is made of; parents before children. Address repeats Port.addresses, Request is looked up."""

WANTED_COLUMNS: Final = {table: columns(table) for table in TABLES}

Updates = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""table -> uuid -> {"old": ..., "new": ...} (RFC 7047 section 4.1.6)."""


class Assembly:
    """Contents that follow updates. A row that does not parse is left out and logged; the rest goes on."""

    def __init__(self) -> None:
        self.contents = Contents()
        self._tenants: dict[Uid, Tenant] = {}
        self._networks: dict[Uid, tuple[str, Network]] = {}
        self._records: dict[Uid, Reference] = {}
        self._ports: dict[Uid, PortKey] = {}
        self._bindings: dict[Uid, PortKey] = {}
        self._tombstones: dict[Uid, Claim] = {}
        self._berths: dict[Uid, Berth] = {}
        self._gangs: dict[Uid, Gang] = {}
        self._unheld: dict[Uid, Gang] = {}
        self._seeds: dict[Uid, Seed] = {}
        """By port."""
        self._sown: dict[Uid, Uid] = {}

    def feed(self, updates: Updates) -> Contents:
        """The contents after these updates: rows that go first (children before parents), then those that
        come.
        """
        draft = Draft(self.contents)
        for table in reversed(TABLES):
            for uuid, change in updates.get(table, {}).items():
                if "new" not in change:
                    self._remove(draft, table, Uid(uuid))
                    self._unheld.pop(Uid(uuid), None)
        for table in TABLES:
            found = [
                (Uid(u), change["new"]) for u, change in updates.get(table, {}).items() if "new" in change
            ]
            self._put_all(draft, table, found)
        unheld = sorted(self._unheld.values(), key=lambda gang: gang.generation)
        self.contents = replace(draft.contents(), unheld=tuple(unheld))
        return self.contents

    def _put_all(self, draft: Draft, table: str, found: list[tuple[Uid, rows.Row]]) -> None:
        if table != "Gang":
            for uid, row in found:
                self._put_safely(draft, table, uid, row)
            return
        # Those that live first: what they share with one that is gone does not cool down. What one of them
        # can't have yet may be what another one lets go of by the same update.
        late = []
        # Of two that claim the same the older one has it.
        found = sorted(found, key=lambda each: each[1]["generation"])
        for uid, row in found:
            if not row["until"]:
                try:
                    self._put(draft, table, uid, row)
                except (ValueError, KeyError, TypeError, Invalid):
                    late.append((uid, row))
        for uid, row in (*(each for each in found if each[1]["until"]), *late):
            self._put_safely(draft, table, uid, row)

    def _put_safely(self, draft: Draft, table: str, uid: Uid, row: rows.Row) -> None:
        try:
            self._put(draft, table, uid, row)
        except (ValueError, KeyError, TypeError, Invalid) as error:
            log.warning("row skipped table=%s uuid=%s: %s", table, uid, error)
            self._remove(draft, table, uid)

    def _put(self, draft: Draft, table: str, uid: Uid, row: rows.Row) -> None:
        match table:
            case "Cluster":
                draft.set_cluster(rows.cluster(uid, row))
            case "Pool":
                draft.put_pool(rows.pool(row))
            case "Binding":
                key = self._ports[rows.reference(row["port"])]
                draft.bind(rows.binding(row, key))
                self._bindings[uid] = key
            case "Seed":
                port = rows.reference(row["port"])
                self._seeds[port] = seeds.seed(row)
                self._sown[uid] = port
                self._sow(draft, port)
            case "Gang_Node":
                self._berths[uid] = gangs.berth(row)
            case "Gang":
                gang = gangs.gang(row, self._berths)
                try:
                    draft.put_gang(gang, int(row["until"]))
                except Invalid:
                    self._unheld[uid] = gang
                    raise
                self._unheld.pop(uid, None)
                self._gangs[uid] = gang
            case "Gang_Mark":
                draft.gang_mark = int(row["generation"])
            case "Tombstone":
                claim = _claim(row)
                draft.bury(claim, int(row["until"]))
                self._tombstones[uid] = claim
            case _:
                record = self._record(table, uid, row)
                known = self._records.get(uid)
                if known is not None and known != refer(record):
                    draft.remove(known)
                draft.put(record)
                self._records[uid] = refer(record)

    def _record(self, table: str, uid: Uid, row: rows.Row) -> Record:
        tags = rows.labels(row["labels"]) if "labels" in row else ()
        match table:
            case "Hypervisor":
                return HypervisorRecord(rows.hypervisor(row), tags)
            case "Tenant":
                tenant = self._tenants[uid] = rows.tenant(uid, row)
                return TenantRecord(tenant, tenant.labels, self._name(row["external"]), rows.quota(row))
            case "Sku":
                return SkuRecord(hardware.sku(row), tags)
            case "Fabric":
                return FabricRecord(hardware.fabric(row), tags)
            case "Node":
                parents = (self._name(row[column]) for column in ("sku", "fabric", "host"))
                return NodeRecord(hardware.node(row, *parents), tags)
            case "External":
                return ExternalRecord(ways.external(uid, row), tags)
            case "Peering":
                return PeeringRecord(
                    ways.half(uid, row), self._name(row["tenant"]), self._name(row["peer"]), tags
                )
            case "Peering_Link":
                return LinkRecord(ways.link(uid, row), (self._name(row["first"]), self._name(row["second"])))
            case "Policy":
                return self._policy(uid, row, tags)
            case "Floating_Ip":
                floating = ways.floating(uid, row)
                parent = self._tenants[rows.reference(row["tenant"])]
                outside, port_name = self._name(row["external"]), self._name(row["port"])
                return FloatingRecord(floating, parent.name, outside, port_name, tags)
            case "Network":
                parent = self._tenants[rows.reference(row["tenant"])]
                network = rows.network(uid, row, parent.key)
                self._networks[uid] = (parent.name, network)
                return NetworkRecord(network, parent.name, network.labels)
            case "Port":
                owner, home = self._networks[rows.reference(row["network"])]
                port = rows.port(uid, row, home.key)
                self._ports[uid] = port.key
                return PortRecord(port, owner, home.name, port.labels, self._seeds.get(uid, NOTHING))
            case "Route":
                parent = self._tenants[rows.reference(row["tenant"])]
                return RouteRecord(ways.route(uid, row, parent.key), parent.name, tags)
            case _:
                value = destinations.egress_class(uid, row)
                return ClassRecord(value, int(row["version"]), destinations.effective(row), tags)

    def _sow(self, draft: Draft, port: Uid) -> None:
        """A port with its seed as it is now."""
        known = self._records.get(port)
        record = None if known is None else draft.find(known)
        if isinstance(record, PortRecord):
            draft.put(replace(record, seed=self._seeds.get(port, NOTHING)))

    def _policy(self, uid: Uid, row: rows.Row, tags: Labels) -> PolicyRecord:
        """One that can't be read is shown as what hosts make of it, so that it can be deleted."""
        parent = None
        if rows.optional(row["tenant"]) is not None:
            parent = self._tenants[rows.reference(row["tenant"])]
        name, key = (parent.name, parent.key) if parent is not None else ("", TenantKey(0))
        value, reason = policies.standing(uid, row, name, key)
        if reason:
            log.error("policy can't be read policy=%s/%s: %s", name, row["name"], reason)
        return PolicyRecord(value, name or None, tags)

    def _name(self, value: Any) -> str:
        """Of the object that an optional reference names; empty if it is absent."""
        return "" if rows.optional(value) is None else self._records[rows.reference(value)].name

    def _remove(self, draft: Draft, table: str, uid: Uid) -> None:
        match table:
            case "Cluster":
                draft.set_cluster(None)
            case "Binding":
                key = self._bindings.pop(uid, None)
                if key is not None:
                    draft.unbind(key)
            case "Seed":
                port = self._sown.pop(uid, None)
                if port is not None:
                    self._seeds.pop(port, None)
                    self._sow(draft, port)
            case "Gang_Node":
                self._berths.pop(uid, None)
            case "Gang":
                gang = self._gangs.pop(uid, None)
                if gang is not None:
                    draft.drop_gang(gang)
            case "Gang_Mark":
                draft.gang_mark = 0
            case "Tombstone":
                claim = self._tombstones.pop(uid, None)
                if claim is not None:
                    draft.unbury(claim)
            case _:
                known = self._records.pop(uid, None)
                if known is not None:
                    draft.remove(known)
                for index in (self._tenants, self._networks, self._ports):
                    index.pop(uid, None)


def _claim(row: rows.Row) -> Claim:
    """Numbers are kept as decimal text: an IPv6 address does not fit an OVSDB integer."""
    value = str(row["value"])
    return str(row["scope"]), int(value) if value.isdecimal() else value
