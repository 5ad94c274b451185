"""Server: datagrams and connections of ports to questions, and answers back to whoever asked.

Place: the process hands in bound sockets and says who is behind an address; `ask` is the resolver's. Each
port is bounded by itself: its connections, what waits on each, and how long it may be silent (RFC 7766). Must
not look into a question.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final

from model.addresses import Address
from model.ids import PortKey
from services.naming.outcome import Asker, Kind, Transport

Ask = Callable[[bytes, Asker, Transport], "bytes | Awaitable[bytes | None] | None"]
Identify = Callable[[Address], "Asker | None"]
"""Who is behind an address; None: nobody that may ask."""

BACKLOG: Final = 1024
"""Connections that may wait to be taken, of all ports: one port can't have so many in the time of a turn."""
_LENGTH: Final = struct.Struct("!H")
_UNSENT: Final = 1 << 20
"""Octets of answers by UDP that may wait for the kernel; what comes then is lost, as datagrams may be."""


def _forget(_: Asker, __: Kind) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class Manners:
    """`connections` of a port at once, and `pipelined` questions on each. `idle`: seconds in which the next
    question must have come whole, and in which an answer must have been taken."""

    connections: int = 8
    pipelined: int = 16
    idle: float = 10.0


class Server:
    """Serves from `start` until `close`."""

    def __init__(
        self, ask: Ask, identify: Identify, manners: Manners, note: Callable[[Asker, Kind], None] = _forget
    ) -> None:
        """`note`: told what came to nothing before it was a question."""
        self._note = note
        self._ask = ask
        self._identify = identify
        self._manners = manners
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: Counter[PortKey] = Counter()
        self._connected: dict[asyncio.Task[None], PortKey] = {}
        self._datagrams: list[asyncio.DatagramTransport] = []
        self._listeners: list[asyncio.Server] = []

    async def start(self, datagrams: Iterable[socket.socket], streams: Iterable[socket.socket]) -> None:
        """On sockets that are bound already; they are the server's from now on."""
        loop = asyncio.get_running_loop()
        for sock in datagrams:
            transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=sock)
            self._datagrams.append(transport)
        for sock in streams:
            self._listeners.append(await asyncio.start_server(self._serve, sock=sock))
            sock.listen(BACKLOG)  # asyncio has made it 100, which is also how many it takes in one turn

    async def close(self) -> None:
        """Answer nobody any more. What waits is given up."""
        for transport in self._datagrams:
            transport.close()
        for listener in self._listeners:
            listener.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def open_of(self, port: PortKey) -> int:
        """How many connections a port has."""
        return self._open[port]

    def drop(self, port: PortKey) -> None:
        """End the connections of a port: it is gone, or another one has its key."""
        for task, owner in tuple(self._connected.items()):
            if owner == port:
                task.cancel()

    def take(self, data: bytes, peer: tuple[Any, ...], transport: Any) -> None:
        """A datagram that came in."""
        asker = self._identify(_address(peer))
        if asker is None:
            return
        said = self._ask(data, asker, Transport.UDP)
        if inspect.isawaitable(said):
            self._spawn(_send_later(said, peer, transport))
        else:
            _send(said, peer, transport)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, from its first octet to its last."""
        here = asyncio.current_task()
        peer = writer.get_extra_info("peername")
        asker = self._identify(_address(peer)) if peer else None
        if asker is None or here is None or self._open[asker.port] >= self._manners.connections:
            if asker is not None:
                self._note(asker, Kind.CROWDED)
            writer.transport.abort()
            return
        self._tasks.add(here)
        self._connected[here] = asker.port
        self._open[asker.port] += 1
        try:
            await self._converse(reader, writer, asker)
        finally:
            self._open[asker.port] -= 1
            if not self._open[asker.port]:
                del self._open[asker.port]
            self._tasks.discard(here)
            del self._connected[here]
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, asker: Asker
    ) -> None:
        """Questions as they come, answers as they are ready, in any order (RFC 7766 section 6.2.1.1)."""
        room = asyncio.Semaphore(self._manners.pipelined)
        under_way: set[asyncio.Task[None]] = set()
        try:
            while True:
                await room.acquire()
                wire = await self._next(reader, asker)
                if wire is None:
                    # Whoever has no more to ask may still wait for answers.
                    await asyncio.gather(*under_way)
                    return
                task = self._spawn(self._reply(wire, asker, writer, room))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
        finally:
            for task in under_way:
                task.cancel()

    async def _next(self, reader: asyncio.StreamReader, asker: Asker) -> bytes | None:
        """The next question, whole; None if none came in time, or none will."""
        begun = b""
        try:
            async with asyncio.timeout(self._manners.idle):
                begun = await reader.readexactly(1)
                (length,) = _LENGTH.unpack(begun + await reader.readexactly(_LENGTH.size - 1))
                return await reader.readexactly(length)
        except (TimeoutError, asyncio.IncompleteReadError, OSError) as error:
            if begun:  # who has asked all that it wanted may be silent, or go
                self._note(asker, Kind.SLOW if isinstance(error, TimeoutError) else Kind.SHORT)
        return None

    async def _reply(
        self, wire: bytes, asker: Asker, writer: asyncio.StreamWriter, room: asyncio.Semaphore
    ) -> None:
        try:
            said = self._ask(wire, asker, Transport.TCP)
            octets = await said if inspect.isawaitable(said) else said
            if octets is None or writer.transport.is_closing():
                return
            writer.write(_LENGTH.pack(len(octets)) + octets)
            async with asyncio.timeout(self._manners.idle):
                await writer.drain()
        except (TimeoutError, OSError):
            # Who does not take its answers gets no more of them.
            writer.transport.abort()
        finally:
            room.release()


class _Datagrams(asyncio.DatagramProtocol):
    """Hands what comes in to the server; what can't be delivered is nobody's business here."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._transport is not None:
            self._server.take(data, addr, self._transport)


async def _send_later(said: Awaitable[bytes | None], peer: tuple[Any, ...], transport: Any) -> None:
    _send(await said, peer, transport)


def _send(said: bytes | None, peer: tuple[Any, ...], transport: Any) -> None:
    if said is not None and not transport.is_closing() and transport.get_write_buffer_size() < _UNSENT:
        transport.sendto(said, peer)


def _address(peer: tuple[Any, ...]) -> Address:
    """Without the zone of a link-local one."""
    return ip_address(str(peer[0]).partition("%")[0])
