"""Cache: Contents kept current by a monitor, so that a plan starts from memory and not from a query.

Place: under `writer.Store.change` and the API's reads. A thread of its own; what it gives out is immutable.
What it says may be a moment old: the store's indexes and waits decide. Must not write.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from controller.store.assembly import WANTED_COLUMNS, Assembly
from controller.store.records import DATABASE, Contents
from controller.store.wire import TIMEOUT, Connection
from model.errors import Fault, RingfenceError, Unavailable
from model.ids import Uid

log = logging.getLogger(__name__)

_IDLE: Final = 5.0
"""Seconds of silence after which the server is asked whether it is there (a dead TCP peer says nothing)."""
_PAUSE: Final = 0.5


class Cache:
    """Follows one store. `connection` is its own: nobody else may use it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._changed = threading.Condition()
        self._contents: Contents | None = None
        self._stopping = threading.Event()
        self._reason = "it has not been read yet"
        self._thread = threading.Thread(target=self._follow, name="store-cache", daemon=True)

    def start(self) -> None:
        """Begin to follow; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopping.set()
        self._connection.close()
        self._thread.join(TIMEOUT)

    def at_least(self, cluster: Uid | None, generation: int, timeout: float = TIMEOUT) -> Contents:
        """Contents that have seen that generation of that cluster (of any, if the store was replaced).

        Raises Unavailable if they don't arrive in time.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                contents = self._contents
                if contents is not None and _covers(contents, cluster, generation):
                    return contents
                left = deadline - time.monotonic()
                if left <= 0 or self._stopping.is_set():
                    message = f"the store can't be read: {self._reason}"
                    raise Unavailable(Fault("store", "store-unavailable", message, "Start the store."))
                self._changed.wait(left)

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                self._session()
            except RingfenceError as error:
                if not self._stopping.is_set():
                    self._lose(str(error))
            except Exception as error:  # a defect must not leave the API with old contents for ever
                log.exception("the store's cache starts again")
                self._lose(str(error))

    def _session(self) -> None:
        monitor = {table: [{"columns": list(columns)}] for table, columns in WANTED_COLUMNS.items()}
        initial = self._connection.call("monitor", [DATABASE, "cache", monitor])
        assembly = Assembly()
        self._publish(assembly.feed(initial))
        log.info("store read ports=%d", len(assembly.contents.ports))
        while not self._stopping.is_set():
            notices = self._connection.notices(_IDLE)
            if not notices:
                self._connection.call("echo", [])
            for notice in notices:
                if notice["method"] == "update":
                    self._publish(assembly.feed(notice["params"][1]))

    def _publish(self, contents: Contents | None) -> None:
        with self._changed:
            self._contents = contents
            self._changed.notify_all()

    def _lose(self, reason: str) -> None:
        self._reason = reason
        if self._contents is not None:
            log.warning("store lost: %s", reason)
            self._publish(None)
        self._stopping.wait(_PAUSE)


def _covers(contents: Contents, cluster: Uid | None, generation: int) -> bool:
    held = contents.cluster
    if cluster is None or held is None or held.uid != cluster:
        return True
    return held.generation >= generation
