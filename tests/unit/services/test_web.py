"""HTTP of ports over loopback: a library's client, and clients that misbehave. Who asks is told apart by the
address that it asks from, as ports will be."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.services.rates import Rate
from controller.services.web import Limits, Web
from model.ids import PortKey
from services.metadata.answering import Asking, Kind
from services.metadata.facts import make_facts
from services.metadata.tree import plant
from services.naming.outcome import Asker
from tests.fakes.tenants import ACME, RIVAL, network, port
from topologies.deadline import until

HERS, HIS, NOBODY = "127.0.0.11", "127.0.0.12", "127.0.0.13"
ASKERS = {ip_address(HERS): Asker(PortKey(1), ACME), ip_address(HIS): Asker(PortKey(2), RIVAL)}
NAMES = {PortKey(1): "web", PortKey(2): "secret"}
USUAL = Limits()
QUICK = Limits(idle=0.3)
MANY = 2_000
HEAD = b"GET /latest/meta-data/hostname HTTP/1.1\r\nHost: 169.254.169.254\r\n"


@dataclass(slots=True)
class World:
    port: int
    web: Web


def know(asker: Asker) -> Asking:
    facts = make_facts(
        port(NAMES[asker.port], asker.port, 1, "10.0.0.2"), network("n", 1, ACME, "10.0.0.0/24"), "x.internal"
    )
    return Asking(asker.port, plant(facts), b"k", 0)


def serve(test: Callable[[World], Any], limits: Limits = USUAL) -> Web:
    """Run a blocking test beside the server."""

    async def run() -> Web:
        listener = socket.create_server(("127.0.0.1", 0))
        web = Web(know, ASKERS.get, lambda: 0.0, limits)
        await web.start([listener])
        try:
            await asyncio.to_thread(test, World(listener.getsockname()[1], web))
        finally:
            await web.close()
        return web

    return asyncio.run(run())


def call(world: World, source: str = HERS) -> socket.socket:
    made = socket.create_connection(("127.0.0.1", world.port), 10, source_address=(source, 0))
    made.settimeout(10)
    return made


def talk(world: World, octets: bytes, source: str = HERS) -> bytes:
    """Send, say that there is no more, and read to the end."""
    with contextlib.suppress(ConnectionResetError), call(world, source) as made:
        with contextlib.suppress(OSError):  # who is hung up on may find out here
            made.sendall(octets)
            made.shutdown(socket.SHUT_WR)
        return to_the_end(made)
    return b""


def to_the_end(made: socket.socket) -> bytes:
    found = b""
    try:
        while piece := made.recv(65536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def test_each_port_is_told_of_itself_by_one_connection_as_long_as_it_likes() -> None:
    def test(world: World) -> None:
        for source, name in ((HERS, b"web.x.internal"), (HIS, b"secret.x.internal")):
            client = http.client.HTTPConnection("127.0.0.1", world.port, 10, source_address=(source, 0))
            for _ in range(3):
                client.request("GET", "/latest/meta-data/hostname", headers={"Host": "169.254.169.254"})
                assert client.getresponse().read() == name
            client.close()

    web = serve(test)
    assert web.tally == {(1, Kind.ANSWERED): 3, (2, Kind.ANSWERED): 3}


def test_a_token_and_a_head_alone() -> None:
    def test(world: World) -> None:
        client = http.client.HTTPConnection("127.0.0.1", world.port, 10, source_address=(HERS, 0))
        own = {"Host": "169.254.169.254"}
        client.request(
            "PUT", "/latest/api/token", headers={**own, "X-aws-ec2-metadata-token-ttl-seconds": "60"}
        )
        said = client.getresponse()
        assert said.getheader("X-aws-ec2-metadata-token-ttl-seconds") == "60"
        token = said.read().decode()
        client.request("HEAD", "/latest/meta-data/mac", headers={**own, "X-aws-ec2-metadata-token": token})
        said = client.getresponse()
        assert (said.status, said.getheader("Content-Length"), said.read()) == (200, "17", b"")
        client.close()

    serve(test)


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (HEAD + b"X-Forwarded-For: 10.0.0.2\r\n\r\n", b"403"),
        (b"GET / HTTP/1.1\r\nHost: rebound.example\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.0\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: x\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00", b"400"),
        (b"POST / HTTP/1.1\r\nHost: 169.254.169.254\r\nContent-Length: 2\r\n\r\nab", b"405"),
        (b"POST / HTTP/1.1\r\nHost: 169.254.169.254\r\nContent-Length: 2000\r\n\r\n" + b"a" * 2000, b""),
    ],
)
def test_what_is_no_honest_request_ends(octets: bytes, status: bytes) -> None:
    def test(world: World) -> None:
        said = talk(world, octets)
        assert said[9:12] == status
        assert b"web" not in said

    serve(test)


def test_a_head_that_has_no_end_is_given_up() -> None:
    web = serve(lambda world: talk(world, HEAD + b"A: " + b"a" * 20000))
    assert web.tally == {(1, Kind.GARBLED): 1}


def test_a_request_that_brings_too_much_is_given_up() -> None:
    web = serve(lambda world: talk(world, HEAD + b"Content-Length: 5000\r\n\r\n" + b"x" * 5000))
    assert web.tally == {(1, Kind.GARBLED): 1}


def test_thousands_of_connections_of_one_port_are_refused_but_for_its_own_and_counted() -> None:
    def test(world: World) -> None:
        held = [call(world) for _ in range(USUAL.connections)]
        until("all are known", lambda: world.web.open_of(PortKey(1)) == len(held), 10)
        for _ in range(MANY):
            with contextlib.suppress(ConnectionResetError), call(world):
                pass
        assert b"secret" in talk(world, HEAD + b"\r\n", HIS)
        until("all are counted", lambda: world.web.tally[PortKey(1), Kind.CROWDED] == MANY, 10)
        held[0].sendall(HEAD + b"Connection: close\r\n\r\n")
        assert b"web" in to_the_end(held[0]), "its own first ones are served on"
        for each in held:
            each.close()

    serve(test)


def test_who_is_nobody_is_hung_up_on() -> None:
    def test(world: World) -> None:
        assert talk(world, HEAD + b"\r\n", NOBODY) == b""
        assert b"web" in talk(world, HEAD + b"\r\n")

    assert serve(test).tally == {(1, Kind.ANSWERED): 1}


def test_a_port_has_so_many_connections_and_others_have_theirs() -> None:
    def test(world: World) -> None:
        held = [call(world) for _ in range(2)]
        for each in held:
            each.sendall(HEAD)
        until("both are known", lambda: world.web.open_of(PortKey(1)) == 2, 10)
        assert talk(world, HEAD + b"\r\n") == b""
        assert world.web.tally == {(1, Kind.CROWDED): 1}
        assert b"secret" in talk(world, HEAD + b"\r\n", HIS)
        for each in held:
            each.sendall(b"Connection: close\r\n\r\n")
            assert b"web" in to_the_end(each)
            each.close()

    serve(test, Limits(connections=2))


def test_who_is_slow_is_hung_up_on_and_who_asks_too_much_is_told() -> None:
    def test(world: World) -> None:
        with call(world) as mute, call(world) as half, call(world) as body:
            half.sendall(HEAD)
            body.sendall(HEAD + b"Content-Length: 9\r\n\r\nfour")
            assert to_the_end(mute) == to_the_end(half) == to_the_end(body) == b""

    assert serve(test, QUICK).tally == {(1, Kind.SLOW): 2}, "who asks nothing is not slow"

    def crowd(world: World) -> None:
        for status in (b"200", b"200", b"429"):
            assert talk(world, HEAD + b"\r\n")[9:12] == status
        assert talk(world, HEAD + b"\r\n", HIS)[9:12] == b"200"

    web = serve(crowd, Limits(rate=Rate(0.0, 2.0)))
    assert web.tally[PortKey(1), Kind.CROWDED] == 1


@given(st.lists(st.one_of(st.binary(max_size=60), st.sampled_from([HEAD, b"\r\n", b"\r\n\r\n"])), max_size=6))
@settings(max_examples=25, deadline=None)
def test_octets_of_any_kind_end_no_connection_but_their_own(octets: list[bytes]) -> None:
    def test(world: World) -> None:
        with call(world, HIS) as other:
            other.sendall(HEAD)
            said = talk(world, b"".join(octets))
            assert said == b"" or said.startswith(b"HTTP/1.1 ")
            other.sendall(b"Connection: close\r\n\r\n")
            assert b"secret" in to_the_end(other)

    serve(test)
