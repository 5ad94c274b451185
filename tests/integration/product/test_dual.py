"""Two DPUs of one server: the active one fails in four ways under traffic, and the other takes over.

Three hypervisors: hv1 and hv2 are the pair, the peer's VM is on hv3. The server sends each frame to both
DPUs, so that two that forward at once show as duplicates. Losses are printed, not judged.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import pytest

from tests.integration.product.bill import all_settled
from tests.integration.product.witness import document
from topologies import faults
from topologies.cable import Cable
from topologies.control import UNHEARD
from topologies.deadline import until
from topologies.nodes.hypervisor import UPLINK, Hypervisor, unplug
from topologies.nodes.server import plug_twice
from topologies.scenarios.two_tenants import TwoTenants, Workload
from topologies.traffic.capture import Capture, Direction, Frame
from topologies.traffic.ping import ping
from topologies.traffic.udp import UdpStream

pytestmark = [pytest.mark.integration, pytest.mark.long]

NUMBER = 66
RATE, SIZE = 200, 500
OUTER = 14 + 20 + 8 + 8
"""Octets before the inner frame: Ethernet, IPv4, UDP, VXLAN (RFC 7348 section 5)."""
ETHERNET = 14
MARKER = b"\xff" * 16
REACH, UPDATE = 14, 2
"""MP_REACH_NLRI (RFC 4760 section 3), and the BGP message that holds it (RFC 4271 section 4.3)."""
SEQUENCE = b"\x06\x00"
"""The MAC Mobility community (RFC 7432 section 7.7)."""


@dataclass(frozen=True)
class Said:
    """An announcement of the server's MAC that a host sent to the reflector."""

    seconds: float
    host: str
    sequence: int


@dataclass
class Stage:
    scenario: TwoTenants
    pair: tuple[Hypervisor, Hypervisor]
    peer: Workload
    server: Workload
    cables: dict[str, Cable]
    bgp: Capture
    uplinks: dict[str, Capture]
    faults: list[str] = field(default_factory=list)

    def host(self, who: Workload) -> Hypervisor:
        return next(h for h in self.scenario.lab.hypervisors if str(h.name) == who.host)

    def status(self) -> dict[str, dict]:
        return self.scenario.control.hosts()

    def holder(self) -> str:
        """Whose report says that it is active: of two that say so, both."""
        hosts = self.status()
        return " ".join(n for n, h in sorted(hosts.items()) if h.get("lease", "").startswith("active"))

    def bound(self) -> str:
        (port,) = self.scenario.control.get("ports", "server", "--tenant", "red")
        return port["status"]["host"] if port["status"]["state"] == "active" else ""

    def steady(self) -> tuple[Hypervisor, Hypervisor]:
        """(active, standby), once the one serves the port and the other would take over."""

        def ready() -> bool:
            hosts = self.status()
            words = [hosts[str(h.name)].get("lease", "") for h in self.pair]
            alarmed = any(hosts[str(h.name)]["state"] in ("degraded", UNHEARD) for h in self.pair)
            kinds = sorted(word.partition(",")[0] for word in words)
            return kinds == ["active", "standby"] and not alarmed and self.bound() == self.holder()

        until("one of the pair is active, the other stands by", ready, 60)
        one, other = self.pair
        return (one, other) if str(one.name) == self.holder() else (other, one)

    def passed(self, host: Hypervisor, since: float) -> list[Frame]:
        """Frames of the server that a host sent into the underlay."""
        mac = bytes.fromhex(self.server.mac.replace(":", ""))
        return [
            frame
            for frame in self.uplinks[str(host.name)].frames()
            if frame.seconds >= since
            and frame.direction is Direction.OUT
            and frame.raw[36:38] == (4789).to_bytes(2, "big")
            and frame.raw[OUTER + 6 : OUTER + 12] == mac
        ]

    def said(self, since: float) -> list[Said]:
        """What the pair announced of the server's MAC, as the reflector got it."""
        mac = bytes.fromhex(self.server.mac.replace(":", ""))
        vteps = {h.vtep_address: str(h.name) for h in self.pair}
        found = []
        for frame in self.bgp.frames():
            source = ".".join(map(str, frame.raw[26:30]))
            if frame.direction is Direction.IN and source in vteps and frame.seconds >= since:
                found += [Said(frame.seconds, vteps[source], n) for n in announced(frame.raw, mac)]
        return found


