"""Allowed pairs: what a port may say besides as itself, and what it still may not.

Port 11 (OpenFlow 1) may use 10.0.0.100, 10.0.0.101 with a virtual router's MAC, 10.0.0.128/26, fd00::100 and
fd00:0:0:0:1::/80; port 12 (OpenFlow 2) has no pair.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from model.ids import NetworkKey
from model.intent import Pair
from model.route import FloodVtep
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.check import check_flows
from pipelines.compile import compile
from tests.fakes import packets, world
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Switch, Verdict

M1, M2, V = 0x020000000001, 0x020000000002, world.VIRTUAL_MAC
ONE, TWO = 0x0A000001, 0x0A000002
VIP, OTHER, INSIDE, OUTSIDE = 0x0A000064, 0x0A000065, 0x0A000090, 0x0A0000C0
VIP6, INSIDE6 = int(ip_address("fd00::100")), int(ip_address("fd00:0:0:0:1::7"))
OWN6, TWO6 = int(ip_address("fd00::1")), int(ip_address("fd00::2"))


def paired() -> Snapshot:
    return world.allowing(world.two_tenants(), 11)


def send(packet: Packet, port: int = 1) -> Verdict:
    return Switch.of(compile(paired()).flows()).receive(packet | {"in_port": port})


def refused(verdict: Verdict) -> bool:
    return any(flow is not None and "refused" in flow.shape.name for _, flow in verdict.path)


SAID = [
    packets.ipv4(M1, M2, VIP, TWO),
    packets.ipv4(V, M2, OTHER, TWO),
    packets.ipv4(M1, M2, INSIDE, TWO),
    packets.arp(2, M1, VIP, TWO, dst=M2),
    packets.arp(1, V, OTHER, TWO),
    packets.arp(1, M1, INSIDE, TWO),
    packets.arp(1, M1, 0, VIP),
    packets.ipv6(M1, M2, VIP6, TWO6),
    packets.ipv6(M1, M2, INSIDE6, TWO6),
    packets.solicitation(M1, VIP6, TWO6),
    packets.solicitation(M1, 0, VIP6, option=0),
    packets.advertisement(M1, M2, INSIDE6, TWO6, INSIDE6),
]


@pytest.mark.parametrize("packet", SAID)
def test_what_a_pair_allows_passes(packet: Packet) -> None:
    assert not refused(send(packet))


@pytest.mark.parametrize("packet", SAID)
def test_nobody_else_may_say_it(packet: Packet) -> None:
    own = {name: M2 for name in ("eth_src", "arp_sha", "nd_sll", "nd_tll") if packet.get(name)}
    for each in (packet, packet | own):
        assert refused(send(each, 2))


@pytest.mark.parametrize(
    "packet",
    [
        packets.ipv4(V, M2, VIP, TWO),  # the virtual MAC goes with its own address only
        packets.ipv4(M1, M2, OTHER, TWO),
        packets.ipv4(V, M2, ONE, TWO),
        packets.ipv4(M1, M2, OUTSIDE, TWO),
        packets.arp(2, M1, OUTSIDE, TWO, dst=M2),
        packets.arp(2, M1, VIP, TWO, dst=M2) | {"arp_sha": V},
        packets.arp(1, M1, 0, OUTSIDE),
        packets.advertisement(M1, M2, OWN6, TWO6, TWO6),
        packets.advertisement(M1, M2, VIP6, TWO6, VIP6, option=V),
        packets.solicitation(M1, 0, INSIDE6, option=0),  # a prefix is no address that could be claimed
    ],
)
def test_what_it_does_not_allow_is_refused(packet: Packet) -> None:
    assert refused(send(packet))


@pytest.mark.parametrize(
    "packet",
    [
        packets.arp(1, M1, VIP, VIP),
        packets.arp(2, M1, VIP, VIP),
        packets.arp(1, V, OTHER, OTHER),
        packets.advertisement(M1, 0x333300000001, VIP6, int(ip_address("ff02::1")), VIP6),
    ],
)
def test_announcements_are_heard_and_go_on(packet: Packet) -> None:
    verdict = send(packet)
    assert CONTROLLER in verdict.ports
    heard = [
        flow for _, flow in verdict.path if flow and cookies.parse(flow.cookie).kind is cookies.Kind.ANNOUNCE
    ]  # type: ignore[union-attr]
    assert [cookies.parse(flow.cookie).port for flow in heard] == [11]  # type: ignore[union-attr]


def test_traffic_is_not_handed_up() -> None:
    assert CONTROLLER not in send(packets.arp(1, M1, VIP, TWO)).ports
    assert CONTROLLER not in send(packets.arp(1, M1, ONE, ONE)).ports


def test_pairs_that_contain_each_other_do_not_overlap() -> None:
    every = tuple(
        Pair(ip_network(text))
        for text in ("10.0.0.0/16", "10.0.0.1/32", "10.0.0.0/17", "0.0.0.0/0", "::/0", "fd00::1/128")
    )
    check_flows(compile(world.allowing(world.two_tenants(), 11, every)).flows())
    check_flows(compile(paired()).flows())


VRRP4, VRRP6 = 0x01005E000012, 0x333300000012
OTHER_GROUP = 0x01005E000013


def quiet() -> Snapshot:
    """Port 21 of a network that replicates nothing shares addresses, port 22 does not; hv2 has a VTEP."""
    snapshot = world.allowing(world.two_tenants(), 21)
    return world.added(snapshot, FloodVtep(NetworkKey(2), ip_address("192.0.2.2")))


def group(mac: int, snapshot: Snapshot, port: int, key: int) -> Verdict:
    frame = packets.ipv4(0x020000001000 + key - 20, mac, 0x0A000000 + key - 20, 0xE0000012, proto=112)
    return Switch.of(compile(snapshot).flows()).receive(frame | {"in_port": port, "nw_ttl": 255})


def test_virtual_routers_hear_each_other_where_nothing_is_replicated() -> None:
    assert group(VRRP4, quiet(), 3, 21).ports == (world.TUNNEL,)
    both = world.allowing(quiet(), 22)
    assert group(VRRP4, both, 3, 21).ports == (4, world.TUNNEL)
    assert group(OTHER_GROUP, both, 3, 21).ports == ()


def test_virtual_routers_behind_a_tunnel_are_heard_by_those_that_share() -> None:
    frame = packets.ipv4(0x020000001003, VRRP4, 0x0A000003, 0xE0000012, proto=112)
    told = frame | {"in_port": world.TUNNEL, "tun_id": 1002, "tun_src": int(ip_address("192.0.2.2"))}
    assert Switch.of(compile(quiet()).flows()).receive(told).ports == (3,)
    assert Switch.of(compile(world.two_tenants()).flows()).receive(told).ports == ()
