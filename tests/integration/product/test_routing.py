"""Routing within a tenant: gateways, TTLs, the bill, and nothing to anybody else. With real clients."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from ipaddress import ip_address

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from model.addresses import format_mac, router_mac
from tests.integration.product.bill import await_counted, ledger
from topologies.deadline import PATIENCE, until
from topologies.nodes.frr import FrrNode
from topologies.scenarios import two_tenants
from topologies.scenarios.routed import APART, FAR, FRIEND, Routed, gateways
from topologies.scenarios.two_tenants import Workload
from topologies.traffic.capture import Capture, Frame, beacon, contains, incoming
from topologies.traffic.endpoint import family_of, open_socket
from topologies.traffic.frames import Forgery, forge, inject
from topologies.traffic.ping import ping
from topologies.traffic.route import traceroute
from topologies.traffic.tcp import transfer
from topologies.traffic.udp import UdpStream

pytestmark = pytest.mark.integration

FAMILIES = (4, 6)
SENT_TTL = 64
GATEWAY_MAC = "0a:00:52:f1:00:01"


def at(workload: Workload, family: int) -> str:
    return workload.ipv4 if family == 4 else workload.ipv6


def pairs(routing_lab: Routed) -> tuple[tuple[Workload, Workload, int], ...]:
    """(here, there, hops): from another host and from the same host to red's `far`, and back."""
    far = routing_lab.extra["red", FAR]
    near = next(w for w in routing_lab.base.of("red") if w.host == far.host)
    away = next(w for w in routing_lab.base.of("red") if w.host != far.host and w.host.startswith("hv"))
    return ((near, far, 1), (far, near, 1), (away, far, 2), (far, away, 2))


