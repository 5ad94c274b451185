"""A real store and the real API on a unix socket, in this process, for the tests of this folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controller.api.app import create
from controller.api.limits import Bounds
from controller.api.listener import listen, server
from controller.api.service import Service
from controller.cli.client import Api
from controller.store.server import Server
from controller.store.writer import Store, clock, random_uid


@dataclass(frozen=True)
class House:
    """What a test talks to; `store` is the store's own side, for reports and bindings."""

    api: Api
    store: Store
    service: Service
    socket: Path


@pytest.fixture(scope="session")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    made = Server(tmp_path_factory.mktemp("s"))
    made.start()
    try:
        yield made.remote
    finally:
        made.stop()


@pytest.fixture(scope="session")
def house(remote: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    store = Store(remote)
    store.ensure_cluster(65000, ())
    service = Service(store, clock, random_uid)
    path = tmp_path_factory.mktemp("a") / "api.sock"
    listening = listen(path, "no-such-group")
    running = server(create(service, bounds=Bounds(body=1 << 20)), 64)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not running.started:
        assert time.monotonic() < deadline and thread.is_alive()
        time.sleep(0.01)
    try:
        yield House(Api(f"unix:{path}"), store, service, path)
    finally:
        running.should_exit = True
        thread.join(20)
        listening.close()
        store.close()
