"""Watch: the agent's reader: follows the part of the store that concerns one host, by a conditional monitor.

Place: the agent starts one; `on_event` gets Batches of model values and only enqueues. A thread of its own.
After each (re)connect comes a complete batch: the agent compares, so nothing that happened meanwhile is
missed. Which cluster and generation it is, is in the batch: the agent decides whether to trust it. Must not
write.

Conditions come with the first request, so that the server never sends all rows: first ports whose hosts name
this host and bindings of this host; then, with those known, networks, ports and routes of the same tenants
(this host routes to all of them), and with these networks their bindings.
What controller.store.scope adds: tenants that this host is a gateway of, what peers let its tenants reach,
and who else speaks in external networks that it speaks in; and who is in gangs of tenants with ports here,
which ask for their names. Hypervisors, external networks, classes and the
cluster are small and come whole.
"""

from __future__ import annotations

import json
import logging
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from controller.store import merging, rolls
from controller.store.calling import Caller
from controller.store.merging import Row
from controller.store.records import DATABASE
from controller.store.schema import VERSION, parse_version
from controller.store.scope import Scope
from controller.store.view import PARTS, Batch, View
from controller.store.wire import Connection, Seat
from model.errors import Fault, RingfenceError, Unavailable
from model.ids import HostName, Uid

log = logging.getLogger(__name__)

_UNREAD: Final = frozenset({"labels", "version", "effective"})
"""Columns that only people need,"""
_SELECTED: Final = frozenset({"Tenant", "Network", "Port"})
"""but for labels of what policies select by them."""
_NAME: Final = "watch"
_FRESH: Final = frozenset({"initial", "insert"})
_NOTHING: Final = [False]
"""A condition that no row meets; no condition at all would be met by every row."""
_FIRST_PAUSE: Final = (0.1, 1.0)
_LONGEST_PAUSE: Final = (2.0, 6.0)
"""Seconds between attempts, drawn per agent, so that 1,000 agents don't come back at one moment."""
_IDLE: Final = 5.0
"""Seconds of silence after which the server is asked whether it is there (a dead TCP peer says nothing)."""
_LARGE: Final = 60.0
"""Seconds until the first rows: there may be many, and many agents that ask for theirs."""
_JOIN: Final = 10.0

_Place = tuple[str, Uid]


class Watch:
    """`remote`: one or more of `unix:PATH`, `tcp:HOST:PORT`, `ssl:HOST:PORT`, joined by commas.

    `on_event` is called in the watch's thread. `rng`: jitter. `caller`: for `ssl:`.
    """

    def __init__(
        self,
        remote: str,
        host: HostName,
        on_event: Callable[[Batch], None],
        rng: random.Random | None = None,
        caller: Caller | None = None,
    ) -> None:
        self._host = host
        self._caller = caller
        self._on_event = on_event
        self._rng = rng or random.Random()
        self._remote = remote
        self._opening = threading.Lock()
        self._connection = self._open()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
        self._tables = {table: _columns(table) for table, _ in PARTS}
        self._view = View(host)
        self._scope = Scope()
        self._told = ""
        self.connected = False
        """Whether a session is up and in sync; for reports."""

    def start(self) -> None:
        """Begin; returns at once, whether or not the store is there."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no event comes after this returns."""
        with self._opening:
            self._stopping.set()
            self._connection.close()
        if self._thread.is_alive():
            self._thread.join(_JOIN)

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopping.is_set():
            try:
                self._session()
            except RingfenceError as error:
                if self.connected and not self._stopping.is_set():
                    log.info("store lost host=%s reason=%s", self._host, error)
            except Exception:  # a defect must end neither the agent nor its knowledge of the store
                log.exception("the store's watch starts again host=%s", self._host)
            with self._opening:
                self._connection.close()  # with its monitor, whose name would be taken otherwise
                if not self._stopping.is_set():
                    self._connection = self._open()
            pause = _FIRST_PAUSE if self.connected else _LONGEST_PAUSE
            self.connected = False
            self._stopping.wait(self._rng.uniform(*pause))

    def _open(self) -> Connection:
        return Connection(self._remote, Seat.ANY, self._caller, self._rng, self._accept, _fold)

    def _session(self) -> None:
        """From the first rows to the loss of the connection: monitors go with it."""
        self._view.clear()
        self._scope = Scope()
        monitored = self._where()
        for table, columns in self._tables.items():
            monitored.setdefault(table, [{}])[0]["columns"] = list(columns.names)
        first = self._connection.call("monitor_cond", [DATABASE, _NAME, monitored], _LARGE)
        self._take(first)
        while self._widen():
            pass
        batch = self._view.everything()
        log.info("store reached host=%s", self._host)
        log.info("store in sync host=%s values=%d", self._host, len(batch.upserts))
        self.connected, self._told = True, ""
        self._say(batch)
        while not self._stopping.is_set():
            notices = self._connection.notices(_IDLE)
            if not notices:
                self._connection.call("echo", [])
            for notice in notices:
                self._hear(notice)
            while self._widen():  # what came may lead further: a tenant to its peers, or to its gangs
                pass
            batch = self._view.settle()
            if batch.upserts or batch.deletes:
                self._say(batch)

    def _say(self, batch: Batch) -> None:
        if not self._stopping.is_set():
            self._on_event(batch)

    def _widen(self) -> bool:
        """Follow what the rows seen so far make this host interested in; whether that is something new.

        The server sends the rows that match the new conditions before it acknowledges them.
        """
        scope = self._view.scope()
        if scope == self._scope:
            return False
        self._scope = scope
        self._connection.call("monitor_cond_change", [_NAME, _NAME, self._where()], _LARGE)
        for notice in self._connection.notices(0.0):
            self._hear(notice)
        return True

    def _where(self) -> dict[str, Any]:
        found = _conditions(self._host, self._scope)
        return {table: [{"where": clauses or _NOTHING}] for table, clauses in found.items()}

    def _hear(self, notice: Mapping[str, Any]) -> None:
        if notice["method"] == "update2":
            self._take(notice["params"][1])

    def _take(self, updates: Mapping[str, Mapping[str, Any]]) -> None:
        for table, changes in updates.items():
            for uid, change in changes.items():
                self._view.touch(table, Uid(uid), self._row(table, Uid(uid), change))

    def _row(self, table: str, uid: Uid, change: Mapping[str, Any] | _New) -> Row | None:
        """A row after one row-update2; None if it is gone, or does not matter any more."""
        columns = self._tables[table]
        match change:
            case _New(text):
                return columns.complete(json.loads(text))
            case {"modify": told}:
                known = self._view.row(table, uid)
                if known is None:
                    raise ValueError(f"the store changed a row of {table} that it had not told of: {uid}")
                return columns.change(known, told)
            case _:
                return None

    def _accept(self, found: str) -> None:
        """An older store has not the tables; a newer one has more than is read."""
        if parse_version(found) < parse_version(VERSION):
            if self._told != found:
                self._told = found
                log.error("store is older than this agent found=%s wanted=%s", found, VERSION)
            message = f"its schema is {found}, older than this agent's {VERSION}"
            raise Unavailable(
                Fault(f"database {DATABASE}", "store-older", message, "Upgrade the store first.")
            )


