"""Resolvers outside, on loopback: they answer by UDP and TCP as they are told, and keep what they were asked.

Place: imported by the tests of what is forwarded. Knows nothing of the code that asks.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final

import dns.message
import dns.rrset

Twist = Callable[[dns.message.Message, str], list[bytes]]
"""From the response and the transport to the octets that are sent."""


LOOPBACK: Final = ("127.0.0.1", 0)


def plain(response: dns.message.Message, transport: str) -> list[bytes]:
    return [response.to_wire()]


class Resolver:
    """Answers every question with `records` of the name that was asked for."""

    def __init__(self, *records: str, twist: Twist = plain, at: tuple[str, int] = LOOPBACK) -> None:
        self._records = records
        self._at = at
        self._twist = twist
        self.asked: list[tuple[str, dns.message.Message]] = []
        self.ports: list[int] = []
        self.hosts: set[str] = set()
        self.port = 0
        self._close: list[Callable[[], None]] = []

    async def start(self) -> None:
        both = sockets(self._at)
        self.port = both[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), sock=both[0])
        listener = await asyncio.start_server(self._serve, sock=both[1])
        self._close = [transport.close, listener.close]

    def close(self) -> None:
        for close in self._close:
            close()

    def answers(self, wire: bytes, transport: str) -> list[bytes]:
        message = dns.message.from_wire(wire)
        self.asked.append((transport, message))
        response = dns.message.make_response(message, recursion_available=True)
        name = message.question[0].name
        for record in self._records:
            ttl, rdtype, value = record.split(" ", 2)
            response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rdtype, value))
        return self._twist(response, transport)

    def datagram(self, data: bytes, address: Any, transport: Any) -> None:
        self.ports.append(address[1])
        self.hosts.add(address[0])
        for octets in self.answers(data, "udp"):
            transport.sendto(octets, address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        length = int.from_bytes(await reader.readexactly(2), "big")
        for octets in self.answers(await reader.readexactly(length), "tcp"):
            writer.write(len(octets).to_bytes(2, "big") + octets)
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._resolver.datagram(data, addr, self._transport)


def sockets(at: tuple[str, int] = LOOPBACK) -> tuple[socket.socket, socket.socket]:
    """A datagram socket and a listener on the same port; 0: one that is free."""
    while True:
        stream = socket.create_server(at)
        datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            datagram.bind(stream.getsockname())
        except OSError:
            stream.close()
            datagram.close()
            continue
        return datagram, stream