def announced(raw: bytes, mac: bytes) -> Iterator[int]:
    """The mobility sequences of the UPDATEs in a frame that announce a MAC."""
    start = raw.find(MARKER)
    while start >= 0:
        length, kind = struct.unpack_from("!HB", raw, start + 16)
        body = raw[start + 19 : start + length]
        if kind == UPDATE and mac in b"".join(attribute(body, REACH)):
            community = b"".join(attribute(body, 16))
            at = community.find(SEQUENCE)
            yield int.from_bytes(community[at + 4 : at + 8], "big") if at >= 0 else 0
        start = raw.find(MARKER, start + max(length, 19))


def attribute(body: bytes, wanted: int) -> Iterator[bytes]:
    """The values of one path attribute (RFC 4271 section 4.3)."""
    at = 2 + int.from_bytes(body[:2], "big")
    at += 2
    while at + 3 <= len(body):
        wide = body[at] & 0x10
        size = int.from_bytes(body[at + 2 : at + (4 if wide else 3)], "big")
        head = 4 if wide else 3
        if body[at + 1] == wanted:
            yield body[at + head : at + head + size]
        at += head + size


@pytest.fixture(scope="module")
def stage(two_tenants_lab: Callable[..., TwoTenants]) -> Iterator[Stage]:
    scenario = two_tenants_lab(3)
    control, lab = scenario.control, scenario.lab
    pair = (lab.hypervisors[0], lab.hypervisors[1])
    names = tuple(str(h.name) for h in pair)
    for guest in [w for w in scenario.workloads if w.host in names]:
        unplug(next(h for h in pair if str(h.name) == guest.host), guest.ifname)
        assert control.run("delete", "port", guest.port, "--tenant", guest.tenant).ok
    with ExitStack() as stack:
        (reflector,) = lab.reflectors
        bgp = stack.enter_context(Capture(reflector, UPLINK))
        uplinks = {str(h.name): stack.enter_context(Capture(h, UPLINK)) for h in pair}
        cables = {}
        for host in pair:
            path = lab.directory.path / f"cable-{host.name}.sock"
            cables[str(host.name)] = stack.enter_context(Cable(path, control.store_socket))
            control.set_agent(host, "--store", f"unix:{path}")
        declared = {d["metadata"]["name"]: d for d in control.get("hypervisors")}
        for name, other in (names, names[::-1]):
            declared[name].pop("status")
            declared[name]["spec"]["partner"] = other
        control.apply([declared[name] for name in names])
        addresses = [f"10.0.0.{NUMBER}", f"fd00:10::{NUMBER}"]
        spec = {"network": "net", "addresses": addresses, "hosts": list(names)}
        control.apply([document("Port", {"name": "server", "tenant": "red"}, spec)])
        (port,) = control.get("ports", "server", "--tenant", "red")
        uid, mac = port["metadata"]["uid"], port["spec"]["mac"]
        cidrs, vm = (f"{addresses[0]}/24", f"{addresses[1]}/64"), lab.vm("server")
        plug_twice(pair, vm, "tap-server", uid, mac, cidrs)
        server = Workload("red", "server", uid, mac, cidrs, names[0], vm, "tap-server")
        made = Stage(scenario, pair, scenario.at("red", "hv3"), server, cables, bgp, uplinks)
        made.steady()
        yield made


@contextmanager
def killed(stage: Stage, active: Hypervisor) -> Iterator[None]:
    control = stage.scenario.control
    for daemon in (control.agents[active.name], control.speakers[active.name]):
        daemon.kill()
    yield
    control.revive(active.name)


@contextmanager
def frozen(stage: Stage, active: Hypervisor) -> Iterator[None]:
    control = stage.scenario.control
    with faults.frozen(control.agents[active.name]), faults.frozen(control.speakers[active.name]):
        yield