def _columns(table: str) -> merging.Columns:
    unread = _UNREAD - {"labels"} if table in _SELECTED else _UNREAD
    return merging.of(table, unread | rolls.UNREAD.get(table, frozenset()))


@dataclass(frozen=True, slots=True)
class _New:
    """A row that is new to the reader (`initial` or `insert`): its columns as JSON."""

    text: str


def _fold(members: list[tuple[str, Any]]) -> Any:
    """New rows as texts: the server sends all at once, and trees of 20,000 rows would take 30 MB."""
    if len(members) == 1 and members[0][0] in _FRESH:
        return _New(json.dumps(members[0][1] or {}, separators=(",", ":")))
    return dict(members)


def _conditions(host: HostName, scope: Scope) -> dict[str, list[Any]]:
    """By table: clauses, joined by or: none = no row. Other tables come whole."""
    tenants, networks, outside = sorted(scope.tenants), sorted(scope.networks), sorted(scope.outside)
    owned = [["tenant", "==", ["uuid", uid]] for uid in tenants]
    shared = [["network", "==", ["uuid", uid]] for uid in sorted(scope.shared)]
    bound = [["network", "==", ["uuid", uid]] for uid in networks] + shared
    lent = [["port", "==", ["uuid", uid]] for uid in sorted(scope.lent)]
    peers = sorted(scope.peers - scope.tenants)
    known = [["_uuid", "==", ["uuid", uid]] for uid in (*tenants, *peers)]
    led = ["gateways", "includes", ["set", [host]]]
    beside = [["external", "includes", ["set", [["uuid", uid]]]] for uid in outside]
    there = [["external", "==", ["uuid", uid]] for uid in outside]

    def local(*ends: str) -> list[Any]:
        return [[end, "==", ["uuid", uid]] for uid in sorted(scope.local) for end in ends]

    return {
        "Port": [["hosts", "includes", ["set", [host]]], *owned, *shared],
        "Binding": [["host", "==", host], *bound, *lent],
        "Network": [*owned, *(["tenant", "==", ["uuid", uid]] for uid in peers)],
        "Route": owned,
        "Policy": [["tenant", "==", ["set", []]], *local("tenant")],
        "Tenant": [led, *known, *beside],
        "Floating_Ip": [*owned, *there],
        "Peering": local("tenant", "peer"),
        "Peering_Link": local("first", "second"),
        "Seed": [["hosts", "includes", ["set", [host]]]],
        "Gang": [["tenant", "==", name] for name in sorted(scope.names)],
        "Gang_Node": [["generation", "==", number] for number in sorted(scope.gangs)],
    }
