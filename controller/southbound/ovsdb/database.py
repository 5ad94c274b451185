"""SwitchDatabase: watches the local Open_vSwitch database, and lays out our bridge, tunnel and controller.

Place: a thread of its own inside the agent; `on_event` only enqueues. Level-triggered: each event is all
that there is. Must not fork ovs-vsctl and must not touch rows without our mark.

Restore after a restart of ovs-vswitchd (kernel data path): `arm()` once the switch is in sync sets
`other_config:flow-restore-wait`, so that the next ovs-vswitchd keeps its data path flows, handles no packet
and calls no controller until it is told. The agent sees a new `Switch.started`, programs over the
management socket, calls `release()`, audits after the session is up (with the controller's return Open
vSwitch 3.1 flushes the bridge once more), and arms again. An agent that never arms needs no release. Only a
setting made by us is cleared.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ovs import poller
from ovs.db import idl

from controller.southbound import rpc
from controller.southbound.ovsdb import layout, reading
from controller.southbound.ovsdb.layout import Layout
from controller.southbound.ovsdb.reading import COLUMNS, Local
from controller.southbound.ovsdb.witness import RETRY, Witness
from model.errors import Fault, Unavailable
from model.ids import OWNER

TIMEOUT: Final = 10.0
_WAIT: Final = "flow-restore-wait"
_WAIT_MARK: Final = f"{OWNER}-{_WAIT}"
_FAILURE_PAUSE: Final = 1.0
_log = logging.getLogger(__name__)

Build = Callable[[idl.Idl, idl.Transaction], None]


@dataclass(slots=True)
class _Request:
    """A change on its way: `build` fills a transaction, `done` gets the outcome."""

    build: Build
    done: Future[None]
    transaction: Any = None


class SwitchDatabase:
    """`remote`: `unix:/path/to/db.sock`; `rundir`: where ovs-vswitchd has its sockets."""

    def __init__(
        self,
        remote: str,
        rundir: Path,
        on_event: Callable[[Local], None],
        bridge: str = "br-int",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remote = remote
        self._on_event = on_event
        self._bridge = bridge
        self._witness = Witness(rundir, clock)
        self._requests: deque[_Request] = deque()
        self._said: Local | None = None
        self._idl: idl.Idl | None = None
        self._stopping = threading.Event()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)
        self._thread = threading.Thread(target=self._run, name="switch-database", daemon=True)

    def start(self) -> None:
        """Begin to watch; the first event comes when the database has been read."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and give everything back."""
        self._stopping.set()
        self._nudge()
        if self._thread.is_alive():
            self._thread.join()
        self._wake.close()
        self._waker.close()

    def ensure(self, wanted: Layout, timeout: float = TIMEOUT) -> None:
        """Bridge, tunnel port and controller are as wanted; writes nothing if they are already.

        Conflict if such a row belongs to somebody else, Unavailable without an answer in time.
        """

        def build(database: idl.Idl, transaction: idl.Transaction) -> None:
            root = _root(database)
            rows = database.tables
            bridges, ports = list(rows["Bridge"].rows.values()), list(rows["Port"].rows.values())
            root.verify("bridges")
            layout.apply(wanted, root, bridges, ports, lambda table: transaction.insert(rows[table]))

        self._change(build, timeout)

    def recall(self, controllers: Sequence[str], timeout: float = TIMEOUT) -> None:
        """Make the switch connect to the agent now; nothing if our controller is not there yet.

        Our Controller row is replaced by one with another of our targets, in one transaction: the bridge is
        never without a controller, so its flows stay.
        """

        def build(database: idl.Idl, transaction: idl.Transaction) -> None:
            rows = database.tables
            for bridge in rows["Bridge"].rows.values():
                if bridge.name == self._bridge and layout.marked(bridge):
                    layout.recall(bridge, controllers, lambda table: transaction.insert(rows[table]))

        self._change(build, timeout)

    def arm(self, timeout: float = TIMEOUT) -> None:
        """The next ovs-vswitchd shall wait for its flows."""

        def build(database: idl.Idl, _: idl.Transaction) -> None:
            root = _root(database)
            if root.other_config.get(_WAIT) != "true":
                root.setkey("other_config", _WAIT, "true")
                root.setkey("external_ids", _WAIT_MARK, "true")

        self._change(build, timeout)

    def release(self, timeout: float = TIMEOUT) -> None:
        """The flows are there: ovs-vswitchd shall begin. Leaves a setting alone that is not ours."""

        def build(database: idl.Idl, _: idl.Transaction) -> None:
            root = _root(database)
            if _WAIT_MARK in root.external_ids:
                root.delkey("other_config", _WAIT)
                root.delkey("external_ids", _WAIT_MARK)

        self._change(build, timeout)

    def _change(self, build: Build, timeout: float) -> None:
        request = _Request(build, Future())
        self._requests.append(request)
        self._nudge()
        try:
            request.done.result(timeout)
        except TimeoutError as error:
            request.done.cancel()
            raise _unavailable(self._remote, f"no answer within {timeout} s") from error

    def _nudge(self) -> None:
        with suppress(OSError):
            self._waker.send(b".")

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - the watch must outlive whatever the database holds
                _log.exception("switch database: starting afresh")
                self._close()
                self._stopping.wait(_FAILURE_PAUSE)
        self._close()
        self._witness.close()
        while self._requests:
            self._finish(self._requests[0], _unavailable(self._remote, "the agent stops"))

    def _turn(self) -> None:
        """One round: take in news, serve the first request, say what changed, wait."""
        if self._idl is None and not self._connect():
            self._stopping.wait(RETRY)
            return
        database = self._idl
        assert database is not None
        database.run()
        self._witness.look()
        if database.has_ever_connected():
            self._serve(database)
            self._say(reading.read(database, self._bridge, self._witness.started))
        self._block(database)

    def _connect(self) -> bool:
        """The schema comes from the server itself, so that columns that it lacks are known early."""
        path = Path(self._remote.removeprefix("unix:"))
        try:
            schema = rpc.call(path, "get_schema", ["Open_vSwitch"], TIMEOUT)
        except Unavailable:
            return False
        helper = idl.SchemaHelper(schema_json=schema)
        for table, columns in COLUMNS:
            helper.register_columns(table, list(columns))
        self._idl = idl.Idl(self._remote, helper, leader_only=False)
        return True

    def _close(self) -> None:
        if self._idl is not None:
            self._idl.close()
        self._idl = None
        for request in self._requests:
            request.transaction = None

    def _serve(self, database: idl.Idl) -> None:
        """Take the first request as far as it goes without waiting."""
        while self._requests:
            request = self._requests[0]
            if request.done.cancelled():
                self._finish(request, None)
                continue
            try:
                status = self._advance(database, request)
            except Exception as error:  # noqa: BLE001 - belongs to the one who asked
                self._finish(request, error)
                continue
            if status == idl.Transaction.INCOMPLETE:
                return
            request.transaction = None
            if status in (idl.Transaction.SUCCESS, idl.Transaction.UNCHANGED):
                self._finish(request, None)
            elif status != idl.Transaction.TRY_AGAIN:
                self._finish(request, _unavailable(self._remote, f"transaction ended as {status}"))
            else:
                return

    def _advance(self, database: idl.Idl, request: _Request) -> str:
        if request.transaction is None:
            transaction = idl.Transaction(database)
            transaction.add_comment(OWNER)  # so that `ovsdb-tool show-log` names the author
            try:
                request.build(database, transaction)
            except BaseException:
                transaction.abort()
                raise
            request.transaction = transaction
        return str(request.transaction.commit())

    def _finish(self, request: _Request, error: BaseException | None) -> None:
        """Take the request out of the queue and tell who waits for it, if anybody still does."""
        if request.transaction is not None:
            request.transaction.abort()
        self._requests.popleft()
        with suppress(InvalidStateError):
            if error is None:
                request.done.set_result(None)
            else:
                request.done.set_exception(error)

    def _say(self, local: Local) -> None:
        if local == self._said:
            return
        self._said = local
        self._on_event(local)

    def _block(self, database: idl.Idl) -> None:
        waiting = poller.Poller()
        database.wait(waiting)
        if self._requests and self._requests[0].transaction is not None:
            self._requests[0].transaction.wait(waiting)
        witness = self._witness.fileno()
        if witness is None:
            waiting.timer_wait(int(RETRY * 1000))
        else:
            waiting.fd_wait(witness, poller.POLLIN)
        waiting.fd_wait(self._wake.fileno(), poller.POLLIN)
        waiting.block()
        with suppress(BlockingIOError):
            self._wake.recv(4096)


def _root(database: idl.Idl) -> Any:
    rows = list(database.tables["Open_vSwitch"].rows.values())
    if not rows:
        raise Unavailable(
            Fault(
                "database Open_vSwitch",
                "ovs-not-initialised",
                "its root row is missing",
                "ovs-vsctl --no-wait init, before ovs-vswitchd starts",
            )
        )
    return rows[0]


def _unavailable(remote: str, message: str) -> Unavailable:
    return Unavailable(
        Fault(f"switch database {remote}", "ovs-unavailable", message, "see that ovsdb-server runs")
    )
