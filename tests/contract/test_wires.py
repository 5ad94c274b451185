"""The wire of `ringfenced services` on a kernel: its far end answers dig, and holds nothing else.

Each test has a namespace in the place of a host; the test itself stands in for the bridge, with the aliases
of ports on the near end.
"""

from __future__ import annotations

import asyncio
import ctypes
import http.client
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from controller.agent import disk
from controller.services import door, roster
from controller.services.door import Sockets
from controller.services.serving import Serving, Settings
from controller.southbound.netlink import wires
from controller.southbound.ovsdb import wiring
from model.addresses import GATEWAY_MAC, format_mac
from model.errors import Conflict, Unavailable
from model.ids import HostName, PortKey
from model.serving import IFACE_ID, METADATA, RESOLVERS, SERVED, SERVICES_MAC, SUFFIX_MARK, alias
from model.snapshot import Snapshot, without_port
from tests.contract.ovs import PrivateOvs
from tests.fakes.tenants import ACME, RIVAL, network, port, tenant
from tests.fakes.world import added

_NEW_NETWORK = 0x40000000
IP = shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") or "ip"


class Failed(Exception):
    """A program ended badly; its words."""


class Host:
    """A network namespace; it lasts while this does."""

    def __init__(self) -> None:
        self.fd = -1
        self.fd = self.do(self._begin, _NEW_NETWORK)

    def _begin(self) -> int:
        return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def do(self, work: Callable[[], Any], fresh: int = 0) -> Any:
        """In a thread that is there, and ends."""
        done: Future[Any] = Future()

        def run() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            failed = libc.unshare(fresh) if fresh else libc.setns(self.fd, _NEW_NETWORK)
            try:
                if failed:
                    raise OSError(ctypes.get_errno(), "no namespace")
                done.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again by who waits
                done.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return done.result(20)

    def run(self, *words: str) -> str:
        place = f"--net=/proc/{os.getpid()}/fd/{self.fd}"
        command = ["nsenter", place, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            raise Failed(f"{words}: {done.stdout}{done.stderr}")
        return done.stdout

    def wait(self, *words: str) -> Any:
        return asyncio.to_thread(self.run, *words)

    def take_aliases(self, *keys: int) -> None:
        """Stand in for the bridge: as the neighbour that the far end sends all to."""
        self.run(IP, "link", "set", door.NAME, "address", format_mac(GATEWAY_MAC))
        for each in SERVED:
            four = each.version == 4
            for key in keys:
                own = f"{alias(PortKey(key), 0, each.version)}/{each.max_prefixlen}"
                with suppress(Failed):
                    self.run(IP, "address", "add", own, "dev", door.NAME, *([] if four else ["nodad"]))
            self.run(IP, "route", "replace", f"{each}/{each.max_prefixlen}", "dev", door.NAME)
            lladdr = ["lladdr", format_mac(SERVICES_MAC), "dev", door.NAME]
            self.run(IP, "neigh", "replace", str(each), *lladdr)


@pytest.fixture
def host() -> Iterator[Host]:
    made = Host()
    yield made
    os.close(made.fd)


class Door:
    """The product's, on that host; no bridge."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.plugged = threading.Event()

    def lay(self) -> Sockets:
        return self._host.do(door.lay)

    def plug(self, rundir: Path, bridge: str, suffix: str) -> None:
        self.plugged.set()

    def is_plugged(self, rundir: Path) -> bool:
        return True

    def is_laid(self) -> bool:
        return bool(self._host.do(door.is_laid))


def snapshot() -> Snapshot:
    return added(
        Snapshot(HostName("hv1")),
        tenant("acme", ACME),
        tenant("rival", RIVAL),
        network("front", 1, ACME, "10.0.0.0/24"),
        network("front", 2, RIVAL, "10.0.0.0/24"),
        port("web", 11, 1, "10.0.0.2"),
        port("web", 12, 2, "10.0.0.77"),
    )


def dig(key: int, server: Any, *words: str) -> tuple[str, ...]:
    own = str(alias(PortKey(key), 0, server.version))
    return ("dig", f"@{server}", "-b", own, "+tries=1", "+time=2", "+noall", "+comments", "+answer", *words)


def test_ports_are_told_apart_by_their_aliases_and_news_are_read(host: Host, tmp_path: Path) -> None:
    async def run() -> None:
        path = tmp_path / roster.FILE
        disk.save(snapshot(), path)
        metrics = tmp_path / "names.prom"
        entry = Door(host)
        one = Serving(Settings(tmp_path, tmp_path, "br-int", "internal", metrics=metrics), entry)
        work = asyncio.create_task(one.run())
        assert await asyncio.to_thread(entry.plugged.wait, 60)
        host.take_aliases(11, 12, 99)
        for server in RESOLVERS:
            for way in ("+notcp", "+tcp", "+bufsize=4096"):
                said = await host.wait(*dig(11, server, "web.front.acme.internal", way))
                assert "status: NOERROR" in said and "10.0.0.2" in said
                said = await host.wait(*dig(12, server, "web.front.acme.internal", way))
                assert "status: NXDOMAIN" in said and "10.0.0.2" not in said
                said = await host.wait(*dig(12, server, "web.rival.internal", way))
                assert "10.0.0.77" in said
            with pytest.raises(Failed):
                await host.wait(*dig(99, server, "web.acme.internal", "+time=1"))
        for at in METADATA:
            for key, name in ((11, b"web.acme.internal"), (12, b"web.rival.internal")):
                fetch = partial(host.do, partial(hostname, at, key))
                assert await asyncio.to_thread(fetch) == name
        held = await asyncio.to_thread(connected, host, 12)
        while not one.server.open_of(PortKey(12)):
            await asyncio.sleep(0.02)
        disk.save(without_port(added(snapshot(), port("new", 13, 1, "10.0.0.3")), PortKey(12)), path)
        assert await asyncio.to_thread(held.recv, 1) == b"", "its port is gone"
        held.close()
        assert "10.0.0.3" in await host.wait(*dig(11, RESOLVERS[0], "new.acme.internal"))
        while not metrics.exists():
            await asyncio.sleep(0.02)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work

    asyncio.run(run())


def every(sockets: Sockets) -> tuple[socket.socket, ...]:
    return (*sockets.datagrams, *sockets.streams, *sockets.web)


def hostname(at: Any, key: int) -> bytes:
    own = (str(alias(PortKey(key), 0, at.version)), 0)
    client = http.client.HTTPConnection(str(at), 80, 10, source_address=own)
    client.request("GET", "/latest/meta-data/hostname")
    return client.getresponse().read()


def connected(host: Host, key: int) -> socket.socket:
    def work() -> socket.socket:
        made = socket.create_connection(
            (str(RESOLVERS[0]), 53), 10, source_address=(str(alias(PortKey(key), 0, 4)), 0)
        )
        made.settimeout(20)
        return made

    made: socket.socket = host.do(work)
    return made


def test_a_wire_that_is_taken_away_ends_the_process_and_not_in_silence(host: Host, tmp_path: Path) -> None:
    async def run() -> None:
        entry = Door(host)
        one = Serving(Settings(tmp_path, tmp_path, "br-int", "internal"), entry)
        work = asyncio.create_task(one.run())
        assert await asyncio.to_thread(entry.plugged.wait, 60)
        await asyncio.to_thread(lambda: host.do(lambda: wires.cut(door.NAME)))
        with pytest.raises(Unavailable) as caught:
            await work
        assert caught.value.faults[0].rule == "wire-gone"

    asyncio.run(run())


def test_behind_the_wire_there_is_nothing_but_what_answers(host: Host) -> None:
    sockets = host.do(door.lay)
    host.take_aliases(11)
    inside = sockets.streams[0]
    try:
        assert {str(each.getsockname()[0]) for each in every(sockets)} == {*map(str, SERVED)}

        def knock(port: int) -> int:
            with socket.socket() as made:
                made.settimeout(5)
                made.bind((str(alias(PortKey(11), 0, 4)), 0))
                return made.connect_ex((str(ip_address("169.254.169.253")), port))

        assert host.do(lambda: knock(53)) == 0
        assert all(host.do(lambda p=p: knock(p)) for p in (22, 80, 6640))
        routes = host.do(lambda: socket.if_nameindex())
        assert {name for _, name in routes} == {"lo", door.NAME}
    finally:
        for each in every(sockets):
            each.close()
    assert inside.fileno() == -1
    for _ in range(500):
        if not host.do(door.is_laid):
            break
        threading.Event().wait(0.02)
    assert not host.do(door.is_laid), "nothing is left of it"


def test_a_second_life_takes_what_the_first_left(host: Host) -> None:
    first = host.do(door.lay)
    second = host.do(door.lay)
    assert host.do(door.is_laid)
    for each in (*every(first), *every(second)):
        each.close()


def test_the_bridge_gets_the_wire_and_keeps_what_is_others(own_ovs: PrivateOvs) -> None:
    database = Path(own_ovs.remote.removeprefix("unix:"))
    with pytest.raises(Unavailable):
        wiring.plug(database, "br-int", "rf-x", IFACE_ID, {})
    own_ovs.vsctl("add-br", "br-int", "--", "set", "Bridge", "br-int", "datapath_type=netdev")
    assert not wiring.is_plugged(database, "rf-x", IFACE_ID)
    wiring.plug(database, "br-int", "rf-x", IFACE_ID, {SUFFIX_MARK: "internal"})
    first = own_ovs.vsctl("get", "Interface", "rf-x", "_uuid")
    assert IFACE_ID in own_ovs.vsctl("get", "Interface", "rf-x", "external_ids:iface-id")
    assert "internal" in own_ovs.vsctl("get", "Interface", "rf-x", f"external_ids:{SUFFIX_MARK}")
    assert not wiring.is_plugged(database, "rf-x", IFACE_ID), "there is no such device"
    wiring.plug(database, "br-int", "rf-x", IFACE_ID, {})
    assert own_ovs.vsctl("get", "Interface", "rf-x", "_uuid") != first
    assert own_ovs.vsctl("list-ports", "br-int").split() == ["rf-x"]
    own_ovs.vsctl("--no-wait", "add-port", "br-int", "rf-y", "--", "set", "Interface", "rf-y", "type=dummy")
    with pytest.raises(Conflict) as caught:
        wiring.plug(database, "br-int", "rf-y", IFACE_ID, {})
    assert caught.value.faults[0].rule == "wire-refused"
    assert own_ovs.vsctl("list-ports", "br-int").split() == ["rf-x", "rf-y"]
