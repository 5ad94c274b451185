"""A server of names over loopback, two ports that ask it by addresses of their own, and streams to it.

Place: imported by the tests of `controller.services.server`. Ports are told apart by where they ask from.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from controller.services.resolver import Bounds, Resolver
from controller.services.server import Manners, Server
from controller.services.upstream import Patience, Upstream
from model.addresses import Address
from model.ids import PortKey
from services.naming.answering import Terms
from services.naming.directory import direct
from services.naming.outcome import Asker
from tests.fakes.resolvers import Resolver as Far
from tests.fakes.resolvers import sockets
from tests.fakes.tenants import ACME, RIVAL, gang, network, port, question, tenant

USUAL: Final = Manners()
HERS: Final = "127.0.0.11"
HIS: Final = "127.0.0.12"
NOBODY: Final = "127.0.0.13"
ASKERS: Final = {
    ip_address(HERS): Asker(PortKey(1), ACME),
    ip_address(HIS): Asker(PortKey(2), RIVAL),
}
DIRECTORY = direct(
    "internal",
    (tenant("acme", ACME), tenant("rival", RIVAL)),
    (network("front", 1, ACME, "10.0.0.0/24"), network("front", 2, RIVAL, "10.0.0.0/24")),
    (port("web", 1, 1, "10.0.0.2"), port("secret", 2, 2, "10.0.0.2")),
    (gang("acme", "wide", tuple(f"10.8.{n}.9" for n in range(120))),),
)


@dataclass(slots=True)
class World:
    port: int
    server: Server
    resolver: Resolver
    far: Far


def serve(test: Callable[[World], Awaitable[None]], manners: Manners = USUAL, far: Far | None = None) -> None:
    async def run() -> None:
        outside = far or Far("60 A 198.51.100.1")
        await outside.start()
        loopback = ip_address("127.0.0.1")
        upstream = Upstream(((loopback, outside.port),), lambda bits: 1 << bits - 1, Patience(wait=5.0))
        terms = Terms(resolvers=(loopback,))
        resolver = Resolver(DIRECTORY, terms, upstream, time.monotonic, Bounds())
        server = Server(resolver.ask, identify, manners, resolver.note)
        datagram, stream = sockets()
        where = datagram.getsockname()[1]
        await server.start((datagram,), (stream,))
        try:
            async with asyncio.timeout(30):
                await test(World(where, server, resolver, outside))
        finally:
            await server.close()
            outside.close()

    asyncio.run(run())


def identify(address: Address) -> Asker | None:
    return ASKERS.get(address)


async def refused_by(world: World, source: str = HERS) -> None:
    """Hung up on: while it connects, or when it asks."""
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        reader, writer = await connect(world, source)
        writer.write(framed(question("web.acme.internal")))
        await reader.readexactly(1)


async def connect(world: World, source: str = HERS) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", world.port, local_addr=(source, 0))


def framed(*wires: bytes) -> bytes:
    return b"".join(len(wire).to_bytes(2, "big") + wire for wire in wires)


async def following(reader: asyncio.StreamReader) -> dns.message.Message:
    length = int.from_bytes(await reader.readexactly(2), "big")
    return dns.message.from_wire(await reader.readexactly(length))


def told_by(message: dns.message.Message) -> list[str]:
    return [rdata.to_text() for rrset in message.answer for rdata in rrset]
