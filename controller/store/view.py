"""View: the rows that an agent sees, as they come and go, to upserts and deletes of model values.

Place: under `watch`. Pure state: no I/O, no clock. A value whose parent row is not there yet (conditional
monitoring gives no order across tables) waits for it. A row that does not parse is left out and logged.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from controller.store import destinations, policies, rolls, rows, seeds, ways
from controller.store.scope import Interest, Scope
from model.change import Part
from model.ids import HostName, NetworkKey, PortKey, TenantKey, Uid
from model.intent import Tenant
from model.policy import Standing
from model.seed import Sown

log = logging.getLogger(__name__)

PARTS: Final[tuple[tuple[str, Part], ...]] = (
    ("Cluster", Part.CLUSTER),
    ("Hypervisor", Part.HYPERVISOR),
    ("External", Part.EXTERNAL),
    ("Egress_Class", Part.CLASS),
    ("Tenant", Part.TENANT),
    ("Network", Part.NETWORK),
    ("Port", Part.PORT),
    ("Seed", Part.SEED),
    ("Binding", Part.BINDING),
    ("Route", Part.STATIC_ROUTE),
    ("Policy", Part.POLICY),
    ("Floating_Ip", Part.FLOATING),
    ("Peering", Part.PEERING),
    ("Peering_Link", Part.PEERING),
    ("Gang_Node", Part.GANG),
    ("Gang", Part.GANG),
)
"""Tables that an agent reads, parents before children, and the part of a Snapshot that each fills."""
_PARENT: Final = {
    "Network": "tenant",
    "Port": "network",
    "Seed": "port",
    "Binding": "port",
    "Route": "tenant",
    "Policy": "tenant",
}
"""Table -> the column whose row gives the parent's key."""
_PARENT_TABLE: Final = {
    "Network": "Tenant",
    "Port": "Network",
    "Seed": "Port",
    "Binding": "Port",
    "Route": "Tenant",
    "Policy": "Tenant",
}
_RANK: Final = {table: rank for rank, (table, _) in enumerate(PARTS)}
_PART: Final = dict(PARTS)

Upsert = tuple[Part, Hashable, Any]
Place = tuple[str, Uid]
_MANY: Final = frozenset({"Port", "Binding", "Gang_Node"})


@dataclass(frozen=True, slots=True)
class Batch:
    """Upserts (part, key, value) parents first; deletes (part, key) children first.

    `complete`: this is everything there is now, so what is not in it is gone; `deletes` is empty then. Keys
    are those of the maps of model.snapshot.Snapshot; None for CLUSTER.
    """

    upserts: tuple[Upsert, ...] = ()
    deletes: tuple[tuple[Part, Hashable], ...] = ()
    complete: bool = False


