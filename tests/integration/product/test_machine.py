"""A real VM on a tap, as libvirt leaves it: bound by its iface-id, heard across hosts, moved while it runs.

QEMU emulates the machine on a lab's hypervisor; kernel and busybox in it are Debian's. Nobody announces the
move but QEMU itself, by RARP. Losses are printed, not judged.
"""

from __future__ import annotations

import hashlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.integration.product.witness import document
from topologies.cell import Streams
from topologies.deadline import until
from topologies.guest.image import BUSYBOX
from topologies.nodes.machine import Identity, Machine
from topologies.nodes.vm import Vm
from topologies.scenarios.two_tenants import TwoTenants
from topologies.traffic.capture import Capture, Frame, beacon, contains, incoming
from topologies.traffic.endpoint import Endpoint, family_of, open_socket
from topologies.traffic.ping import ping

# Emulation is slow, and the machine that runs this may be busy.
pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]

ADDRESSES = ("10.0.0.77", "fd00:10::77")
PATIENCE = 120
_SUMMARY = re.compile(r"(\d+) packets transmitted, (\d+) received")
_ANSWER = re.compile(r"^\[([\d.]+)\].*time=", re.MULTILINE)


@pytest.fixture(scope="module")
def scenario(two_tenants_lab: Callable[..., TwoTenants]) -> TwoTenants:
    made = two_tenants_lab(2)
    made.await_reachability(PATIENCE)
    return made


@pytest.fixture(scope="module")
def identity(scenario: TwoTenants) -> Identity:
    """A port of red that may be on either host."""
    hosts = [str(h.name) for h in scenario.lab.hypervisors]
    spec = {"network": "net", "addresses": list(ADDRESSES), "hosts": hosts}
    scenario.control.apply([document("Port", {"name": "machine", "tenant": "red"}, spec)])
    (port,) = scenario.control.get("ports", "machine", "--tenant", "red")
    cidrs = (f"{ADDRESSES[0]}/24", f"{ADDRESSES[1]}/64")
    return Identity("machine", port["metadata"]["uid"], port["spec"]["mac"], cidrs)


@pytest.fixture(scope="module")
def machine(scenario: TwoTenants, identity: Identity) -> Machine:
    """On the first host."""
    made = Machine(scenario.lab.hypervisors[0], identity, "vnet0")
    made.boot()
    return made


def status(scenario: TwoTenants) -> dict[str, Any]:
    (port,) = scenario.control.get("ports", "machine", "--tenant", "red")
    found: dict[str, Any] = port["status"]
    return found


def reach_each_other(scenario: TwoTenants, machine: Machine) -> None:
    """The machine and its tenant's VMs on both hosts, both families, both ways."""
    for peer in scenario.of("red"):
        for address in peer.addresses:

            def reached(address: str = address) -> bool:
                return machine.run(f"ping -c 1 -W 1 {address}").ok

            until(f"the machine reaches {peer.name} at {address}", reached, PATIENCE)
        for address in ADDRESSES:

            def answered(vm: Vm = peer.vm, address: str = address) -> bool:
                return ping(vm, address, 3).complete

            until(f"{peer.name} reaches the machine at {address}", answered, PATIENCE)


def test_its_port_is_bound_by_the_id_of_its_tap(scenario: TwoTenants, machine: Machine) -> None:
    until("bound", lambda: status(scenario).get("host") == machine.hypervisor.name, PATIENCE)
    assert machine.identity.mac in machine.run("ip link show eth0").stdout


def test_it_reaches_its_tenant_on_each_host_and_is_reached(scenario: TwoTenants, machine: Machine) -> None:
    reach_each_other(scenario, machine)


def listening(endpoint: Endpoint, address: str, port: int) -> socket.socket:
    listener = open_socket(endpoint, family_of(address), socket.SOCK_STREAM)
    listener.settimeout(PATIENCE)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(1)
    return listener


def digest_of(listener: socket.socket) -> bytes:
    with listener, listener.accept()[0] as connection:
        connection.settimeout(PATIENCE)
        digest = hashlib.sha256()
        while part := connection.recv(65536):
            digest.update(part)
        return digest.digest()


def test_its_streams_arrive_intact(scenario: TwoTenants, machine: Machine) -> None:
    """Sums of its kernel, segments of its size: what namespaces on one kernel would not show."""
    expected = hashlib.sha256(BUSYBOX.read_bytes()).digest()
    far = scenario.of("red")[1]
    with ThreadPoolExecutor(1) as pool:
        for address in far.addresses:
            arrived = pool.submit(digest_of, listening(far.vm, address, 9000))
            sent = machine.run(f"nc {address} 9000 </bin/busybox", PATIENCE)
            assert sent.ok, sent.stdout
            assert arrived.result(PATIENCE) == expected


def test_the_other_tenant_hears_nothing_of_it(scenario: TwoTenants, machine: Machine) -> None:
    """Blue's VM has the very address to which the machine sends."""
    friend, stranger = scenario.of("red")[1], scenario.of("blue")[1]
    assert friend.addresses == stranger.addresses
    sign, control = os.urandom(12).hex().encode(), os.urandom(16)
    with Capture(stranger.vm) as unheard:
        known = beacon(scenario.of("blue")[0].vm, stranger.ipv4, control)
        unheard.confirm(known, incoming(contains(control)))
        for address in friend.addresses:
            taken = listening(friend.vm, address, 9001)
            with ThreadPoolExecutor(1) as pool, taken:
                arrived = pool.submit(digest_of, taken)
                assert machine.run(f"echo {sign.decode()} | nc {address} 9001", PATIENCE).ok
                assert arrived.result(PATIENCE) == hashlib.sha256(sign + b"\n").digest()
        unheard.confirm(known, incoming(contains(control)))
        assert not unheard.leaks(contains(sign))


