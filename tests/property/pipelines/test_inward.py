"""Whatever is sent in whatever order: what a local port gets from a border is counted once, and nothing else.

What is counted is told by the snapshot's terms: who brought it, and whether somebody got it. And no packet is
counted both as sent and as got.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.addresses import GATEWAY_MAC, OUTSIDE_MAC, router_mac
from model.change import Part
from model.intent import Egress
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.compile import compile
from tests.fakes import outward as out
from tests.fakes import packets, world
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch, Verdict

HERE = (11, 12, 51)
SOURCES = ("198.51.100.9", "8.8.8.8", "10.0.1.14", "203.0.113.13", "203.0.113.11")
SIXES = ("2001:db8:7::9", "2a00::8", "fd00:0:0:1::e", "2001:db8:f::13", "2001:db8:f::11")


def targets(version: int) -> list[int]:
    named = [int(out.floating(key, version).address) for key in out.FLOATING]
    own = [int(out.port(key).addresses[version == 6]) for key in out.PLACES]
    return [*named, *own, int(out.ADDRESSES[version == 6])]


@st.composite
def frames(draw: st.DrawFn) -> Packet:
    """By local ports as themselves, by borders, hosts and gateways, marked or not."""
    version = draw(st.sampled_from((4, 6)))
    make = packets.ipv4 if version == 4 else packets.ipv6
    known = [int(ip_address(text)) for text in (SOURCES if version == 4 else SIXES)]
    target = draw(st.sampled_from([*targets(version), known[0]]))
    ports = (draw(st.sampled_from([53, 4000])), draw(st.sampled_from([53, 4000])))
    if draw(st.booleans()):
        key = draw(st.sampled_from(HERE))
        one = out.port(key)
        own = int(one.addresses[version == 6])
        frame = make(int(one.mac), int(GATEWAY_MAC), own, target)
        return packets.udp(frame, *ports) | {"in_port": key}
    vtep = draw(st.sampled_from([9, 9, 2, 3]))
    sender = int(draw(st.sampled_from([router_mac(vtep), OUTSIDE_MAC])))
    frame = make(sender, int(router_mac(1)), draw(st.sampled_from(known)), target)
    outer = {
        "tun_id": draw(st.sampled_from([5009, 5009, 5001, 5002])),
        "tun_src": int(ip_address(f"192.0.2.{vtep}")),
        "in_port": world.TUNNEL,
    }
    return packets.udp(frame, *ports) | outer


def fabric() -> Snapshot:
    snapshot = world.added(out.leaving(), out.tenant(egress=Egress.FABRIC))
    return world.with_part(snapshot, Part.ZONE, ("tenant", 1), None)


WORLDS = {"snat": out.leaving(), "another's gateway": out.leaving(gateways=("hv3",)), "fabric": fabric()}


def counted(verdict: Verdict, kind: cookies.Kind) -> list[cookies.Cookie]:
    found = (cookies.parse(flow.cookie) for _, flow in verdict.path if flow is not None)
    return [one for one in found if one is not None and one.kind is kind]


def from_outside(name: str, packet: Packet) -> bool:
    """By a border; or let in by a gateway of the tenant, which says so."""
    if packet["in_port"] != world.TUNNEL:
        return False
    vtep = packet["tun_src"] & 0xFF
    gateway = vtep == 3 and name != "fabric" and packet["tun_id"] == 5001
    return vtep == 9 or (gateway and packet["eth_src"] == OUTSIDE_MAC)


@pytest.mark.parametrize("name", WORLDS)
@settings(suppress_health_check=list(HealthCheck), max_examples=60, deadline=None)
@given(st.lists(frames(), min_size=1, max_size=15))
def test_each_packet_is_counted_where_it_should_be_and_once(name: str, run: list[Packet]) -> None:
    switch = Switch.of(compile(world.related(WORLDS[name])).flows())
    for packet in run:
        verdict = switch.receive(packet)
        got = [sent.port for sent in verdict.sent if sent.port in HERE]
        received = counted(verdict, cookies.Kind.ACCOUNT_IN)
        sent = counted(verdict, cookies.Kind.ACCOUNT)
        if from_outside(name, packet):
            assert [one.port for one in received] == got, packet
            assert sent == []
        else:
            assert received == [], packet
            assert len(sent) <= (packet["in_port"] in HERE)


def test_the_rules_see_what_is_counted() -> None:
    """Positive control: a packet of the border for a floating IP."""
    target = int(out.floating(51, 4).address)
    frame = packets.ipv4(int(router_mac(9)), int(router_mac(1)), int(ip_address("8.8.8.8")), target)
    outer = {"tun_id": 5009, "tun_src": int(ip_address("192.0.2.9")), "in_port": world.TUNNEL}
    packet = packets.udp(frame, 53, 4000) | outer
    verdict = Switch.of(compile(world.related(WORLDS["snat"])).flows()).receive(packet)
    assert from_outside("snat", packet) and verdict.ports == (51,)
    assert [one.cls for one in counted(verdict, cookies.Kind.ACCOUNT_IN)] == [7]
