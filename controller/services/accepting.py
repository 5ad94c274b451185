"""Accepting: connections of ports, each seated or hung up on, begun in turns of ports.

Place: under `server` and `web`, which converse on what is accepted here. Who has too many is hung up on
before anything is made for it; where all seats are taken a port that holds few gets one of the port that
holds most, whose oldest connection ends. Must not read what comes.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, Final

from controller.services.turnstile import Lane, Turnstile
from model.addresses import Address
from model.ids import PortKey
from services.naming.outcome import Asker
from services.seats import Seats

Identify = Callable[[Address], "Asker | None"]
"""Who is behind an address; None: nobody that may ask."""
Converse = Callable[[asyncio.StreamReader, asyncio.StreamWriter, Asker], Awaitable[None]]

BACKLOG: Final = 1024
"""Connections that may wait to be taken, of all ports."""
WHOLE: Final = 1024
"""Connections of all ports together. While it is more than a host has ports, none is kept out."""
_AT_ONCE: Final = 256
"""Connections that are taken before the loop goes on. To refuse one costs a few microseconds."""
_ROOM: Final = 4096
"""Octets that are read ahead of a connection, twice at most."""
_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_AGAIN: Final = 1.0
_HARD: Final = struct.pack("ii", 1, 0)
"""SO_LINGER: nothing is kept of what is hung up on, not even a state of TCP."""


class Accepting:
    """`each`: connections of a port, `whole`: of all. `refuse`: told whose connection was not taken, or ended
    for another's."""

    def __init__(
        self,
        turnstile: Turnstile,
        identify: Identify,
        converse: Converse,
        refuse: Callable[[Asker], None],
        each: int,
        whole: int = WHOLE,
    ) -> None:
        self._turnstile = turnstile
        self._identify = identify
        self._converse = converse
        self._refuse = refuse
        self._seats: Seats[PortKey] = Seats(each, whole)
        self._open: dict[PortKey, dict[_Connection, None]] = {}
        self._listeners: list[socket.socket] = []

    def start(self, listener: socket.socket) -> None:
        """Take connections of a socket that listens already; it is ours from now on."""
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._listeners.append(listener)
        asyncio.get_running_loop().add_reader(listener.fileno(), self._accept, listener)

    async def close(self) -> None:
        """Take none any more, and end those there are."""
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener.fileno())
            listener.close()
        self._listeners.clear()
        ended = [one.end() for own in tuple(self._open.values()) for one in tuple(own)]
        await asyncio.gather(*(task for task in ended if task is not None), return_exceptions=True)

    def open_of(self, port: PortKey) -> int:
        """How many connections a port has."""
        return len(self._open.get(port, ()))

    def drop(self, port: PortKey) -> None:
        """End the connections of a port."""
        for one in tuple(self._open.get(port, ())):
            one.end()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                link, peer = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _FULL:
                    self._pause(listener)
                    return
                continue  # who came is gone already
            asker = self._identify(address_of(peer))
            if asker is None:
                _hang_up(link)
            else:
                self._seat(link, asker)

    def _pause(self, listener: socket.socket) -> None:
        """Else the loop would do nothing but fail here."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener.fileno())

        def resume() -> None:
            if listener in self._listeners:
                loop.add_reader(listener.fileno(), self._accept, listener)

        loop.call_later(_AGAIN, resume)

    def _seat(self, link: socket.socket, asker: Asker) -> None:
        seated = self._seats.take(asker.port)
        if seated is None:
            self._refuse(asker)
            _hang_up(link)
            return
        if seated.instead is not None:
            oldest = next(iter(self._open[seated.instead]))
            self._refuse(oldest.asker)
            self._let_go(oldest)
            oldest.end()
        one = _Connection(self, link, asker)
        self._open.setdefault(asker.port, {})[one] = None
        self._turnstile.put(asker.port, Lane.OPENING, one)

    async def serve(self, link: socket.socket, asker: Asker) -> None:
        """From its first octet to its last."""
        loop, reader = asyncio.get_running_loop(), asyncio.StreamReader(limit=_ROOM)
        transport, protocol = await loop.connect_accepted_socket(
            lambda: asyncio.StreamReaderProtocol(reader), link
        )
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        try:
            await self._converse(reader, writer, asker)
        finally:
            writer.close()

    def leave(self, one: _Connection) -> None:
        """It is over; harmless twice."""
        if one in self._open.get(one.asker.port, ()):
            self._let_go(one)
            self._seats.leave(one.asker.port)

    def _let_go(self, one: _Connection) -> None:
        own = self._open[one.asker.port]
        del own[one]
        if not own:
            del self._open[one.asker.port]


class _Connection:
    """It waits for its turn, then it is a task. `_link`: as long as no task has it."""

    def __init__(self, among: Accepting, link: socket.socket, asker: Asker) -> None:
        self.asker = asker
        self._among = among
        self._link: socket.socket | None = link
        self._task: asyncio.Task[None] | None = None

    def come(self) -> None:
        if self._link is not None:
            self._task = asyncio.create_task(self._serve())
            self._task.add_done_callback(self._over)

    def lose(self) -> None:
        self.end()

    def end(self) -> asyncio.Task[None] | None:
        """Its task, if it has one, is about to end."""
        if self._task is None:
            self._over(None)
        else:
            self._task.cancel()
        return self._task

    async def _serve(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            await self._among.serve(link, self.asker)

    def _over(self, _: asyncio.Task[None] | None) -> None:
        if self._link is not None:  # it has not begun
            _hang_up(self._link)
            self._link = None
        self._among.leave(self)


def address_of(peer: tuple[Any, ...]) -> Address:
    """Without the zone of a link-local one."""
    return ip_address(str(peer[0]).partition("%")[0])


def _hang_up(link: socket.socket) -> None:
    with suppress(OSError):
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _HARD)
    link.close()
