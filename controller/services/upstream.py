"""Upstream: asks configured resolvers, and believes only what repeats the question.

Place: behind `controller.services.resolver`. Each question leaves from a socket of its own, connected, so
that the kernel chooses its port by chance and hands in only what the resolver sends (RFC 5452 section 9.2).
Must not choose what is forwarded, nor keep anything.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.addresses import Address
from services.naming.directory import Directory, Zone
from services.naming.forwarding import FAILED, Kept, Partial, Sent, accept, prepare
from services.naming.outcome import Question

_BITS: Final = 272
_MISFITS: Final = 8
"""Datagrams that are no answer. With so many somebody guesses: then TCP, which is harder to guess."""
_LENGTH: Final = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a resolver to answer, and how often all of them are tried."""

    wait: float = 1.5
    rounds: int = 2


class Upstream:
    """Resolvers in order; the one that answered last is asked first. `chance(n)`: n bits nobody can guess."""

    def __init__(
        self,
        resolvers: tuple[tuple[Address, int], ...],
        chance: Callable[[int], int],
        patience: Patience,
    ) -> None:
        self._resolvers = resolvers
        self._chance = chance
        self._patience = patience
        self._first = 0

    async def ask(self, question: Question, zone: Zone, directory: Directory) -> Kept:
        """What is believed of the first answer that fits; FAILED if there is none."""
        believed = FAILED
        for _ in range(self._patience.rounds):
            for offset in range(len(self._resolvers)):
                place = (self._first + offset) % len(self._resolvers)
                try:
                    found = await self._try(self._resolvers[place], question, zone, directory)
                except (OSError, TimeoutError, asyncio.IncompleteReadError):
                    continue
                if found is not FAILED:
                    self._first = place
                    return found
                believed = found
        return believed

    async def _try(
        self, resolver: tuple[Address, int], question: Question, zone: Zone, directory: Directory
    ) -> Kept:
        sent = prepare(question, self._chance(_BITS))

        def judge(wire: bytes) -> Kept | Partial | None:
            return accept(sent, wire, zone, directory)

        host, port = str(resolver[0]), resolver[1]
        async with asyncio.timeout(self._patience.wait):
            found = await _by_datagram(host, port, sent, judge)
        if isinstance(found, Kept):
            return found
        async with asyncio.timeout(self._patience.wait):
            return await _by_stream(host, port, sent, judge)


_Judge = Callable[[bytes], Kept | Partial | None]


class _Waiting(asyncio.DatagramProtocol):
    """Resolves `done` with the first datagram that fits."""

    def __init__(self, judge: _Judge) -> None:
        self.done: asyncio.Future[Kept | Partial] = asyncio.get_running_loop().create_future()
        self._judge = judge
        self._misfits = 0

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.done.done():
            return
        found = self._judge(data)
        self._misfits += found is None
        if found is not None:
            self.done.set_result(found)
        elif self._misfits >= _MISFITS:
            self.done.set_result(Partial())

    def error_received(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


async def _by_datagram(host: str, port: int, sent: Sent, judge: _Judge) -> Kept | Partial:
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(
        lambda: _Waiting(judge), remote_addr=(host, port)
    )
    try:
        transport.sendto(sent.wire)
        return await waiting.done
    finally:
        transport.close()


async def _by_stream(host: str, port: int, sent: Sent, judge: _Judge) -> Kept:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_LENGTH.pack(len(sent.wire)) + sent.wire)
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        found = judge(await reader.readexactly(length))
    finally:
        writer.close()
    return found if isinstance(found, Kept) else FAILED
