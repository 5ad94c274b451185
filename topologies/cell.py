"""The cell: a PID namespace that holds every process of one lab, so that they all end together.

Place: under every node; nothing of a lab is spawned any other way. Must not outlive its owner, and must not
hold a process that the lab did not start.

One thread of the owner unshares the PID namespace of its children and spawns them all. Its first child is
process 1 of the namespace; when that ends, the kernel kills all others, however they were daemonised
(pid_namespaces(7)). Process 1 ends when the cell is closed, when the owner dies by whatever signal (its
parent death signal), and when the owner's end of its stdin is closed. `setpriv --pdeathsig` on each process
is a second lock: alone it would miss grandchildren and daemons that change their user, as FRR's do.

Process ids seen by the owner are those of the owner's own namespace.
"""

from __future__ import annotations

import ctypes
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import IO, Any

from topologies.errors import LabError

_CLONE_NEWPID = 0x20000000
_DIES_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL")
# bash, because as process 1 it reaps the orphans that it inherits; `read` ends at the end of its stdin.
_INIT = (*_DIES_WITH_PARENT, "bash", "--norc", "-c", "read -r _")
_REAP_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Streams:
    """Where a process reads and writes: file objects, descriptors or the constants of subprocess."""

    stdin: int | IO[Any] | None = subprocess.DEVNULL
    stdout: int | IO[Any] | None = subprocess.PIPE
    stderr: int | IO[Any] | None = subprocess.PIPE


@dataclass(frozen=True, slots=True)
class _Order:
    command: tuple[str, ...]
    settings: Mapping[str, Any]
    answer: Future[subprocess.Popen[bytes]]


class Cell:
    """All processes of one lab. `close` ends them, in any state, and waits until they are gone."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._children: list[subprocess.Popen[bytes]] = []
        self._closed = False
        ready: Future[subprocess.Popen[bytes]] = Future()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="lab-cell", daemon=True)
        self._thread.start()
        self._init = ready.result(timeout=_REAP_TIMEOUT)

    def popen(self, command: Sequence[str], **settings: Any) -> subprocess.Popen[bytes]:
        """subprocess.Popen inside the cell; OSError if the program does not exist."""
        if self._closed:
            raise LabError("the lab is closed: nothing can be started in it")
        order = _Order((*_DIES_WITH_PARENT, *command), settings, Future())
        self._orders.put(order)
        return order.answer.result()

    def spawn(
        self, command: Sequence[str], streams: Streams, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """A process with a session of its own, so that no terminal's Ctrl-C reaches it."""
        return self.popen(
            command,
            stdin=streams.stdin,
            stdout=streams.stdout,
            stderr=streams.stderr,
            env=env,
            start_new_session=True,
        )

    def close(self) -> None:
        """Kill everything and reap it. Process 1 is gone only after all others are (pid_namespaces(7))."""
        if self._closed:
            return
        self._closed = True
        self._init.kill()
        for child in self._children:
            child.wait(_REAP_TIMEOUT)
        self._init.wait(_REAP_TIMEOUT)
        if self._init.stdin is not None:
            self._init.stdin.close()
        self._orders.put(None)
        self._thread.join(_REAP_TIMEOUT)

    def _serve(self, ready: Future[subprocess.Popen[bytes]]) -> None:
        try:
            _unshare_pids()
            init = subprocess.Popen(
                _INIT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, LabError) as error:
            ready.set_exception(error)
            return
        ready.set_result(init)
        while (order := self._orders.get()) is not None:
            try:
                child = subprocess.Popen(order.command, **order.settings)
            except OSError as error:
                order.answer.set_exception(error)
                continue
            self._children = [c for c in self._children if c.returncode is None]
            self._children.append(child)
            order.answer.set_result(child)


def _unshare_pids() -> None:
    """Children of the calling thread, from now on, get a new PID namespace. The thread itself stays."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWPID) != 0:
        code = ctypes.get_errno()
        raise LabError(
            f"this process may not make a PID namespace ({os.strerror(code)}): run the lab as root,"
            " and outside of containers that forbid it"
        )