def ttl(frame: Frame) -> int:
    """TTL or hop limit of an untagged frame."""
    return frame.raw[14 + (8 if frame.raw[12:14] == b"\x08\x00" else 7)]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_vm_reaches_its_gateway(routing_lab: Routed, family: int) -> None:
    far = [routing_lab.extra[tenant, FAR] for tenant in two_tenants.TENANTS]
    near = [w for w in routing_lab.base.workloads if w.host.startswith("hv")]
    for workload in (*near, *far):
        address = gateways(FAR if workload in far else two_tenants.NETWORK)[family // 6]
        assert ping(workload.vm, address, 3).complete, (workload.name, address)
        seen = workload.vm.run(f"ip neigh show {address} dev eth0")
        assert GATEWAY_MAC in seen, seen


@pytest.mark.parametrize("family", FAMILIES)
def test_routed_packets_lose_one_ttl_a_router(routing_lab: Routed, family: int) -> None:
    for here, there, hops in pairs(routing_lab):
        marker = os.urandom(16)
        with Capture(there.vm) as capture:
            beacon(here.vm, at(there, family), marker)()
            frame = capture.await_frame(incoming(contains(marker)))
        assert ttl(frame) == SENT_TTL - hops, (here.name, there.name)
        assert frame.raw[6:12].hex(":") == GATEWAY_MAC  # of its own gateway, wherever it comes from
        assert ping(here.vm, at(there, family), 5).complete
        sent = transfer(here.vm, there.vm, at(there, family), 1 << 20)
        assert sent.intact and sent.received == 1 << 20


@pytest.mark.parametrize("family", FAMILIES)
def test_traceroute_shows_every_gateway(routing_lab: Routed, family: int) -> None:
    for here, there, hops in pairs(routing_lab):
        ends = [two_tenants.NETWORK if one in routing_lab.base.workloads else FAR for one in (here, there)]
        routers = [gateways(network)[family // 6] for network in ends][:hops]
        # each speaks with its address in the network of the end that it serves
        assert traceroute(here.vm, at(there, family)) == (*routers, at(there, family))
        text = here.vm.run(["tracepath", f"-{family}", "-n", "-m", "5", at(there, family)], 120)
        for number, router in enumerate(routers, 1):
            assert any(line.split()[:2] == [f"{number}:", router] for line in text.splitlines()), text


UNREACHABLE = (
    ("10.99.0.1", "Destination Net Unreachable", "Destination Host Unreachable"),
    ("fd99::1", "Destination unreachable: No route", "Destination unreachable: Address unreachable"),
)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_gateway_says_what_it_cannot_reach(routing_lab: Routed, family: int) -> None:
    """No such network, and nobody there in a network that is known: by ping, and by a socket."""
    nowhere, no_network, no_host = UNREACHABLE[family // 6]
    here, there, _ = pairs(routing_lab)[0]
    nobody = str(ip_address(at(there, family)) + 100)
    gateway = gateways(two_tenants.NETWORK)[family // 6]
    for address, words in ((nowhere, no_network), (nobody, no_host)):
        text = here.vm.attempt(["ping", f"-{family}", "-n", "-c", "2", "-W", "10", address]).stdout
        assert any(f"From {gateway}" in line and words in line for line in text.splitlines()), text
        with open_socket(here.vm, family_of(address), socket.SOCK_STREAM) as caller:
            caller.settimeout(PATIENCE)
            with pytest.raises(OSError) as caught:
                caller.connect((address, 9))
            assert caught.value.errno in (errno.EHOSTUNREACH, errno.ENETUNREACH), caught.value


@pytest.mark.parametrize("family", FAMILIES)
def test_expired_packets_are_answered_at_a_bounded_rate(routing_lab: Routed, family: int) -> None:
    here, there, _ = pairs(routing_lab)[0]
    kind, option = (
        (socket.IPPROTO_IP, socket.IP_TTL) if family == 4 else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
    )
    answer = b"\x0b\x00" if family == 4 else b"\x03\x00"
    offset = 14 + (20 if family == 4 else 40)
    is_answer = incoming(lambda frame: frame.raw[offset : offset + 2] == answer)
    with (
        Capture(here.vm) as capture,
        open_socket(here.vm, family_of(at(there, family)), socket.SOCK_DGRAM) as sender,
    ):
        sender.setsockopt(kind, option, 1)
        began = time.monotonic()
        for _ in range(500):
            try:
                sender.sendto(b"probe", (at(there, family), 33434))
            except OSError:
                continue  # the socket was told of an earlier one's end
        capture.await_frame(is_answer)
        assert ping(here.vm, at(there, family), 3).complete  # what is routed is not held up
        frames = capture.matching(is_answer)
        spent = time.monotonic() - began
    assert 1 <= len(frames) <= 20 + 10 * (spent + 1), len(frames)
    raw = frames[0].raw
    gateway = gateways(two_tenants.NETWORK)[family // 6]
    start = 26 if family == 4 else 22
    assert raw[start:].startswith(socket.inet_pton(family_of(gateway), gateway))


@pytest.mark.parametrize("family", FAMILIES)
def test_no_other_tenant_is_reached(routing_lab: Routed, family: int) -> None:
    """The same prefixes in both tenants, but this address blue has alone: for red it is nowhere."""
    blue, red = routing_lab.extra["blue", FAR], routing_lab.base.of("red")[0]
    friend = routing_lab.base.of("blue")[0]
    marker = os.urandom(16)
    address, control = at(blue, family), b"this-is-a-control"
    with Capture(blue.vm) as capture:
        capture.confirm(beacon(friend.vm, address, control), incoming(contains(control)))
        for source in (red, routing_lab.extra["red", FAR]):
            beacon(source.vm, address, marker)()
            assert not ping(source.vm, address, 2, wait=0.5).reached
            inject(source.vm, "eth0", [_forged(source, address, marker)] * 3)
        capture.confirm(beacon(friend.vm, address, control), incoming(contains(control)))
        assert capture.leaks(contains(marker)) == ()


def _forged(
    source: Workload, address: str, marker: bytes, mac: str = GATEWAY_MAC, life: int = SENT_TTL
) -> bytes:
    """A datagram to a router's MAC, past the sender's own routes."""
    if ":" in address:
        head = IPv6(src=source.ipv6, dst=address, hlim=life)
    else:
        head = IP(src=source.ipv4, dst=address, ttl=life)
    return bytes(Ether(src=source.mac, dst=mac) / head / UDP(sport=9, dport=9) / marker)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_network_that_is_not_routed_is_not_reached(routing_lab: Routed, family: int) -> None:
    apart, near = routing_lab.extra["red", APART], pairs(routing_lab)[0][0]
    friends = {"apart": routing_lab.extra["red", FRIEND], near.port: routing_lab.extra["red", FAR]}
    assert not ping(apart.vm, gateways(APART)[family // 6], 2, wait=0.5).reached
    for here, there in ((near, apart), (apart, near)):
        marker, control = os.urandom(16), b"this-is-a-control"
        sees = beacon(friends[there.port].vm, at(there, family), control), incoming(contains(control))
        with Capture(there.vm) as capture:
            capture.confirm(*sees)
            beacon(here.vm, at(there, family), marker)()
            inject(here.vm, "eth0", [_forged(here, at(there, family), marker)] * 3)
            capture.confirm(*sees)
            assert capture.leaks(contains(marker)) == ()


@pytest.mark.parametrize("family", FAMILIES)
def test_only_a_vtep_of_the_tenant_may_send_under_its_l3vni(routing_lab: Routed, family: int) -> None:
    """FRR's host has ports of both tenants, so it may route to them (RFC 9135); the reflector may nothing."""
    far, lab = routing_lab.extra["red", FAR], routing_lab.lab
    host, vtep = lab.node(far.host), lab.frr_hosts[0]
    l3vnis = {t["metadata"]["name"]: t["spec"]["l3vni"] for t in routing_lab.base.control.get("tenants")}
    source = next(w for w in routing_lab.base.of("red") if w.host == vtep.name)
    own = format_mac(router_mac(int(ip_address(host.vtep_address))))

    def sent(node: FrrNode, vni: int, mac: str, marker: bytes, life: int = SENT_TTL) -> None:
        inner = _forged(source, at(far, family), marker, mac, life)
        forge(node, [Forgery(node.address, host.vtep_address, vni, inner)])

    control, marker = b"this-is-a-control", os.urandom(16)
    allowed = (lambda: sent(vtep, l3vnis["red"], own, control)), incoming(contains(control))
    with Capture(far.vm) as capture:
        capture.confirm(*allowed)
        assert ttl(capture.matching(contains(control))[0]) == SENT_TTL - 1
        sent(lab.reflectors[0], l3vnis["red"], own, marker)
        sent(vtep, l3vnis["blue"], own, marker)
        sent(vtep, l3vnis["red"], GATEWAY_MAC, marker)
        sent(vtep, l3vnis["red"], format_mac(router_mac(1)), marker)
        sent(vtep, l3vnis["red"], own, marker, 1)
        capture.confirm(*allowed)
        assert capture.leaks(contains(marker)) == ()


def settled(routing_lab: Routed) -> dict[str, int]:
    """Red's ledger by port, of all that was sent up to now."""
    await_counted(routing_lab.base)
    return {name: row["bytes"] for name, row in ledger(routing_lab.base, "red").items()}


@pytest.mark.parametrize("family", FAMILIES)
def test_routed_traffic_is_billed_once_and_to_its_sender(routing_lab: Routed, family: int) -> None:
    for here, there, _ in (pairs(routing_lab)[0], pairs(routing_lab)[2]):
        assert ping(here.vm, at(there, family), 1).reached  # neighbours are known: nothing else is sent
        before = settled(routing_lab)
        with UdpStream(here.vm, there.vm, at(there, family), rate=1000, size=300, limit=500) as stream:
            result = stream.finish()
        assert result.sent == 500 and result.lost == 0, result
        after = settled(routing_lab)
        assert after[here.port] - before[here.port] == result.layer3_bytes
        others = {name: after[name] for name in after if name != here.port}
        assert others == {name: before.get(name, 0) for name in others}


def test_the_foreign_host_stays_reachable(routing_lab: Routed) -> None:
    """FRR has no L3VNI here: within its own network it is bridged to, as ever."""
    foreign = next(w for w in routing_lab.base.of("red") if w.host.startswith("frr"))
    for here in (w for w in routing_lab.base.of("red") if w is not foreign):
        for address in foreign.addresses:
            assert ping(here.vm, address, 3).reached, (here.name, address)


def test_routing_follows_what_the_network_says(routing_lab: Routed) -> None:
    """Switched on and off again while everything runs, seen from its own host and from another."""
    apart, control = routing_lab.extra["red", APART], routing_lab.base.control
    outcome = control.run("get", "network", APART, "--tenant", "red", "-o", "json")
    network = json.loads(outcome.stdout)
    network.pop("status", None)
    sources = [here for here, _, _ in pairs(routing_lab) if here.host.startswith("hv")]
    for routed, reached in ((True, True), (False, False)):
        control.apply([{**network, "spec": {**network["spec"], "routed": routed}}])
        for here in sources:
            for address in apart.addresses:
                until(
                    f"{here.name} reaches {apart.name} at {address}: {reached}",
                    lambda h=here, a=address, r=reached: ping(h.vm, a, 1, wait=0.5).reached is r,
                    60,
                )