@contextmanager
def off_the_store(stage: Stage, active: Hypervisor) -> Iterator[None]:
    stage.cables[str(active.name)].cut()
    yield
    stage.cables[str(active.name)].mend()


def off_the_fabric(stage: Stage, active: Hypervisor) -> AbstractContextManager[None]:
    return faults.silence(stage.scenario.lab, active.name)


@contextmanager
def told(stage: Stage, active: Hypervisor) -> Iterator[None]:
    (other,) = (host for host in stage.pair if host is not active)
    done = stage.scenario.control.run("switchover", str(other.name))
    assert done.ok, done.stderr
    yield


WAYS: dict[str, Callable[[Stage, Hypervisor], AbstractContextManager[None]]] = {
    "killed": killed,
    "frozen": frozen,
    "off-the-store": off_the_store,
    "off-the-fabric": off_the_fabric,
    "told": told,
}


@pytest.mark.parametrize("way", WAYS)
def test_the_other_takes_over(stage: Stage, way: str) -> None:
    active, standby = stage.steady()
    server, peer = stage.server, stage.peer
    for address in peer.addresses:
        until(f"reaches {address}", lambda address=address: ping(server.vm, address, 1, wait=0.5).reached, 30)
    warm(standby, stage.host(peer))
    (before,) = all_settled(stage.scenario, (server,))
    began = stage.bgp.frames()[-1].seconds
    earlier = stage.said(0.0)
    assert earlier and earlier[-1].host == str(active.name), "the capture sees what is announced"
    with (
        UdpStream(server.vm, peer.vm, peer.ipv4, rate=RATE, size=SIZE) as out,
        UdpStream(peer.vm, server.vm, server.ipv4, rate=RATE, size=SIZE, port=9998) as back,
    ):
        until("both streams run", lambda: min(out.received, back.received) > 50, 20)
        with WAYS[way](stage, active):
            until("the other serves the port", lambda: stage.bound() == str(standby.name), 40)
            known = out.received, back.received
            until("both streams run again", lambda: out.received > known[0] + 50, 30)
            until("both streams run again", lambda: back.received > known[1] + 50, 30)
        assert stage.steady() == (standby, active), "the old one is back, and stands by"
        results = out.stop(), back.stop()
    old, new = stage.passed(active, began), stage.passed(standby, began)
    said = stage.said(began)
    gaps = [round(result.longest_gap * 1000) for result in results]
    print(f"{way}: longest silence {gaps[0]} ms from the server, {gaps[1]} ms to it")
    print(f"{way}: lost {[r.lost for r in results]} of {[r.sent for r in results]}, at {RATE}/s")
    # never both: neither in the underlay, nor at the peer, nor in what is announced
    assert old and new and old[-1].seconds < new[0].seconds
    assert [result.duplicates for result in results] == [0, 0]
    assert said and {one.host for one in said} == {str(standby.name)}
    assert min(one.sequence for one in said) > max(one.sequence for one in earlier)
    # none is billed twice; what passes in the moment in which the fence closes by itself may not be billed
    left = sum(len(frame.raw) - OUTER - ETHERNET for frame in (*old, *new) if _is_ip(frame))
    (after,) = all_settled(stage.scenario, (server,))
    print(f"{way}: {left} octets left, {after - before} were billed")
    assert left - RATE * SIZE / 2 < after - before <= left


def warm(host: Hypervisor, other: Hypervisor) -> None:
    """Open vSwitch loses what it has counted already while it asks who has the other end of a new tunnel."""

    def known() -> bool:
        host.run(f"ip neigh flush dev {host.underlay_interface}")
        host.attempt(["ping", "-c", "1", "-W", "1", other.vtep_address])
        return other.vtep_address in host.appctl("tnl/neigh/show")

    until(f"{host.name} knows {other.name}", known, 20)


def _is_ip(frame: Frame) -> bool:
    return frame.raw[OUTER + 12 : OUTER + 14] in (b"\x08\x00", b"\x86\xdd")
