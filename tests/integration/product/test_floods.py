"""Somebody rents a VM and floods: questions by the thousand, connections, packets that are made to blow up
the switch's cache. A neighbour of another tenant behind the same switch is answered all the same: each of its
DHCP questions, names and pings. How long that takes is printed, with and without, and judged by nobody.
"""

from __future__ import annotations

import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles

import dns.message
import pytest
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from tests.fakes.askers import solicitation
from tests.integration.product.test_answers import held_back
from tests.integration.product.test_names import GATEWAY_MAC, METADATA, NAMES, told
from topologies.cell import Streams
from topologies.deadline import until
from topologies.nodes.hypervisor import Hypervisor
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.endpoint import open_socket
from topologies.traffic.ping import ping

pytestmark = [pytest.mark.integration, pytest.mark.long]

FLOODING = Path(__file__).with_name("flooding.py")
RATE = 10_000
"""Packets, or connections, a second: the lab's processors carry the flood, the switch and what measures."""
PINGS, QUESTIONS, LEASES = 100, 200, 25
PATIENCE, TRIES = 2.0, 5
"""Of who asks: as resolvers and DHCP clients ask again. What is asked again is printed, and no failure."""


@dataclass(frozen=True, slots=True)
class Stage:
    """`loud` floods; `calm`, of another tenant, is on the same host, `far` its friend on the other."""

    base: TwoTenants
    loud: Workload
    calm: Workload
    far: Workload

    @property
    def host(self) -> Hypervisor:
        return self.base.lab.hypervisors[0]


@dataclass(frozen=True, slots=True)
class Times:
    """Milliseconds of what was answered, in order, and how often it had to be asked again."""

    took: tuple[float, ...]
    again: int = 0

    def __str__(self) -> str:
        cuts = quantiles(self.took, n=100)
        return f"p50 {cuts[49]:8.2f}  p99 {cuts[98]:8.2f}  again {self.again:3d}"


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[Stage]:
    base = two_tenants_lab()
    base.await_reachability()
    first, second = (str(h.name) for h in base.lab.hypervisors[:2])
    base.control.serve(base.lab.hypervisors[0])
    made = Stage(base, base.at("red", first), base.at("blue", first), base.at("blue", second))
    for one in (made.loud, made.calm):
        on_link = "; ".join(f"ip route replace {at}/32 dev eth0" for at in (NAMES[0], METADATA[0]))
        one.vm.run(on_link)
        until("names are served", lambda w=one: told(w, f"{w.port}.{w.tenant}.internal"), 30)
    yield made
    base.control.unserve(base.lab.hypervisors[0])


def frames(made: list[Packet | bytes]) -> list[str]:
    return [bytes(frame).hex() for frame in made]


def discovers(who: Workload) -> list[str]:
    own = bytes.fromhex(who.mac.replace(":", ""))
    return frames([discover(who, number, own) for number in range(50)])


