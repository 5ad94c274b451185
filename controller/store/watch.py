"""Watch: the agent's reader: follows the part of the store that concerns one host, over the OVSDB IDL.

Place: the agent starts one; `on_event` gets Batches of model values and only enqueues. A thread of its own.
After each (re)connect comes a complete batch: the agent compares, so nothing that happened meanwhile is
missed. Which cluster and generation it is, is in the batch: the agent decides whether to trust it. Must not
write.

Conditions are set before connecting, so that the server never sends all rows: first ports whose hosts name
this host and bindings of this host; then, with those known, networks, ports and routes of the same tenants
(this host routes to all of them), and with these networks their bindings.
What controller.store.scope adds: tenants that this host is a gateway of, what peers let its tenants reach,
and who else speaks in external networks that it speaks in. Hypervisors, external networks, classes and the
cluster are small and come whole.
"""

from __future__ import annotations

import json
import logging
import random
import select
import socket
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final
from uuid import UUID

from controller.store import framing
from controller.store.records import DATABASE
from controller.store.schema import VERSION, columns, intent_schema, parse_version
from controller.store.scope import Scope
from controller.store.view import PARTS, Batch, View
from model.ids import HostName, Uid

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # ovs.poller looks for eventlet, which warns of its own end
    import ovs.db.idl
    import ovs.poller

log = logging.getLogger(__name__)

_UNREAD: Final = {"labels", "version", "effective"}
"""Columns that only people need. (The ovs library may also break non-ASCII text across reads.)"""
_FIRST_PAUSE_MS: Final = range(100, 1_000)
_LONGEST_PAUSE_MS: Final = range(2_000, 6_000)
"""Pauses between attempts, drawn per agent, so that 1,000 agents don't come back at one moment."""
_JOIN: Final = 10.0
_AFTER_DEFECT: Final = 2.0


class _Idl(ovs.db.idl.Idl):  # type: ignore[misc]
    """The library wants a subclass to tell about rows."""

    def __init__(self, remote: str, helper: Any) -> None:
        super().__init__(remote, helper, leader_only=False)
        self.touched: set[tuple[str, UUID]] = set()

    def notify(self, event: str, row: Any, updates: Any = None) -> None:
        self.touched.add((row._table.name, row.uuid))