class View:
    """Rows by table and uid, what was last said about each, and who waits for whom."""

    def __init__(self, host: HostName) -> None:
        self._host = host
        self._rows: dict[Place, rows.Row] = {}
        self._texts: dict[Place, str] = {}
        """Rows of which there are many, as JSON: a third of the memory."""
        self._children: dict[Place, set[Place]] = {}
        self._said: dict[Place, Upsert] = {}
        self._dirty: set[Place] = set()
        self._interest = Interest(host)
        self._halves: dict[tuple[Uid, Uid], Uid] = {}
        self._links: dict[tuple[Uid, Uid], Uid] = {}
        self._rolls = rolls.Rolls()

    def clear(self) -> None:
        """Forget everything: a new session starts from nothing."""
        self._rows.clear()
        self._texts.clear()
        self._children.clear()
        self._said.clear()
        self._dirty.clear()
        self._interest.clear()
        self._halves.clear()
        self._links.clear()
        self._rolls.clear()

    def touch(self, table: str, uid: Uid, row: rows.Row | None) -> None:
        """A row as it is now; None if it is gone."""
        place = (table, uid)
        old = self._row(place)
        self._relate(place, old, row)
        if row is None:
            self._rows.pop(place, None)
            self._texts.pop(place, None)
        else:
            self._keep(place, row)
        self._interest.touch(table, uid, row)
        if table in {"Peering", "Peering_Link"}:
            self._pair(table, uid, old, row)
        if table in rolls.TABLES:
            gang = self._rolls.touch(table, uid, old, row)
            self._dirty.update(() if gang is None else [("Gang", gang)])
        self._dirty.add(place)
        if (old is None) != (row is None):
            self._spoil_children(place)

    def row(self, table: str, uid: Uid) -> rows.Row | None:
        """As it was last told; None if it is not known."""
        return self._row((table, uid))

    def _row(self, place: Place) -> rows.Row | None:
        text = self._texts.get(place)
        if text is None:
            return self._rows.get(place)
        row: rows.Row = json.loads(text)
        return row

    def _keep(self, place: Place, row: rows.Row) -> None:
        if place[0] in _MANY:
            self._texts[place] = json.dumps(row, separators=(",", ":"))
        else:
            self._rows[place] = row

    def scope(self) -> Scope:
        """What the rows seen so far make this host interested in."""
        return self._interest.scope()

    def everything(self) -> Batch:
        """All values; what `settle` would have said is covered."""
        self.settle()
        upserts = tuple(self._said[place] for place in sorted(self._said, key=_order))
        return Batch(upserts, (), complete=True)

    def settle(self) -> Batch:
        """What has changed since the last time."""
        upserts: list[Upsert] = []
        deletes: list[tuple[Part, Hashable]] = []
        for place in sorted(self._dirty, key=_order):
            old, new = self._said.get(place), self._value(place)
            if new is not None and new != old:
                self._said[place] = new
                upserts.append(new)
            elif new is None:
                self._said.pop(place, None)
            if old is not None and (new is None or new[1] != old[1]):
                deletes.append((old[0], old[1]))
        self._dirty.clear()
        renewed = {(part, key) for part, key, _ in upserts}
        kept = (d for d in reversed(deletes) if d not in renewed)
        return Batch(tuple(upserts), tuple(kept), complete=False)

    def _value(self, place: Place) -> Upsert | None:
        row = self._row(place)
        if row is None:
            return None
        try:
            found = self._parse(place, row)
        except (ValueError, KeyError, TypeError) as error:
            log.warning("row skipped table=%s uuid=%s: %s", place[0], place[1], error)
            return None
        return None if found is None else (_PART[place[0]], *found)

    def _parse(self, place: Place, row: rows.Row) -> tuple[Hashable, Any] | None:
        table, uid = place
        key = self._parent_key(table, row)
        if table in _PARENT and key is None:
            return None
        match table:
            case "Cluster":
                return None, rows.cluster(uid, row)
            case "Hypervisor":
                hypervisor = rows.hypervisor(row)
                return hypervisor.name, hypervisor
            case "Egress_Class":
                egress_class = destinations.egress_class(uid, row)
                return egress_class.id, egress_class
            case "Tenant":
                tenant = _tenant(uid, row)
                return tenant.key, tenant
            case "Network":
                network = rows.network(uid, row, TenantKey(key or 0))
                return network.key, network
            case "Port":
                port = rows.port(uid, row, NetworkKey(key or 0))
                return port.key, port
            case "Seed":
                return PortKey(key or 0), Sown(PortKey(key or 0), seeds.seed(row))
            case "Route":
                return uid, ways.route(uid, row, TenantKey(key or 0))
            case "Policy":
                return uid, self._policy(uid, row, TenantKey(key or 0))
            case "External":
                external = ways.external(uid, row)
                return external.key, external
            case "Floating_Ip":
                return uid, ways.floating(uid, row)
            case "Peering" | "Gang_Node":
                return None  # half of what its link tells; a part of what its gang does
            case "Gang":
                roll = rolls.roll(row, lambda node: self._row(("Gang_Node", node)))
                return None if roll is None else (roll.generation, roll)
            case "Peering_Link":
                return self._peering(uid, row)
            case _:
                binding = rows.binding(row, PortKey(key or 0))
                return binding.port, binding

    def _policy(self, uid: Uid, row: rows.Row, owner: TenantKey) -> Standing:
        """One that can't be read is not left out: its ports are cut off, and it is logged."""
        tenant = self._rows["Tenant", rows.reference(row["tenant"])]["name"] if owner else ""
        value, reason = policies.standing(uid, row, tenant, owner)
        if reason:
            log.error(
                "policy can't be read, its ports are cut off policy=%s/%s: %s", tenant, row["name"], reason
            )
        return value

    def _peering(self, uid: Uid, row: rows.Row) -> tuple[Hashable, Any] | None:
        """Two halves and their link; nothing while one of the halves is missing."""
        ends = rows.reference(row["first"]), rows.reference(row["second"])
        found = [self._halves.get(way) for way in (ends, ends[::-1])]
        halves = [ways.half(half, self._rows["Peering", half]) for half in found if half is not None]
        if len(halves) < len(found):
            return None
        value = ways.peering(ways.link(uid, row), (halves[0], halves[1]))
        return value.key, value

    def _parent_key(self, table: str, row: rows.Row) -> int | None:
        column = _PARENT.get(table)
        if column is None:
            return None
        if table == "Policy" and rows.optional(row[column]) is None:
            return 0  # the operator's
        parent = self._row((_PARENT_TABLE[table], rows.reference(row[column])))
        if parent is not None:
            return int(parent["key"])
        if table == "Binding" and row["host"] != self._host:
            # Of a port that is not of our tenants: it says where a floating IP lives.
            return int(rows.optional(row["key"]) or 0) or None
        return None

    def _relate(self, place: Place, old: rows.Row | None, new: rows.Row | None) -> None:
        for row, add in ((old, False), (new, True)):
            parent = None if row is None else _parent(place[0], row)
            if parent is None:
                continue
            if add:
                self._children.setdefault(parent, set()).add(place)
            elif parent in self._children:
                self._children[parent].discard(place)
                if not self._children[parent]:
                    del self._children[parent]  # or what came and went would be remembered for ever

    def _pair(self, table: str, uid: Uid, old: rows.Row | None, new: rows.Row | None) -> None:
        """Halves by (tenant, peer) and links by their tenants; a half that changes changes its peering."""
        ends = ("tenant", "peer") if table == "Peering" else ("first", "second")
        index = self._halves if table == "Peering" else self._links
        for row, add in ((old, False), (new, True)):
            way = None if row is None else _ends(row, ends)
            if way is None:
                continue
            if add:
                index[way] = uid
            elif index.get(way) == uid:
                del index[way]
            for link in (self._links.get(way), self._links.get(way[::-1])):
                if link is not None:
                    self._dirty.add(("Peering_Link", link))

    def _spoil_children(self, place: Place) -> None:
        waiting: Iterable[Place] = (place,)
        while waiting:
            waiting = [child for parent in waiting for child in self._children.get(parent, ())]
            self._dirty.update(waiting)


def _tenant(uid: Uid, row: rows.Row) -> Tenant:
    """One that can't be read is not left out: policies would not know its ports any more."""
    try:
        return rows.tenant(uid, row)
    except (ValueError, KeyError, TypeError) as error:
        log.error("tenant can't be read, nothing is routed for it tenant=%s: %s", row["name"], error)
        return policies.bare_tenant(uid, row)


def _ends(row: rows.Row, columns: tuple[str, str]) -> tuple[Uid, Uid] | None:
    try:
        return rows.reference(row[columns[0]]), rows.reference(row[columns[1]])
    except (ValueError, KeyError):
        return None


def _parent(table: str, row: rows.Row) -> Place | None:
    column = _PARENT.get(table)
    try:
        return None if column is None else (_PARENT_TABLE[table], rows.reference(row[column]))
    except (ValueError, KeyError):
        return None


def _order(place: Place) -> tuple[int, str]:
    return (_RANK[place[0]], place[1])
