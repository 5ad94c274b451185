"""Throng: the processes beside a quiet port: what serves it, the resolver outside, and the ports that flood.

Place: started by `neighbours` through `beside`: `python -m tests.bench.throng WHAT WORDS`, in a network
namespace of their own. Must not measure.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from controller.agent.answering import Answering
from controller.services import door
from controller.services.door import Sockets
from controller.services.serving import Serving, Settings
from model.ids import HostName, PortKey, Uid
from model.serving import SERVED, alias
from model.snapshot import Snapshot
from tests.bench.beside import begun, over
from tests.fakes import world
from tests.fakes.resolvers import Resolver
from tests.fakes.tenants import question

FLOODS: Final = ("names", "unknown", "outside", "connections", "metadata")
QUIET: Final = 60
"""Key of the port that asks now and then; those that flood have the first ones."""
HERE: Final = (*(f"{alias(PortKey(key), 0, 4)}/32" for key in range(1, QUIET + 1)), *map(str, SERVED))
OUTSIDE: Final = ("127.0.0.1", 5300)
PACE: Final = 2_000
"""Packets a second of a port: what its meter lets through."""
MACS: Final = 6 << 40
"""A port has that of its key."""
_NAMES: Final = (str(SERVED[0]), 53)
_WEB: Final = (str(SERVED[2]), 80)
_KEPT: Final = 50
"""Connections that a flooding port holds at once, if it is let."""
_BEGUN: Final = 700
"""Connections a second that a port can begin: each takes three packets of it at least."""
_TICK: Final = 0.002


class _Here:
    """A door to sockets in this namespace."""

    def lay(self) -> Sockets:
        return door.open_sockets()

    def plug(self, rundir: Path, bridge: str, suffix: str) -> None:
        return

    def is_plugged(self, rundir: Path) -> bool:
        return True

    def is_laid(self) -> bool:
        return True


def snapshot(more: int) -> Snapshot:
    """So many ports of one tenant as flood, and the quiet one of another; `more` have keys beyond it."""
    made = world.added(world.empty(), world.tenant(1), world.tenant(2))
    for key in (1, 2):
        named = replace(world.network(key, owner=key), uid=Uid(f"11111111-2222-4333-8444-{key:012}"))
        made = world.added(made, named)
    for key in range(1, QUIET + more + 1):
        high, low = divmod(key, 250)
        one = world.port(key, 2 if key == QUIET else 1, MACS + key, [f"10.0.{high}.{low + 1}"])
        made = world.plugged(made, one, key)
    return made


def _answer(path: str, more: str) -> None:
    """The agent's thread, and nothing else of it."""
    ended, known = over(), snapshot(int(more))
    answering = Answering(Path(path), HostName("hv1"))
    begun()
    answering.start(lambda: known)
    ended.wait()
    answering.stop()


async def _serve(state: str) -> None:
    settings = Settings(Path(state), Path(state), "none", "internal", ((ip_address(OUTSIDE[0]), OUTSIDE[1]),))
    work = asyncio.create_task(Serving(settings, _Here()).run())
    await _until_over(work)


async def _outside() -> None:
    resolver = Resolver("60 A 198.51.100.1", at=OUTSIDE)
    await resolver.start()
    await _until_over(asyncio.create_task(asyncio.Event().wait()))
    resolver.close()


async def _until_over(work: asyncio.Task[object]) -> None:
    ended = over()
    begun()
    while not ended.is_set():
        await asyncio.sleep(0.1)
    work.cancel()
    with suppress(asyncio.CancelledError):
        await work


def _flood(kind: str, count: int, ended: threading.Event) -> None:
    hosts = [str(alias(PortKey(key), 0, 4)) for key in range(1, count + 1)]
    begun()
    if kind in ("connections", "metadata"):
        _connect(hosts, _NAMES if kind == "connections" else _WEB, ended)
    else:
        _ask(hosts, kind, ended)


def _ask(hosts: list[str], kind: str, ended: threading.Event) -> None:
    """At the pace of their meters, or as fast as this process can."""
    name = {"names": "p1.t1.internal", "unknown": "x{}.t1.internal", "outside": "x{}.test"}
    wires = [question(name[kind].format(n), id=n) for n in range(4_000)]
    links = []
    for host in hosts:
        link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        link.bind((host, 0))
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # nobody reads the answers
        link.connect(_NAMES)
        link.setblocking(False)
        links.append(link)
    wheel, sent, began = itertools.cycle(wires), 0, time.perf_counter()
    while not ended.is_set():
        due = int((time.perf_counter() - began) * PACE)
        for wire in itertools.islice(wheel, min(due - sent, 50)):
            for link in links:
                with suppress(OSError):
                    link.send(wire)
        sent = due
        time.sleep(_TICK)


def _connect(hosts: list[str], where: tuple[str, int], ended: threading.Event) -> None:
    """Connections in turns, the oldest given up for a new one; on some of them a question is begun."""
    held: deque[socket.socket] = deque()
    wheel, done, began = itertools.cycle(hosts), 0, time.perf_counter()
    while not ended.is_set():
        if done >= (time.perf_counter() - began) * _BEGUN * len(hosts):
            time.sleep(_TICK)
            continue
        done += 1
        link = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.setblocking(False)
        with suppress(OSError):
            link.bind((next(wheel), 0))
        if link.connect_ex(where) not in (0, errno.EINPROGRESS):
            link.close()
            continue
        held.append(link)
        if len(held) > _KEPT * len(hosts):
            held.popleft().close()


def main() -> None:
    """Until standard input ends."""
    what, *words = sys.argv[1:]
    if what == "serve":
        asyncio.run(_serve(*words))
    elif what == "outside":
        asyncio.run(_outside())
    elif what == "answer":
        _answer(*words)
    else:
        _flood(words[0], int(words[1]), over())


if __name__ == "__main__":
    main()