@dataclass
class Count:
    """A TCP connection over which a loop in the guest sends 0, 1, 2, ... a line each."""

    connection: socket.socket
    seen: list[int] = field(default_factory=list)
    _rest: bytes = b""

    def more(self, number: int) -> None:
        """Read on until `number` lines more have come."""
        goal = len(self.seen) + number
        while len(self.seen) < goal:
            part = self.connection.recv(4096)
            assert part, f"the guest closed its connection after {len(self.seen)} lines"
            *lines, self._rest = (self._rest + part).split(b"\n")
            self.seen += map(int, lines)

    def whole(self) -> bool:
        return self.seen == list(range(len(self.seen)))


@contextmanager
def counting(machine: Machine, vm: Vm, address: str) -> Iterator[Count]:
    with listening(vm, address, 9002) as listener:
        loop = "i=0; while echo $i; do i=$((i+1)); sleep 0.2; done"
        assert machine.run(f"( {loop} ) 2>/dev/null | nc {address} 9002 >/dev/null 2>&1 &").ok
        with listener.accept()[0] as connection:
            connection.settimeout(PATIENCE)
            yield Count(connection)


@dataclass
class Pinging:
    """A stream of echo requests, 20 a second, until it is stopped; its lines go to `log`."""

    process: subprocess.Popen[bytes]
    log: Path

    def answers(self) -> list[float]:
        """When each answer came, in seconds."""
        return [float(t) for t in _ANSWER.findall(self.log.read_text())]

    def stop(self) -> str:
        """What was lost, and the longest silence, in words."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(30)
        times = self.answers()
        summary = _SUMMARY.search(self.log.read_text())
        assert summary is not None, self.log.read_text()[-500:]
        sent, received = int(summary[1]), int(summary[2])
        gap = max(b - a for a, b in pairwise(times))
        return f"{sent - received} of {sent} lost, longest silence {gap:.2f} s"


@contextmanager
def pinging(vm: Vm, address: str) -> Iterator[Pinging]:
    log = vm.directory / f"ping-{family_of(address).name}.out"
    with log.open("wb") as stream:
        words = ["ping", "-n", "-D", "-i", "0.05", address]
        process = vm.spawn(words, Streams(stdout=stream, stderr=subprocess.STDOUT))
    try:
        yield Pinging(process, log)
    finally:
        process.kill()
        process.wait(30)


def rarp_of(mac: str) -> Callable[[Frame], bool]:
    """RARP (ethertype 0x8035) from this address."""
    wanted = bytes.fromhex(mac.replace(":", ""))
    return lambda frame: frame.raw[6:12] == wanted and frame.raw[12:14] == b"\x80\x35"


def test_it_moves_while_it_runs_and_says_so_itself(scenario: TwoTenants, machine: Machine) -> None:
    """Counters go on, connections stay: the same machine, in another place, by QEMU's own RARP."""
    first, second = scenario.lab.hypervisors[:2]
    before, born = status(scenario), machine.run("cat /proc/sys/kernel/random/boot_id").stdout
    assert before["host"] == first.name
    near, far = scenario.of("red")[:2]
    there = Machine(second, machine.identity, "vnet0")
    gate = there.expect()
    moving = scenario.control.run("migrate", "machine", "--tenant", "red", "--to", str(second.name))
    assert moving.ok, moving.stderr
    until("it is said to move", lambda: status(scenario).get("movingTo") == second.name, PATIENCE)
    with ExitStack() as stack:
        counts = [
            stack.enter_context(counting(machine, peer.vm, address))
            for peer in (near, far)
            for address in peer.addresses
        ]
        pings = [stack.enter_context(pinging(near.vm, address)) for address in ADDRESSES]
        for count in counts:
            count.more(5)
        for stream in pings:
            until("the pings are answered", lambda stream=stream: len(stream.answers()) > 20, PATIENCE)
        assert status(scenario)["host"] == first.name, "it has moved before it moved"
        tap = stack.enter_context(Capture(second, "vnet0"))
        report = machine.move_to(gate)
        tap.await_frame(incoming(rarp_of(machine.identity.mac)), PATIENCE)
        until("its port has followed", lambda: status(scenario)["host"] == second.name, PATIENCE)
        machine.end()
        for count in counts:
            count.more(5 + len(count.seen))
            assert count.whole(), count.seen
        answered = [len(stream.answers()) for stream in pings]
        for stream, so_far in zip(pings, answered, strict=True):
            until(
                "pings go on there",
                lambda stream=stream, so_far=so_far: len(stream.answers()) > so_far + 20,
                PATIENCE,
            )
        for address, stream in zip(ADDRESSES, pings, strict=True):
            print(f"live migration: pings to {address}, 20/s: {stream.stop()}")
    print(f"live migration: {report['total-time']} ms, of them {report['downtime']} ms without the guest")
    after = status(scenario)
    assert after["sequence"] == before["sequence"] + 1
    assert "movingTo" not in after
    assert there.run("cat /proc/sys/kernel/random/boot_id").stdout == born
    reach_each_other(scenario, there)
