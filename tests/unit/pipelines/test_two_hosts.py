"""Two hosts of one cluster, each with its own program, joined by an underlay that only carries VXLAN.

hv1 has ports 11 (tenant 1) and 21 (tenant 2), hv2 has 12 and 22; both tenants use the same addresses.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.addresses import BROADCAST
from model.ids import HostName
from model.route import FloodVtep
from model.snapshot import Snapshot
from pipelines.compile import compile
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch

VTEPS = {"hv1": "192.0.2.1", "hv2": "192.0.2.2"}
PLACES = {11: "hv1", 21: "hv1", 12: "hv2", 22: "hv2"}
MACS = {11: 0x020000000001, 12: 0x020000000002, 21: 0x020000001001, 22: 0x020000001002}
A1, A2 = int(ip_address("10.0.0.1")), int(ip_address("10.0.0.2"))
S1, S2 = int(ip_address("fd00::1")), int(ip_address("fd00::2"))


def seen_by(host: str) -> Snapshot:
    """The cluster as one host knows it: its own ports, and what EVPN told it of the other's."""
    nets = (world.network(1, owner=1, replicate=True), world.network(2, owner=2, replicate=True))
    snapshot = replace(world.empty(), host=HostName(host))
    snapshot = world.added(snapshot, *nets, *(world.hypervisor(name, vtep) for name, vtep in VTEPS.items()))
    for key, place in PLACES.items():
        last = key % 10
        one = world.port(key, key // 10, MACS[key], [f"10.0.0.{last}", f"fd00::{last}"], [place])
        if place == host:
            snapshot = world.plugged(snapshot, one, ofport=key, host=host)
            continue
        far = world.remote(one.network, one.mac, VTEPS[place], [str(a) for a in one.addresses])
        snapshot = world.added(snapshot, one, far, FloodVtep(one.network, far.vtep))
    return snapshot


HOSTS = {host: seen_by(host) for host in VTEPS}


def travel(host: str, packet: Packet) -> list[tuple[str, int]]:
    """Every (host, OpenFlow port) at which a packet, or what is made of it, arrives in the end."""
    snapshot = HOSTS[host]
    verdict = Switch.of(compile(snapshot).flows()).receive(packet)
    assert violations(snapshot, packet, verdict) == []
    arrived = []
    for sent in verdict.sent:
        if sent.port != world.TUNNEL:
            arrived.append((host, sent.port))
            continue
        there = next(name for name, vtep in VTEPS.items() if int(ip_address(vtep)) == sent.has("tun_dst"))
        inner = {name: value for name, value in sent.packet.items() if name not in ("tun_dst", "in_port")}
        outer = {"in_port": world.TUNNEL, "tun_src": int(ip_address(VTEPS[host]))}
        arrived += travel(there, inner | outer)
    return arrived


@pytest.mark.parametrize(("sender", "receiver"), [(11, 12), (21, 22), (12, 11), (22, 21)])
def test_each_tenant_reaches_its_own(sender: int, receiver: int) -> None:
    src, dst = (A1, A2) if sender % 10 == 1 else (A2, A1)
    packet = packets.ipv4(MACS[sender], MACS[receiver], src, dst) | {"in_port": sender}
    assert travel(PLACES[sender], packet) == [(PLACES[receiver], receiver)]
    src6, dst6 = (S1, S2) if sender % 10 == 1 else (S2, S1)
    packet = packets.ipv6(MACS[sender], MACS[receiver], src6, dst6) | {"in_port": sender}
    assert travel(PLACES[sender], packet) == [(PLACES[receiver], receiver)]


@pytest.mark.parametrize(("sender", "victim"), [(11, 22), (11, 21), (21, 12)])
def test_nobody_reaches_the_other_tenant(sender: int, victim: int) -> None:
    packet = packets.ipv4(MACS[sender], MACS[victim], A1, A2) | {"in_port": sender}
    assert travel("hv1", packet) == []


def test_a_broadcast_stays_with_its_tenant() -> None:
    packet = packets.ipv4(MACS[11], BROADCAST, A1, int(ip_address("10.0.0.255"))) | {"in_port": 11}
    assert travel("hv1", packet) == [("hv2", 12)]
