"""Moorings: what the store says that one host is to bear of gangs, followed by a conditional monitor.

Place: the device half of an agent starts a Lookout, whose thread and connection are its own; what it gives
out is immutable. The server sends this host's rows only: its Hypervisor, the Nodes on it, their SKUs and
fabrics, its Gang_Node rows, the gangs of these generations, their tenants, and the ports that may be here.
Must not write, and must not judge whether the store is to be trusted.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from controller.store import gangs, hardware, merging
from controller.store.calling import Caller
from controller.store.merging import Row
from controller.store.records import DATABASE
from controller.store.rows import outlet, reference, texts
from controller.store.schema import VERSION, intent_schema, parse_version
from controller.store.wire import Connection, Seat, check_version
from model.addresses import parse_mac
from model.errors import RingfenceError
from model.fabric import Fabric, PKey
from model.gang import Berth, GangRequest, GangState, Progress
from model.hardware import Node, Sku
from model.ids import HostName, Uid
from model.outlet import Served

log = logging.getLogger(__name__)

_NAME: Final = "moorings"
_NOTHING: Final = [False]
"""A condition that no row meets."""
_UNREAD: Final[Mapping[str, frozenset[str]]] = {
    "Cluster": frozenset({"asn", "reflectors", "guard", "peer_routes"})
    | {"tenant_routes", "mac_moves", "mac_window"},
    "Hypervisor": frozenset({"vtep", "router_id", "external", "border", "gateway"})
    | {"segments", "partner", "labels"},
    "Node": frozenset({"labels"}),
    "Sku": frozenset({"labels"}),
    "Fabric": frozenset({"labels"}),
    "Gang_Node": frozenset(),
    "Tenant": frozenset(intent_schema()["tables"]["Tenant"]["columns"]) - {"name"},
    "Gang": frozenset({"nodes", "block", "why", "since"}),
    "Port": frozenset({"tenant", "network", "name", "key", "addresses", "allowed", "rate_out", "rate_in"})
    | {"enabled", "migration", "activate", "sticky", "labels"},
}
_FIRST_PAUSE: Final = (0.1, 1.0)
_LONGEST_PAUSE: Final = (2.0, 6.0)
"""Seconds between attempts, drawn per host."""
_IDLE: Final = 5.0
"""Seconds of silence after which the server is asked whether it is there."""
_LARGE: Final = 60.0
_JOIN: Final = 10.0


@dataclass(frozen=True, slots=True)
class Mooring:
    """What a gang has on this host, and how far the gang is. `vouched`: see `model.gang.Gang`."""

    generation: int
    request: GangRequest
    progress: Progress
    pkey: PKey
    vouched: tuple[str, ...]
    berth: Berth


@dataclass(frozen=True, slots=True)
class Moorings:
    """All that concerns a host, of one moment of the store. `cluster` None: the store is empty. `confirm`,
    `frozen`: the operator's word for this host. `nodes` by name; `skus`, `fabrics` by name: theirs.
    `gangs` by generation. `tenants`: uids by name, of those. `served`: ports of this host alone that a VF
    serves, by uid.
    """

    cluster: Uid | None = None
    generation: int = 0
    frozen: bool = False
    confirm: str = ""
    nodes: tuple[Node, ...] = ()
    skus: Mapping[str, Sku] = field(default_factory=dict)
    fabrics: Mapping[str, Fabric] = field(default_factory=dict)
    gangs: tuple[Mooring, ...] = ()
    served: tuple[Served, ...] = ()
    tenants: Mapping[str, Uid] = field(default_factory=dict)


class Lookout:
    """`on_change` is called in this thread: with the whole of it at each change, with None when the store is
    lost. `rng`: jitter. `caller`: for `ssl:`."""

    def __init__(
        self,
        remote: str,
        host: HostName,
        on_change: Callable[[Moorings | None], None],
        rng: random.Random | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._caller = caller
        self._remote, self._host, self._on_change = remote, host, on_change
        self._rng = rng or random.Random()
        self._columns = {table: merging.of(table, unread) for table, unread in _UNREAD.items()}
        self._rows: dict[str, dict[str, Row]] = {}
        self._told: dict[str, list[Any]] = {}
        self._opening = threading.Lock()
        self._connection = self._open()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="moorings", daemon=True)

    def start(self) -> None:
        """Begin; returns at once, whether or not the store is there."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        with self._opening:
            self._stopping.set()
            self._connection.close()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def _open(self) -> Connection:
        return Connection(self._remote, Seat.ANY, self._caller, self._rng, _accept)

    def _run(self) -> None:
        said = ""
        while not self._stopping.is_set():
            began = False
            try:
                for found in self._session():
                    began, said = True, ""
                    self._on_change(found)
            except RingfenceError as error:
                if not self._stopping.is_set() and str(error) != said:
                    said = str(error)
                    log.info("moorings not followed host=%s reason=%s", self._host, error)
            except Exception:  # a defect must end neither the thread nor what the host says
                log.exception("moorings are followed again host=%s", self._host)
            if not self._stopping.is_set():
                self._on_change(None)
            with self._opening:
                self._connection.close()  # with its monitor
                if not self._stopping.is_set():
                    self._connection = self._open()
            self._stopping.wait(self._rng.uniform(*(_FIRST_PAUSE if began else _LONGEST_PAUSE)))

    def _session(self) -> Any:
        """From the first rows to the loss of the connection; yields after each change."""
        self._rows = {table: {} for table in _UNREAD}
        self._told = self._where()
        monitored = {
            table: [{"columns": list(columns.names), "where": self._told[table]}]
            for table, columns in self._columns.items()
        }
        self._take(self._connection.call("monitor_cond", [DATABASE, _NAME, monitored], _LARGE))
        self._widen()
        yield self._read()
        while not self._stopping.is_set():
            notices = self._connection.notices(_IDLE)
            if not notices:
                self._connection.call("echo", [])
            if self._hear(notices):
                self._widen()
                yield self._read()

    def _widen(self) -> None:
        """Ask for what the rows so far refer to. Rows that match now are sent before it is acknowledged."""
        while (where := self._where()) != self._told:
            changed = {t: [{"where": where[t]}] for t in where if where[t] != self._told[t]}
            self._told = where
            self._connection.call("monitor_cond_change", [_NAME, _NAME, changed], _LARGE)
            self._hear(self._connection.notices(0.0))

    def _where(self) -> dict[str, list[Any]]:
        rows = self._rows
        nodes = sorted(rows.get("Node", {}).items())
        found: dict[str, list[Any]] = {
            "Cluster": [True],
            "Hypervisor": [["name", "==", self._host]],
            "Gang_Node": [["host", "==", self._host]],
            "Port": [["hosts", "includes", ["set", [self._host]]]],
            "Node": [["host", "==", ["uuid", uid]] for uid in sorted(rows.get("Hypervisor", {}))],
            "Sku": [["_uuid", "==", row["sku"]] for _, row in nodes],
            "Fabric": [["_uuid", "==", row["fabric"]] for _, row in nodes],
            "Tenant": [["name", "==", name] for name in self._tenants()],
            "Gang": [
                ["generation", "==", number]
                for number in sorted({int(row["generation"]) for row in rows.get("Gang_Node", {}).values()})
            ],
        }
        return {table: list(clauses) or _NOTHING for table, clauses in found.items()}

    def _hear(self, notices: list[dict[str, Any]]) -> bool:
        updates = [notice["params"][1] for notice in notices if notice["method"] == "update2"]
        for update in updates:
            self._take(update)
        return bool(updates)

    def _take(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        for table, changes in updates.items():
            for uid, change in changes.items():
                ((kind, told),) = change.items()
                if kind == "delete":
                    self._rows[table].pop(uid, None)
                elif kind == "modify":
                    self._rows[table][uid] = self._columns[table].change(self._rows[table][uid], told)
                else:
                    self._rows[table][uid] = self._columns[table].complete(told or {})

    def _read(self) -> Moorings:
        rows = self._rows
        cluster = next(iter(sorted(rows["Cluster"].items())), None)
        own = next(iter(rows["Hypervisor"].values()), {"frozen": False, "confirm": ""})
        return Moorings(
            cluster=None if cluster is None else Uid(cluster[0]),
            generation=0 if cluster is None else int(cluster[1]["generation"]),
            frozen=bool(own["frozen"]),
            confirm=str(own["confirm"]),
            nodes=tuple(sorted(self._nodes(), key=lambda node: node.name)),
            skus={str(row["name"]): hardware.sku(row) for row in rows["Sku"].values()},
            fabrics={str(row["name"]): hardware.fabric(row) for row in rows["Fabric"].values()},
            gangs=tuple(sorted(self._gangs(), key=lambda gang: gang.generation)),
            served=tuple(sorted(self._served(), key=lambda port: port.uid)),
            tenants={str(row["name"]): Uid(uid) for uid, row in sorted(rows["Tenant"].items())},
        )

    def _tenants(self) -> list[str]:
        return sorted({str(row["tenant"]) for row in self._rows.get("Gang", {}).values()})

    def _nodes(self) -> list[Node]:
        found = []
        for row in self._rows["Node"].values():
            sku, fabric = (
                self._rows[table][reference(row[column])]["name"]
                for table, column in (("Sku", "sku"), ("Fabric", "fabric"))
            )
            found.append(hardware.node(row, str(sku), str(fabric), self._host))
        return found

    def _served(self) -> list[Served]:
        found = []
        for uid, row in sorted(self._rows["Port"].items()):
            try:
                vf = outlet(row["vf"])
                if vf is not None and texts(row["hosts"]) == (self._host,):
                    found.append(Served(Uid(uid), parse_mac(str(row["mac"])), vf))
            except ValueError as error:
                log.warning("row skipped table=Port uuid=%s: %s", uid, error)
        return found

    def _gangs(self) -> list[Mooring]:
        known = {int(row["generation"]): row for row in self._rows["Gang"].values()}
        found = []
        for uid, row in sorted(self._rows["Gang_Node"].items()):
            gang = known.get(int(row["generation"]))
            if gang is None:
                continue  # of no gang: nobody asked for it
            try:
                found.append(_mooring(gang, row))
            except (ValueError, KeyError, TypeError) as error:
                log.warning("row skipped table=Gang_Node uuid=%s: %s", uid, error)
        return found


def _accept(found: str) -> None:
    """A newer store has more than is read: it is upgraded first."""
    if parse_version(found) < parse_version(VERSION):
        check_version(found)


def _mooring(gang: Row, row: Row) -> Mooring:
    return Mooring(
        generation=int(gang["generation"]),
        request=gangs.parse_request(str(gang["request"])),
        progress=Progress(GangState(gang["state"]), GangState(gang["begun"])),
        pkey=PKey(int(gang["pkey"])),
        vouched=tuple(sorted(texts(gang["vouched"]))),
        berth=gangs.berth(row),
    )
