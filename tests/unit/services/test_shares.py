"""Ports that flood the server together: each waits for itself, and a neighbour is answered."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter

import pytest

from controller.services.accepting import Accepting
from controller.services.server import Manners, Server
from controller.services.turnstile import DEPTH, Turnstile
from model.ids import PortKey
from services.naming.outcome import Asker, Kind, Transport
from tests.fakes.resolvers import sockets
from tests.fakes.served import HERS, HIS, World, connect, following, framed, identify, serve, told_by
from tests.fakes.tenants import question


def test_a_flood_of_datagrams_waits_for_itself_and_a_neighbour_s_question_does_not() -> None:
    """All of them lie in the kernel's queue, the neighbour's last, before the first is looked at."""
    asked: list[PortKey] = []
    lost: Counter[PortKey] = Counter()

    def note(asker: Asker, kind: Kind) -> None:
        assert kind is Kind.CROWDED
        lost[asker.port] += 1

    def ask(wire: bytes, asker: Asker, transport: Transport) -> None:
        asked.append(asker.port)

    async def run() -> None:
        server = Server(ask, identify, Manners(), note)
        datagram, stream = sockets()
        where = stream.getsockname()
        with contextlib.ExitStack() as stack:
            for source, count in ((HERS, 100), (HIS, 1)):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                sock.bind((source, 0))
                for _ in range(count):
                    sock.sendto(b"a question", where)
            await server.start((datagram,), (stream,))
            async with asyncio.timeout(30):
                while len(asked) + lost.total() < 101:
                    await asyncio.sleep(0.01)
        await server.close()

    asyncio.run(run())
    assert asked.index(PortKey(2)) == 1
    assert lost == {PortKey(1): 100 - DEPTH}, "what waits of a port is bounded, and the rest is counted"


def test_a_defect_costs_one_answer_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    def ask(wire: bytes, asker: Asker, transport: Transport) -> bytes:
        if wire == b"defect":
            raise ValueError(wire)
        return wire

    async def run() -> None:
        server = Server(ask, identify, Manners())
        datagram, stream = sockets()
        await server.start((datagram,), (stream,))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind((HERS, 0))
            for wire in (b"defect", b"defect", b"sound"):
                sock.sendto(wire, stream.getsockname())
            async with asyncio.timeout(30):
                assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"sound"
        await server.close()

    asyncio.run(run())
    assert [record.message for record in caplog.records] == ["not answered"]


def test_where_all_seats_are_taken_a_port_without_any_gets_one_of_who_has_most() -> None:
    async def test(world: World) -> None:
        kept = [await connect(world) for _ in range(3)]
        for reader, writer in kept:
            writer.write(framed(question("web.acme.internal")))
            await following(reader)
        other, writer = await connect(world, HIS)
        writer.write(framed(question("secret.rival.internal")))
        assert told_by(await following(other)) == ["10.0.0.2"]
        assert await kept[0][0].read() == b"", "its oldest has ended"
        assert world.resolver.tally[PortKey(1), Kind.CROWDED] == 1
        for reader, writer in kept[1:]:
            writer.write(framed(question("web.acme.internal")))
            assert told_by(await following(reader)) == ["10.0.0.2"]
        assert [world.server.open_of(PortKey(key)) for key in (1, 2)] == [2, 1]

    serve(test, Manners(whole=3))


def test_a_port_that_goes_takes_what_waits_of_it_along() -> None:
    """Its connection waits for its turn still: nothing of it is begun, and its seat is free."""

    async def run() -> None:
        refused: list[Asker] = []
        turnstile = Turnstile()
        accepting = Accepting(turnstile, identify, _never, refused.append, each=1)
        listener = socket.create_server(("127.0.0.1", 0))
        with socket.create_connection(listener.getsockname(), source_address=(HERS, 0)) as sock:
            accepting.start(listener)
            while not accepting.open_of(PortKey(1)):
                await asyncio.sleep(0)
            accepting.drop(PortKey(1))
            assert accepting.open_of(PortKey(1)) == 0
            sock.settimeout(10)
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with socket.create_connection(listener.getsockname(), source_address=(HERS, 0)):
            while not accepting.open_of(PortKey(1)):
                await asyncio.sleep(0.01)
            await accepting.close()
        assert accepting.open_of(PortKey(1)) == 0 and refused == []

    async def _never(*_: object) -> None:
        await asyncio.Event().wait()

    asyncio.run(run())
