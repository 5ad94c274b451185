"""What the tests of this folder share: wanted objects, a collector of batches, a wire that loses answers."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from controller.store.framing import Framer
from controller.store.records import Contents, Outcome
from controller.store.view import Batch
from controller.store.watch import Watch
from controller.store.writer import Store, clock, random_uid
from ipam.deletion import plan_deletion
from ipam.plan import plan
from model.change import Part
from model.ids import HostName, Uid
from model.wanted import (
    Kind,
    Reference,
    Wanted,
    WantedEgressClass,
    WantedHypervisor,
    WantedNetwork,
    WantedPort,
    WantedTenant,
)

DEADLINE = 60.0
OLD = Path(__file__).parent / "ringfence-1.0.0.ovsschema"
HOSTS = tuple(HostName(f"h{i}") for i in range(1, 9))
SUBNETS = (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))


def base() -> list[Wanted]:
    wanted: list[Wanted] = [
        WantedHypervisor(host, ip_address("192.0.2.0") + index) for index, host in enumerate(HOSTS, 1)
    ]
    for tenant in ("acme", "umbra"):
        wanted += [WantedTenant(tenant), WantedNetwork(tenant, "prod", SUBNETS)]
    wanted.append(WantedEgressClass("storage", (ip_network("198.51.100.0/24"),)))
    return wanted


def port(name: str, *hosts: str, tenant: str = "acme", **more: Any) -> WantedPort:
    return WantedPort(tenant, name, "prod", hosts=tuple(HostName(h) for h in hosts), **more)


def apply(store: Store, *wanted: Wanted, key: str = "", digest: str = "d") -> Outcome:
    return store.change(planner(*wanted), key, digest, lambda made: str(len(made.steps)))[1]


def planner(*wanted: Wanted) -> Callable[[Contents], Any]:
    return lambda contents: plan(contents, wanted, clock(), random_uid)


def delete(store: Store, *references: Reference) -> Outcome:
    build = lambda contents: plan_deletion(contents, references, clock())  # noqa: E731
    return store.change(build, "", "d", lambda made: "")[1]


def uid_of(store: Store, name: str, tenant: str = "acme") -> Uid:
    return store.contents().ports[tenant, name].value.uid


def ref(name: str, tenant: str = "acme") -> Reference:
    return Reference(Kind.PORT, name, tenant)


class Collector:
    """What a watch said, in order, and the map that it amounts to."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.values: dict[tuple[Part, Any], Any] = {}
        self._changed = threading.Condition()

    def __call__(self, batch: Batch) -> None:
        with self._changed:
            if batch.complete:
                self.values.clear()
            for key in batch.deletes:
                del self.values[key]
            for part, key, value in batch.upserts:
                self.values[part, key] = value
            self.batches.append(batch)
            self._changed.notify_all()

    def wait(self, holds: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(holds, DEADLINE), f"not seen in {DEADLINE} s: {self.batches[-3:]}"

    def part(self, part: Part) -> dict[Any, Any]:
        return {key: value for (p, key), value in self.values.items() if p is part}

    def names(self, part: Part) -> set[str]:
        return {value.name for value in self.part(part).values()}


@contextlib.contextmanager
def watching(remote: str, host: str) -> Iterator[Collector]:
    collector = Collector()
    watch = Watch(remote, HostName(host), collector)
    watch.start()
    try:
        collector.wait(lambda: bool(collector.batches))
        yield collector
    finally:
        watch.stop()


class Wire:
    """Between clients and the server: records every request, and breaks the connection when told to.

    `break_next`: "answer" lets the next write through and loses its answer; "request" loses it itself.
    """

    def __init__(self, path: Path, server: str) -> None:
        self.remote = f"unix:{path}"
        self.requests: list[dict[str, Any]] = []
        self.break_next = ""
        self.broken = 0
        self._server = server.removeprefix("unix:")
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.bind(str(path))
        self._listening.listen(16)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        # Who accepts sleeps on, and through all later tests, if it is closed under it.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def durable(self) -> list[dict[str, Any]]:
        return [r for r in self.requests if r["method"] == "transact" and _writes(r)]

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._server)
        back = threading.Thread(target=_copy, args=(server, client), daemon=True)
        back.start()
        framer = Framer()
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                arrived = framer.feed(data)
                self.requests += arrived
                if self.break_next and any(_writes(request) for request in arrived):
                    self._break(server, client, arrived)
                    break
                for request in arrived:
                    server.sendall(json.dumps(request).encode())
        for end in (client, server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        back.join(DEADLINE)
        client.close()
        server.close()

    def _break(self, server: socket.socket, client: socket.socket, arrived: list[dict[str, Any]]) -> None:
        kind, self.break_next = self.break_next, ""
        if kind == "answer":
            # A connection of its own, so that the answer is surely there and surely not passed on.
            with socket.socket(socket.AF_UNIX) as own:
                own.connect(self._server)
                for request in arrived:
                    own.sendall(json.dumps(request).encode())
                framer = Framer()
                while not framer.feed(own.recv(1 << 16)):
                    pass
        self.broken += 1


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)


def _writes(request: dict[str, Any]) -> bool:
    operations = [o for o in request.get("params", []) if isinstance(o, dict)]
    return any(o.get("op") in ("insert", "update", "delete", "mutate") for o in operations)


@contextlib.contextmanager
def serving(directory: Path, schema: dict[str, Any], *more: Path) -> Iterator[str]:
    """An ovsdb-server of any schema, and of databases that are there already; its remote."""
    text, file, path = directory / "other.ovsschema", directory / "other.db", directory / "other.sock"
    text.write_text(json.dumps(schema))
    subprocess.run(["ovsdb-tool", "create", str(file), str(text)], timeout=30, check=True)
    command = ["setpriv", "--pdeathsig", "KILL", "ovsdb-server", str(file), *map(str, more)]
    command += [f"--remote=punix:{path}"]
    command += [f"--unixctl={directory / 'other.ctl'}", "--no-chdir", "-vconsole:off"]
    process = subprocess.Popen(command)
    try:
        poll(path.exists)
        yield f"unix:{path}"
    finally:
        process.terminate()
        process.wait(20)


def poll(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not holds():
        assert time.monotonic() < deadline, "not reached in time"
        time.sleep(0.01)
