"""Server: datagrams and connections of ports to questions, and answers back to whoever asked.

Place: the process hands in bound sockets and says who is behind an address; `ask` is the resolver's. Each
port is bounded by itself: what waits of it, its connections, what waits on each, and how long it may be
silent (RFC 7766); and all are answered in turns. Must not look into a question.
"""

from __future__ import annotations

import asyncio
import inspect
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from controller.services.accepting import WHOLE, Accepting, Identify, address_of
from controller.services.turnstile import Lane, Turnstile
from model.addresses import Address
from model.ids import PortKey
from services.naming.outcome import Asker, Kind, Transport

Ask = Callable[[bytes, Asker, Transport], "bytes | Awaitable[bytes | None] | None"]

_LENGTH: Final = struct.Struct("!H")
_LARGEST: Final = 2048
"""Octets of a datagram that are read: more than any question has, so that what is longer is seen to be."""
_AT_ONCE: Final = 256
"""Datagrams that are taken in before the loop goes on."""
_ALIASES: Final = 1 << 14
"""Addresses that are known again without being read."""


def _forget(_: Asker, __: Kind) -> None:
    """Nobody counts."""


@dataclass(frozen=True, slots=True)
class Manners:
    """`connections` of a port at once, of all `whole`, and `pipelined` questions on each. `idle`: seconds in
    which the next question must have come whole, and in which an answer must have been taken."""

    connections: int = 8
    pipelined: int = 16
    idle: float = 10.0
    whole: int = WHOLE


class Server:
    """Serves from `start` until `close`."""

    def __init__(
        self,
        ask: Ask,
        identify: Identify,
        manners: Manners,
        note: Callable[[Asker, Kind], None] = _forget,
        turnstile: Turnstile | None = None,
    ) -> None:
        """`note`: told what came to nothing before it was a question."""
        self._note = note
        self._ask = ask
        self._identify = identify
        self._manners = manners
        self._turnstile = turnstile or Turnstile()
        self._tasks: set[asyncio.Task[None]] = set()
        self._datagrams: list[socket.socket] = []
        self._accepting = Accepting(
            self._turnstile, identify, self._converse, self._refuse, manners.connections, manners.whole
        )

    async def start(self, datagrams: Iterable[socket.socket], streams: Iterable[socket.socket]) -> None:
        """On sockets that are bound already; they are the server's from now on."""
        loop = asyncio.get_running_loop()
        for sock in datagrams:
            sock.setblocking(False)
            self._datagrams.append(sock)
            loop.add_reader(sock.fileno(), self._take, sock)
        for sock in streams:
            self._accepting.start(sock)

    async def close(self) -> None:
        """Answer nobody any more. What waits is given up."""
        for sock in self._datagrams:
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        await self._accepting.close()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def open_of(self, port: PortKey) -> int:
        """How many connections a port has."""
        return self._accepting.open_of(port)

    def drop(self, port: PortKey) -> None:
        """End the connections of a port: it is gone, or another one has its key."""
        self._accepting.drop(port)

    def answer(self, data: bytes, asker: Asker, reply: Callable[[bytes], None]) -> None:
        """A datagram whose turn it is."""
        said = self._ask(data, asker, Transport.UDP)
        if inspect.isawaitable(said):
            self._spawn(_send_later(said, reply))
        elif said is not None:
            reply(said)

    def lose(self, asker: Asker) -> None:
        """A datagram that its port's next ones pushed out."""
        self._note(asker, Kind.CROWDED)

    def _take(self, sock: socket.socket) -> None:
        """Datagrams that came in: nothing but who asks is looked at now, so that the kernel's queue, which is
        one for all, stays short."""
        for _ in range(_AT_ONCE):
            try:
                data, peer = sock.recvfrom(_LARGEST)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                continue  # an answer that could not be delivered: nobody's business here
            asker = self._identify(_known(peer[0]))
            if asker is not None:
                self._turnstile.put(asker.port, Lane.DATAGRAM, _Datagram(self, asker, data, peer, sock))

    def _refuse(self, asker: Asker) -> None:
        self._note(asker, Kind.CROWDED)

    def _spawn(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

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
                if not await self._turnstile.turn(asker.port, Lane.STREAM):
                    self._note(asker, Kind.CROWDED)
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


class _Datagram:
    """A question by UDP that waits for its turn."""

    __slots__ = ("_asker", "_data", "_peer", "_server", "_sock")

    def __init__(
        self, server: Server, asker: Asker, data: bytes, peer: tuple[Any, ...], sock: socket.socket
    ) -> None:
        self._server, self._asker, self._data, self._peer, self._sock = server, asker, data, peer, sock

    def come(self) -> None:
        self._server.answer(self._data, self._asker, self._reply)

    def lose(self) -> None:
        self._server.lose(self._asker)

    def _reply(self, wire: bytes) -> None:
        """What the kernel can't take now is lost, as datagrams may be."""
        with suppress(OSError):
            self._sock.sendto(wire, self._peer)


async def _send_later(said: Awaitable[bytes | None], reply: Callable[[bytes], None]) -> None:
    wire = await said
    if wire is not None:
        reply(wire)


@lru_cache(_ALIASES)
def _known(text: str) -> Address:
    return address_of((text,))
