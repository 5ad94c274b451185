"""A real store for the tests of this folder: an ovsdb-server, a cluster in it, a wire in between."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from controller.store.server import Server
from controller.store.writer import Store
from tests.unit.store.house import Wire


@pytest.fixture
def directory() -> Iterator[Path]:
    """Short: paths of unix sockets are limited, and pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="rf-") as path:
        yield Path(path)


@pytest.fixture
def server(directory: Path) -> Iterator[Server]:
    made = Server(directory / "db")
    made.start()
    yield made
    made.stop()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    made = Store(server.remote)
    made.ensure_cluster(65000, (ip_address("192.0.2.254"),), site=3)
    yield made
    made.close()


@pytest.fixture
def wire(directory: Path, server: Server) -> Iterator[Wire]:
    made = Wire(directory / "wire.sock", server.remote)
    yield made
    made.close()
