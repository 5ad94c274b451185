"""The server over loopback: a library's client, dig, and clients that misbehave. Who asks is told apart by
the address that it asks from, as ports will be."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
from dataclasses import dataclass
from typing import Any, Final

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import pytest

from controller.services.server import Manners, Server
from model.ids import PortKey
from services.naming.outcome import Kind
from tests.fakes.resolvers import Resolver as Far
from tests.fakes.resolvers import sockets
from tests.fakes.served import (
    HERS,
    HIS,
    NOBODY,
    USUAL,
    World,
    connect,
    following,
    framed,
    identify,
    refused_by,
    serve,
    told_by,
)
from tests.fakes.tenants import question

MANY: Final = 2_000


@pytest.mark.parametrize("ask", [dns.asyncquery.udp, dns.asyncquery.tcp], ids=["udp", "tcp"])
def test_each_port_is_told_its_own(ask: Any) -> None:
    async def test(world: World) -> None:
        for source, name in ((HERS, "web.front.acme.internal."), (HIS, "secret.front.rival.internal.")):
            asked = dns.message.make_query("2.0.0.10.in-addr.arpa", "PTR")
            answer = await ask(asked, "127.0.0.1", port=world.port, source=source, timeout=10)
            assert told_by(answer) == [name]
        asked = dns.message.make_query("secret.front.rival.internal", "A")
        answer = await ask(asked, "127.0.0.1", port=world.port, source=HERS, timeout=10)
        assert answer.rcode() == dns.rcode.NXDOMAIN

    serve(test)


@pytest.mark.parametrize("ask", [dns.asyncquery.udp, dns.asyncquery.tcp], ids=["udp", "tcp"])
def test_a_name_outside_is_asked_there_and_kept(ask: Any) -> None:
    async def test(world: World) -> None:
        for _ in range(2):
            asked = dns.message.make_query("www.Example.com", "A")
            answer = await ask(asked, "127.0.0.1", port=world.port, source=HERS, timeout=10)
            assert told_by(answer) == ["198.51.100.1"]
        assert len(world.far.asked) == 1

    serve(test)


def test_what_is_cut_by_udp_comes_by_tcp() -> None:
    async def test(world: World) -> None:
        asked = dns.message.make_query("rank-0.wide.gang.acme.internal", "A")
        answer, by_tcp = await dns.asyncquery.udp_with_fallback(
            asked, "127.0.0.1", port=world.port, source=HERS, timeout=10
        )
        assert by_tcp and len(answer.answer[0]) == 120

    serve(test)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["web.acme.internal", "A"], "10.0.0.2"),
        (["+tcp", "web.acme.internal", "A"], "10.0.0.2"),
        (["-x", "10.0.0.2"], "web.front.acme.internal."),
        (["+noedns", "www.example.com", "A"], "198.51.100.1"),
        (["+cookie", "+dnssec", "+nsid", "web.front.acme.internal", "A"], "10.0.0.2"),
        (["secret.front.rival.internal", "A"], ""),
    ],
)
def test_dig_is_told(flags: list[str], told: str) -> None:
    async def test(world: World) -> None:
        command = ["dig", "+short", "+tries=1", "-b", HERS, "-p", str(world.port), "@127.0.0.1", *flags]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        assert (ran.returncode, ran.stdout.strip()) == (0, told), ran.stdout + ran.stderr

    serve(test)


def test_dig_may_not_copy_a_zone() -> None:
    async def test(world: World) -> None:
        command = ["dig", "-b", HERS, "-p", str(world.port), "@127.0.0.1", "acme.internal", "AXFR"]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20)
        assert "Transfer failed" in ran.stdout
        assert world.resolver.tally[PortKey(1), Kind.TRANSFER] == 1

    serve(test)


def test_nobody_is_not_answered() -> None:
    """Somebody who comes after it is, so that the silence means something."""

    async def test(world: World) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.bind((NOBODY, 0))
            await loop.sock_sendto(sock, question("web.acme.internal"), ("127.0.0.1", world.port))
            asked = dns.message.make_query("web.acme.internal", "A")
            await dns.asyncquery.udp(asked, "127.0.0.1", port=world.port, source=HERS, timeout=10)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
        await refused_by(world, NOBODY)

    serve(test)


def test_answers_overtake_those_that_wait() -> None:
    """RFC 7766 section 6.2.1.1: the question outside has no answer until the other one's is here."""
    held: list[Any] = []

    async def test(world: World) -> None:
        reader, writer = await connect(world)
        writer.write(framed(question("www.example.com", id=1), question("web.acme.internal", id=2)))
        assert (await following(reader)).id == 2
        while not held:
            await asyncio.sleep(0.01)
        datagram, address, wire = held[0]
        datagram.sendto(wire, address)
        assert (await following(reader)).id == 1
        writer.close()

    far = Far("60 A 198.51.100.1")
    _hold(far, held)
    serve(test, far=far)