def discover(who: Workload, number: int, chaddr: bytes) -> Packet:
    head = Ether(src=who.mac, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255")
    said = DHCP(options=[("message-type", "discover"), "end"])
    return head / UDP(sport=68, dport=67) / BOOTP(chaddr=chaddr, xid=number) / said


def questions(who: Workload) -> list[str]:
    head = Ether(src=who.mac, dst=GATEWAY_MAC) / IP(src=who.ipv4, dst=NAMES[0])
    return frames(
        [head / UDP(sport=random.randrange(1024, 65536), dport=53)
         / DNS(rd=1, id=n, qd=DNSQR(qname=f"n{n}.{who.tenant}.internal")) for n in range(200)]
    )  # fmt: skip


def masks(who: Workload) -> list[str]:
    """What `flooding` bends: each of them could want a cached flow of its own."""
    four, six = IP(src=who.ipv4, dst="11.0.0.1"), IPv6(src=who.ipv6, dst="2001:db8::1")
    bodies = (UDP(), TCP(flags="S"), TCP(flags="A"), ICMP())
    return frames(
        [Ether(src=who.mac, dst=GATEWAY_MAC) / head / body for head in (four, six) for body in bodies]
    )


def ends(_: Workload) -> list[str]:
    return [f"{NAMES[0]} 53", f"{METADATA[0]} 80"]


FLOODS: dict[str, tuple[tuple[str, ...], Callable[[Workload], list[str]]]] = {
    "DHCP": (("frames", "eth0", str(RATE)), discovers),
    "router solicitations": (
        ("frames", "eth0", str(RATE)),
        lambda who: frames([solicitation(mac=who.mac, source="::")]),
    ),
    "names by UDP": (("frames", "eth0", str(RATE)), questions),
    "connections": (("connections", str(RATE)), ends),
    "masks": (("bent", "eth0", str(RATE)), masks),
}


@contextmanager
def flooding(who: Workload, kind: str, tally: dict[str, int]) -> Iterator[None]:
    words, make = FLOODS[kind]
    flood = who.vm.spawn(
        [sys.executable, str(FLOODING), *words], Streams(stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    )
    assert flood.stdin is not None and flood.stdout is not None
    try:
        flood.stdin.write(("\n".join(make(who)) + "\n\n").encode())
        flood.stdin.flush()
        assert flood.stdout.readline() == b"begun\n"
        yield
        out, _ = flood.communicate(timeout=30)
        tally["sent"] = int(out)
    finally:
        flood.kill()
        flood.wait(30)


def leases(who: Workload) -> Times:
    """As a client that discovers, at a pace that its meter allows."""
    own, took, again = bytes.fromhex(who.mac.replace(":", "")), [], 0
    with open_socket(who.vm, socket.AF_PACKET, socket.SOCK_RAW) as link:
        link.bind(("eth0", 0x0800))
        for number in range(1, LEASES + 1):
            frame = bytes(discover(who, number, own))
            for tried in range(TRIES):
                began = time.perf_counter()
                link.send(frame)
                if heard(link, lambda raw, n=number: raw[34:38] == b"\x00\x43\x00\x44"
                         and raw[46:50] == n.to_bytes(4, "big")):  # fmt: skip
                    took.append((time.perf_counter() - began) * 1e3)
                    again += tried
                    break
            time.sleep(0.12)
    assert len(took) == LEASES, f"{LEASES - len(took)} questions of DHCP had no answer"
    return Times(tuple(took), again)


def heard(link: socket.socket, wanted: Callable[[bytes], bool]) -> bool:
    """Whether such a thing comes in time."""
    end = time.monotonic() + PATIENCE
    while (left := end - time.monotonic()) > 0:
        link.settimeout(left)
        try:
            if wanted(link.recv(2048)):
                return True
        except TimeoutError:
            break
    return False


def names(who: Workload) -> Times:
    took, again = [], 0
    with open_socket(who.vm, socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.connect((NAMES[0], 53))
        for number in range(1, QUESTIONS + 1):
            wire = dns.message.make_query(f"{who.port}.{who.tenant}.internal", "A", id=number).to_wire()
            for tried in range(TRIES):
                began = time.perf_counter()
                line.send(wire)
                if heard(line, lambda said, n=number: said[:2] == n.to_bytes(2, "big") and said[7] == 1):
                    took.append((time.perf_counter() - began) * 1e3)
                    again += tried
                    break
            time.sleep(0.01)
    assert len(took) == QUESTIONS, f"{QUESTIONS - len(took)} names had no answer"
    return Times(tuple(took), again)


def pings(stage: Stage) -> Times:
    found = ping(stage.calm.vm, stage.far.ipv4, PINGS, interval=0.02)
    assert found.received >= PINGS - 2, found
    return Times(found.times, PINGS - found.received)


def measured(stage: Stage) -> dict[str, Times]:
    return {"ping": pings(stage), "DNS": names(stage.calm), "DHCP": leases(stage.calm)}


def shown(title: str, found: dict[str, Times], note: str = "") -> None:
    for what, times in found.items():
        print(f"  {title:22s} {what:5s} {times} {note}")


@pytest.mark.parametrize("kind", FLOODS)
def test_a_neighbour_is_answered_whatever_floods(
    stage: Stage, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    tally: dict[str, int] = {}
    before, held = measured(stage), held_back(stage.host)
    with flooding(stage.loud, kind, tally):
        during = measured(stage)
        cached = stage.host.appctl("dpctl/dump-flows", "-m").count("recirc_id") if kind == "masks" else 0
    held = held_back(stage.host) - held
    with capfd.disabled():
        load, more = os.getloadavg()[0], f", {cached} cached flows" if cached else ""
        print(f"\n{kind}: {tally['sent']} sent, {held} held back before the agent{more}; load {load:.1f}; ms")
        shown("without", before)
        shown(f"beside {kind}", during)
    assert tally["sent"] > RATE, "it was a flood"
    if kind in ("DHCP", "router solicitations"):
        assert held > tally["sent"] / 2
    until(
        "what flooded is answered itself again",
        lambda: told(stage.loud, f"{stage.loud.port}.red.internal"),
        30,
    )
