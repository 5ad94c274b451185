"""A store that listens over TLS on loopback, and whoever calls it."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

from controller.store.calling import Caller
from controller.store.server import Server
from controller.store.wire import Connection, Seat
from controller.tls.papers import Papers, calling
from tests.fakes.authority import Authority
from tests.unit.store.test_cluster import LOOPBACK, free_ports

WAIT = 20.0


class House:
    """A store that listens over TLS on loopback."""

    def __init__(self, directory: Path, *names: str) -> None:
        self.directory = directory
        self.authority = Authority(directory / "ca")
        self.papers = self.authority.server(LOOPBACK)
        (self.port,) = free_ports(1)
        also = [f"pssl:{self.port}:{LOOPBACK}"]
        self.server = Server(directory / "db", also, papers=self.papers)

    @property
    def remote(self) -> str:
        return f"ssl:{LOOPBACK}:{self.port}"

    def caller(self, name: str = "hv1") -> Caller:
        return Caller(self.authority.host(name))

    def wire(self, papers: Papers | None) -> ssl.SSLSocket:
        """After its handshake. None: without a certificate."""
        context = (
            ssl.create_default_context(cafile=str(self.authority.file)) if papers is None else calling(papers)
        )
        return context.wrap_socket(self.raw(), server_hostname=LOOPBACK)

    def raw(self) -> socket.socket:
        return socket.create_connection((LOOPBACK, self.port), WAIT)


def reach(house: House, papers: Papers, seconds: float = WAIT) -> None:
    """A question as a client asks it. Unavailable, Invalid."""
    connection = Connection(house.remote, Seat.ANY, Caller(papers))
    try:
        connection.call("list_dbs", [], seconds)
    finally:
        connection.close()


def shown(house: House) -> bytes | None:
    """The certificate that the store shows."""
    with house.wire(house.authority.host("look")) as wire:
        return wire.getpeercert(binary_form=True)