def _hold(far: Far, held: list[Any]) -> None:
    """Keeps what it would answer by UDP instead of answering."""
    plain = far.datagram

    def keep(data: bytes, address: Any, transport: Any) -> None:
        plain(data, address, _Held(held, transport))

    far.datagram = keep  # type: ignore[method-assign]


@dataclass(slots=True)
class _Held:
    kept: list[Any]
    transport: Any

    def sendto(self, wire: bytes, address: Any) -> None:
        self.kept.append((self.transport, address, wire))


def test_a_client_that_has_no_more_to_ask_is_still_answered() -> None:
    async def test(world: World) -> None:
        reader, writer = await connect(world)
        writer.write(framed(*(question(f"n{n}.example.com", id=n) for n in range(40))))
        writer.write_eof()
        assert {(await following(reader)).id for _ in range(40)} == set(range(40))
        assert await reader.read() == b""

    serve(test)


def test_a_port_has_so_many_connections_and_others_have_theirs() -> None:
    async def test(world: World) -> None:
        kept = [await connect(world) for _ in range(2)]
        for reader, writer in kept:
            writer.write(framed(question("web.acme.internal")))
            await following(reader)
        await refused_by(world)
        assert world.resolver.tally[PortKey(1), Kind.CROWDED] == 1
        other, writer = await connect(world, HIS)
        writer.write(framed(question("secret.rival.internal")))
        assert told_by(await following(other)) == ["10.0.0.2"]
        kept[0][1].close()
        while world.server.open_of(PortKey(1)) > 1:
            await asyncio.sleep(0.01)
        reader, writer = await connect(world)
        writer.write(framed(question("web.acme.internal")))
        assert told_by(await following(reader)) == ["10.0.0.2"]

    serve(test, Manners(connections=2))


def test_thousands_of_connections_of_one_port_are_refused_but_for_its_own_and_counted() -> None:
    async def test(world: World) -> None:
        kept = [await connect(world) for _ in range(USUAL.connections)]
        while world.server.open_of(PortKey(1)) < len(kept):
            await asyncio.sleep(0.01)
        for _ in range(MANY):
            with contextlib.suppress(ConnectionError):
                (await connect(world))[1].close()
        other, writer = await connect(world, HIS)
        writer.write(framed(question("secret.rival.internal")))
        assert told_by(await following(other)) == ["10.0.0.2"]
        while world.resolver.tally[PortKey(1), Kind.CROWDED] < MANY:
            await asyncio.sleep(0.01)
        reader, writer = kept[0]
        writer.write(framed(question("web.acme.internal")))
        assert told_by(await following(reader)) == ["10.0.0.2"], "its own first ones are served on"

    serve(test)


@pytest.mark.parametrize("begun", [b"", b"\0", b"\0\x20half a question"], ids=["mute", "octet", "half"])
def test_who_does_not_go_on_is_hung_up_on(begun: bytes) -> None:
    async def test(world: World) -> None:
        reader, writer = await connect(world)
        writer.write(begun)
        assert await reader.read() == b""
        while world.server.open_of(PortKey(1)):
            await asyncio.sleep(0.01)
        assert world.resolver.tally == ({(1, Kind.SLOW): 1} if begun else {})

    serve(test, Manners(idle=0.3))


def test_who_breaks_off_within_a_question_is_counted() -> None:
    async def test(world: World) -> None:
        _, writer = await connect(world)
        writer.write(b"\0\x20half a question")
        writer.close()
        while not world.resolver.tally:
            await asyncio.sleep(0.01)
        assert world.resolver.tally == {(1, Kind.SHORT): 1}

    serve(test)


def test_octets_of_any_kind_end_no_connection_but_their_own() -> None:
    async def test(world: World) -> None:
        for junk in (b"\0\0", b"\0\x01x", b"\xff\xff" + b"x" * 70000, framed(b"\0" * 12), bytes(range(256))):
            _, writer = await connect(world)
            writer.write(junk)
            writer.close()
        reader, writer = await connect(world)
        writer.write(framed(b"\x12\x34" + b"\xff" * 30, question("web.acme.internal")))
        assert told_by(await following(reader)) == ["10.0.0.2"]

    serve(test)


def test_who_takes_no_answers_gets_no_more_of_them() -> None:
    """It asks for more than the kernel holds on the way and takes nothing; then it is hung up on."""

    async def run() -> None:
        server = Server(lambda wire, asker, transport: b"\0" * 60000, identify, Manners(idle=0.3))
        datagram, stream = sockets()
        where = stream.getsockname()
        await server.start((datagram,), (stream,))
        async with asyncio.timeout(30):
            with socket.create_connection(where, source_address=(HERS, 0)) as sock:
                sock.setblocking(False)
                with pytest.raises(ConnectionError):
                    while True:
                        await asyncio.get_running_loop().sock_sendall(sock, framed(*[b"\0" * 12] * 500))
            while server.open_of(PortKey(1)):
                await asyncio.sleep(0.01)
        await server.close()

    asyncio.run(run())
