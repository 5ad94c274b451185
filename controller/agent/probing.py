"""Probing: asks VTEPs for a sign of life on a thread of its own, and says which stay silent.

Place: an effect; the loop asks about once a second for the VTEPs that held routes lead to. A single lost
echo is
no verdict: only LIMIT in a row are.
"""

from __future__ import annotations

import logging
import select
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from controller.agent.events import Silent
from controller.southbound.probe import Prober
from model.addresses import Address

LOG: Final = logging.getLogger(__name__)
TIMEOUT: Final = 1.0
LIMIT: Final = 3


class Probing:
    """All methods may be called from any thread, and none waits."""

    def __init__(self, prober: Prober, on_silent: Callable[[Silent], None]) -> None:
        self._prober = prober
        self._on_silent = on_silent
        self._guard = threading.Lock()
        self._wanted: tuple[Address, ...] = ()
        self._misses: dict[Address, int] = {}
        self._waiting: set[Address] = set()
        self._wake, self._waker = socket.socketpair()
        self._wake.setblocking(False)
        self._waker.setblocking(False)  # the agent's loop nudges: it must not wait for this thread
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="probing", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the sockets."""
        self._stopping = True
        self._nudge()
        if self._thread.is_alive():
            self._thread.join()
        self._prober.close()

    def ask(self, vteps: tuple[Address, ...]) -> None:
        """These are the VTEPs of interest now; each is asked once."""
        if not vteps and not self._wanted:
            return
        with self._guard:
            self._wanted = vteps
        self._nudge()

    def _nudge(self) -> None:
        with suppress(OSError):
            self._waker.send(b".")

    def _run(self) -> None:
        while not self._stopping:
            timeout = TIMEOUT if self._waiting else None
            sources = [self._wake.fileno(), *self._prober.filenos()]
            ready, _, _ = select.select(sources, [], [], timeout)
            if self._wake.fileno() in ready:
                self._wake.recv(4096)
                self._send()
            for verdict in self._prober.collect():
                self._waiting.discard(verdict.address)
                self._judge(verdict.address, answered=verdict.alive)

    def _send(self) -> None:
        with self._guard:
            wanted = self._wanted
        self._misses = {v: n for v, n in self._misses.items() if v in wanted}
        fresh = [v for v in wanted if v not in self._waiting]
        self._waiting.update(fresh)
        self._prober.send(fresh, TIMEOUT)

    def _judge(self, vtep: Address, *, answered: bool) -> None:
        if answered:
            self._misses.pop(vtep, None)
            return
        missed = self._misses.get(vtep, 0) + 1
        self._misses[vtep] = missed
        if missed == LIMIT:
            LOG.warning("VTEP silent vtep=%s probes=%d", vtep, missed)
            self._on_silent(Silent(vtep))