class Watch:
    """`remote`: one or more of `unix:PATH`, `tcp:HOST:PORT`, `ssl:HOST:PORT`, joined by commas.

    `on_event` is called in the watch's thread. `rng`: jitter.
    """

    def __init__(
        self,
        remote: str,
        host: HostName,
        on_event: Callable[[Batch], None],
        rng: random.Random | None = None,
    ) -> None:
        self._remote = remote
        self._host = host
        self._on_event = on_event
        self._rng = rng or random.Random()
        self._stopping = threading.Event()
        self._ear, self._mouth = socket.socketpair()
        self._thread = threading.Thread(target=self._run, name="store-watch", daemon=True)
        self._view = View(host)
        self._scope = Scope()
        self._session = -1
        self._told = -1
        self._complete_due = True
        self.connected = False
        """Whether a session is up and in sync; for reports."""

    def start(self) -> None:
        """Begin; returns at once, whether or not the store is there."""
        framing.speed_up()
        self._thread.start()

    def stop(self) -> None:
        """End the thread; no event comes after this returns."""
        self._stopping.set()
        self._mouth.send(b"\0")
        if self._thread.is_alive():
            self._thread.join(_JOIN)
        self._ear.close()
        self._mouth.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            idl = self._open()
            try:
                while not self._stopping.is_set():
                    self._turn(idl)
                    poller = ovs.poller.Poller()
                    idl.wait(poller)
                    poller.fd_wait(self._ear, select.POLLIN)
                    poller.block()
            except Exception:  # a defect must end neither the agent nor its knowledge of the store
                log.exception("the store's watch starts again host=%s", self._host)
                self._stopping.wait(_AFTER_DEFECT)
            finally:
                self.connected = False
                idl.close()

    def _open(self) -> _Idl:
        helper = ovs.db.idl.SchemaHelper(schema_json=intent_schema())
        for table, _ in PARTS:
            helper.register_columns(table, [c for c in columns(table) if c not in _UNREAD])
        idl = _Idl(self._remote, helper)
        # The library offers no other way to its back-off.
        idl._session.reconnect.set_backoff(
            self._rng.choice(_FIRST_PAUSE_MS), self._rng.choice(_LONGEST_PAUSE_MS)
        )
        self._view.clear()
        self._session, self._scope, self._complete_due = -1, Scope(), True
        _narrow(idl, self._host, self._scope)
        return idl

    def _turn(self, idl: _Idl) -> None:
        """Take in what came and say what changed."""
        idl.run()
        session = idl._session.get_seqno()
        in_sync = idl.state == idl.IDL_S_MONITORING and idl._last_seqno == session
        self._note_version(idl)
        self._note_link(connected=in_sync and idl._session.is_connected())
        if not in_sync:
            idl.touched.clear()  # all rows are read anew below, once the new session has them
            return
        if session != self._session:
            self._session, self._complete_due = session, True
            self._view.clear()
            for table, _ in PARTS:
                for uid, row in idl.tables[table].rows.items():
                    self._view.touch(table, Uid(str(uid)), _columns(row))
        else:
            for table, uid in sorted(idl.touched):
                row = idl.tables[table].rows.get(uid)
                self._view.touch(table, Uid(str(uid)), None if row is None else _columns(row))
        idl.touched.clear()
        self._say(idl)

    def _say(self, idl: _Idl) -> None:
        scope = self._view.scope()
        if scope != self._scope:
            self._scope = scope
            _narrow(idl, self._host, scope)
        if not self._complete_due:
            batch = self._view.settle()
            if batch.upserts or batch.deletes:
                self._on_event(batch)
        elif _settled(idl):
            self._complete_due = False
            batch = self._view.everything()
            log.info("store in sync host=%s values=%d", self._host, len(batch.upserts))
            self._on_event(batch)

    def _note_version(self, idl: _Idl) -> None:
        """Say why nothing comes: a server with older tables refuses the monitor, in silence."""
        if idl.state == idl.IDL_S_MONITORING or idl.server_tables is None:
            return
        for row in idl.server_tables["Database"].rows.values():
            if row.name == DATABASE and row.schema:
                version = json.loads(row.schema[0])["version"]
                older = parse_version(version) < parse_version(VERSION)
                if older and self._told != idl._last_seqno:
                    self._told = idl._last_seqno
                    log.error("store is older than this agent found=%s wanted=%s", version, VERSION)

    def _note_link(self, *, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            log.info("store %s host=%s", "reached" if connected else "lost", self._host)


def _narrow(idl: _Idl, host: HostName, scope: Scope) -> None:
    """Set the conditions: clauses of one table are joined by or. An empty list matches no row."""
    tenants, networks, outside = sorted(scope.tenants), sorted(scope.networks), sorted(scope.outside)
    owned = [["tenant", "==", ["uuid", uid]] for uid in tenants]
    shared = [["network", "==", ["uuid", uid]] for uid in sorted(scope.shared)]
    idl.cond_change("Port", [["hosts", "includes", ["set", [host]]], *owned, *shared])
    bound = [["network", "==", ["uuid", uid]] for uid in networks] + shared
    lent = [["port", "==", ["uuid", uid]] for uid in sorted(scope.lent)]
    idl.cond_change("Binding", [["host", "==", host], *bound, *lent])
    peers = sorted(scope.peers - scope.tenants)
    idl.cond_change("Network", [*owned, *(["tenant", "==", ["uuid", uid]] for uid in peers)])
    idl.cond_change("Route", owned)
    known = [["_uuid", "==", ["uuid", uid]] for uid in (*tenants, *peers)]
    led = ["gateways", "includes", ["set", [host]]]
    beside = [["external", "includes", ["set", [["uuid", uid]]]] for uid in outside]
    idl.cond_change("Tenant", [led, *known, *beside])
    there = [["external", "==", ["uuid", uid]] for uid in outside]
    idl.cond_change("Floating_Ip", [*owned, *there])
    for table, ends in (("Peering", ("tenant", "peer")), ("Peering_Link", ("first", "second"))):
        local = ([end, "==", ["uuid", uid]] for uid in sorted(scope.local) for end in ends)
        idl.cond_change(table, list(local))


def _settled(idl: _Idl) -> bool:
    """Whether the server has acted on all conditions; it sends the rows before it acknowledges."""
    states = (table.condition_state for table in idl.tables.values())
    return all(state.new is None and state.requested is None for state in states)


def _columns(row: Any) -> dict[str, Any]:
    """A row's columns as JSON. Read below the library's attribute access, which drops references to rows that
    are not monitored.
    """
    return {column: row._data[column].to_json() for column in row._table.columns}
