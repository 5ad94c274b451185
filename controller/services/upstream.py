"""Upstream: asks configured resolvers, and believes only what repeats the question.

Place: behind `controller.services.resolver`. Each question leaves from a socket of its own, connected, so
that the kernel chooses its port by chance and hands in only what the resolver sends (RFC 5452 section 9.2).
Must not choose what is forwarded, nor keep anything.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from model.addresses import Address
from services.naming.directory import Directory, Zone
from services.naming.forwarding import FAILED, Kept, Partial, Sent, accept, prepare
from services.naming.outcome import Question

_BITS: Final = 272
_IDENTITY: Final = 0xFFFF
"""Of these, those that make the id."""
_MISFITS: Final = 8
"""Datagrams that are no answer. With so many somebody guesses: then TCP, which is harder to guess."""
_LENGTH: Final = struct.Struct("!H")


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds for a resolver to answer, how often all of them are tried, and seconds for all of it: a port's
    resolver gives up after five, and is to hear before that nobody answers (glibc's RES_TIMEOUT)."""

    wait: float = 1.5
    rounds: int = 2
    whole: float = 4.0


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
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience.whole):
                for _ in range(self._patience.rounds):
                    found = await self._round(question, zone, directory)
                    if found is not FAILED:
                        return found
        return FAILED

    async def _round(self, question: Question, zone: Zone, directory: Directory) -> Kept:
        """Each of them once."""
        for offset in range(len(self._resolvers)):
            place = (self._first + offset) % len(self._resolvers)
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
                found = await self._try(self._resolvers[place], question, zone, directory)
                if found is not FAILED:
                    self._first = place
                    return found
        return FAILED

    async def _try(
        self, resolver: tuple[Address, int], question: Question, zone: Zone, directory: Directory
    ) -> Kept:
        chance, wait = self._chance(_BITS), self._patience.wait

        def judge(sent: Sent, wire: bytes) -> Kept | Partial | None:
            return accept(sent, wire, zone, directory)

        host, port = str(resolver[0]), resolver[1]
        found = await _by_datagram(host, port, prepare(question, chance), judge, wait)
        if isinstance(found, Kept):
            return found
        # Nobody guesses a connection: letters are small there, for those that don't repeat their case.
        async with asyncio.timeout(wait):
            return await _by_stream(host, port, prepare(question, chance & _IDENTITY), judge)


_Judge = Callable[[Sent, bytes], Kept | Partial | None]


class _Waiting(asyncio.DatagramProtocol):
    """Resolves `done` with the first datagram that fits."""

    def __init__(self, sent: Sent, judge: _Judge) -> None:
        self.done: asyncio.Future[Kept | Partial] = asyncio.get_running_loop().create_future()
        self.misfits = 0
        self._sent = sent
        self._judge = judge

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.done.done():
            return
        found = self._judge(self._sent, data)
        self.misfits += found is None
        if found is not None:
            self.done.set_result(found)
        elif self.misfits >= _MISFITS:
            self.done.set_result(Partial())

    def error_received(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


async def _by_datagram(host: str, port: int, sent: Sent, judge: _Judge, wait: float) -> Kept | Partial:
    loop = asyncio.get_running_loop()
    transport, waiting = await loop.create_datagram_endpoint(
        lambda: _Waiting(sent, judge), remote_addr=(host, port)
    )
    try:
        transport.sendto(sent.wire)
        async with asyncio.timeout(wait):
            return await waiting.done
    except TimeoutError:
        # Somebody did answer, if not to this: maybe a resolver that writes names in its own way.
        if waiting.misfits:
            return Partial()
        raise
    finally:
        transport.close()


async def _by_stream(host: str, port: int, sent: Sent, judge: _Judge) -> Kept:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(_LENGTH.pack(len(sent.wire)) + sent.wire)
        (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
        found = judge(sent, await reader.readexactly(length))
    finally:
        writer.close()
    return found if isinstance(found, Kept) else FAILED
