"""Packets on their way through the compiled tables of two tenants with the same addresses.

Ports 11 and 12 (OpenFlow 1 and 2) are of tenant 1 and network 1, which replicates; 21 and 22 (3 and 4) of
tenant 2 and network 2, which does not. hv2 has ports of both, hv3 of network 1 only, hv4 of none.
"""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from model.addresses import BROADCAST, link_local
from model.flow import Flow
from pipelines import cookies
from pipelines import fields as f
from pipelines.compile import compile
from pipelines.reasons import ending
from pipelines.tables import RESOLVE
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.packets import Packet
from tests.fakes.switch import Sent, Switch, Verdict

M1, M2, M3, M4 = (0x020000000000 + n for n in (1, 2, 3, 4))
N1, N3 = 0x020000001001, 0x020000001003
GROUP6 = 0x3333FF000002


def ip(text: str) -> int:
    return int(ip_address(text))


def lla(mac: int) -> int:
    return int(link_local(mac))


A1, A2, A3, A4, A9 = (ip(f"10.0.0.{n}") for n in (1, 2, 3, 4, 9))
S1, S2, S3, S4, S9 = (ip(f"fd00::{n}") for n in (1, 2, 3, 4, 9))
HV2, HV3, HV4 = ip("192.0.2.2"), ip("192.0.2.3"), ip("192.0.2.4")


def send(packet: Packet, port: int = 1) -> Verdict:
    snapshot = world.two_tenants()
    frame = packet | {"in_port": port}
    verdict = Switch.of(compile(snapshot).flows()).receive(frame)
    assert violations(snapshot, frame, verdict) == []
    return verdict


def decider(verdict: Verdict) -> Flow:
    """The flow that decided where a packet ended."""
    return ending([flow for _, flow in verdict.path if flow is not None])


def ended(verdict: Verdict) -> str:
    return decider(verdict).shape.name


def billed(verdict: Verdict) -> int | None:
    """The egress class under which a packet was counted."""
    for _, flow in verdict.path:
        cookie = None if flow is None else cookies.parse(flow.cookie)
        if cookie is not None and cookie.kind is cookies.Kind.ACCOUNT:
            return cookie.cls
    return None


def only(verdict: Verdict) -> Sent:
    (sent,) = verdict.sent
    return sent


def test_arp_is_answered_for_a_local_neighbour() -> None:
    sent = only(send(packets.arp(1, M1, A1, A2)))
    assert sent.port == 1
    assert {
        k: sent.has(k) for k in ("eth_src", "eth_dst", "arp_op", "arp_sha", "arp_spa", "arp_tha", "arp_tpa")
    } == {
        "eth_src": M2,
        "eth_dst": M1,
        "arp_op": 2,
        "arp_sha": M2,
        "arp_spa": A2,
        "arp_tha": M1,
        "arp_tpa": A1,
    }


@pytest.mark.parametrize(("port", "mac", "target", "answer"), [(1, M1, A3, M3), (3, N1, A3, N3)])
def test_arp_is_answered_per_tenant(port: int, mac: int, target: int, answer: int) -> None:
    assert only(send(packets.arp(1, mac, A1, target), port)).has("arp_sha") == answer


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (packets.arp(1, M1, A1, A9), "services-arp-unknown"),
        (packets.arp(1, M1, A1, A1), "services-arp-own"),
        (packets.arp(1, M1, 0, A1), "services-arp-own"),  # probe
        (packets.arp(1, M1, 0, A2), "guard-refused"),  # probe of somebody else's
        (packets.arp(1, M1, A2, A3), "guard-refused"),
        (packets.arp(1, M2, A1, A3), "guard-refused"),
        (packets.arp(1, M1, A1, A3) | {"arp_sha": M2}, "guard-refused"),
        (packets.arp(2, M1, A2, A3, dst=M2), "guard-refused"),
        (packets.arp(3, M1, A1, A3), "services-miss"),
        (packets.ipv4(M1, M2, A3, A2), "guard-refused"),
        (packets.ipv4(M2, M2, A1, A2), "guard-refused"),
        (packets.ipv4(M1, M2, 0, A2), "guard-refused"),
        (packets.ipv4(M1, 0x02FFFFFFFFFF, A1, A2), "resolve-miss"),
        (packets.ipv4(M1, M1, A1, A2), "resolve-self"),
        (packets.ipv4(M1, N1, A1, A1), "resolve-miss"),  # a MAC of the other tenant
        (packets.ipv4(M1, M2, A1, A2) | {"vlan_tci": 0x1005}, "classify-refused"),
        (packets.ipv4(M1, M2, A1, A2) | {"vlan_tci": 0x1000}, "classify-refused"),
        (packets.ipv6(M1, M2, S2, S1), "guard-refused"),
        (packets.ipv6(M1, M2, lla(M2), S1), "guard-refused"),
        (packets.udp(packets.ipv4(M1, M2, A1, A2), 67, 68), "guard-dhcp4-to-client"),
        (packets.udp(packets.ipv4(M1, M2, A1, A2), 1067, 68), "guard-dhcp4-to-client"),
        (packets.udp(packets.ipv4(M1, M2, A1, A2), 67, 67), "guard-dhcp4-by-server"),
        (packets.udp(packets.ipv6(M1, M2, S1, S2), 547, 546), "guard-dhcp6-to-client"),
        (packets.udp(packets.ipv6(M1, M2, S1, S2), 547, 547), "guard-dhcp6-by-server"),
        ({"eth_src": M1, "eth_dst": M2, "eth_type": 0x88CC}, "guard-refused"),
        ({"eth_src": M1, "eth_dst": M2, "eth_type": 0x8847}, "guard-refused"),
    ],
)
def test_dropped(packet: Packet, end: str) -> None:
    verdict = send(packet)
    assert verdict.sent == ()
    assert ended(verdict) == end
    assert (billed(verdict) is not None) is (end == "resolve-miss"), "a MAC that somebody could have"


def nd(kind: int, **more: int) -> Packet:
    """An ICMPv6 message of port 11 to port 12, hop limit 255."""
    return packets.ipv6(M1, M2, S1, S2, proto=f.ICMPV6, ttl=255) | {"icmpv6_type": kind} | more


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (packets.solicitation(M1, S1, S9), "advertise-miss"),
        (packets.solicitation(M1, S1, S1), "services-nd-own"),
        (packets.solicitation(M1, 0, S1, option=0), "services-nd-own"),  # duplicate address detection
        (packets.solicitation(M1, 0, lla(M1), option=0), "services-nd-own"),
        (packets.solicitation(M1, 0, S2, option=0), "guard-refused"),
        (packets.solicitation(M1, 0, S1), "guard-refused"),  # RFC 4861 7.1.1: no option from ::
        (packets.solicitation(M1, 0, S1, option=0) | {"nw_ttl": 64}, "guard-refused"),
        (packets.solicitation(M1, S1, S2, option=M3), "neighbours-refused-135"),
        (packets.solicitation(M1, S1, S2) | {"nw_ttl": 254}, "neighbours-refused-135"),
        (packets.solicitation(M1, S1, S2) | {"icmpv6_code": 1}, "neighbours-refused-135"),
        (packets.solicitation(M1, S1, 0, option=0), "neighbours-garbled"),
        (packets.advertisement(M1, M2, S1, S2, S2), "neighbours-refused-136"),
        (packets.advertisement(M1, M2, S1, S2, S1, option=M3), "neighbours-refused-136"),
        (packets.advertisement(M1, M2, S1, S2, S1) | {"nw_ttl": 64}, "neighbours-refused-136"),
        (packets.advertisement(M1, M2, S1, S2, 0, option=0), "neighbours-refused-136"),
        (nd(134), "neighbours-refused-134"),
        (nd(137), "neighbours-refused-137"),
        (nd(134, ip_frag=1), "neighbours-fragment"),
        (nd(136, ip_frag=3), "neighbours-fragment"),
    ],
)
def test_discovery_dropped(packet: Packet, end: str) -> None:
    verdict = send(packet)
    assert verdict.sent == ()
    assert ended(verdict) == end


@pytest.mark.parametrize(
    ("target", "answer"),
    [(S2, M2), (S3, M3), (lla(M2), M2), (lla(M3), M3)],
    ids=["local", "remote", "ll", "rll"],
)
def test_solicitations_are_answered(target: int, answer: int) -> None:
    sent = only(send(packets.solicitation(M1, S1, target)))
    assert sent.port == 1
    wanted = {
        "eth_src": answer,
        "eth_dst": M1,
        "ipv6_src": target,
        "ipv6_dst": S1,
        "nw_ttl": 255,
        "icmpv6_type": 136,
        "icmpv6_code": 0,
        "nd_target": target,
        "nd_tll": answer,
        "nd_reserved": 0x60000000,
        "nd_options_type": 2,
    }
    assert {name: sent.has(name) for name in wanted} == wanted


def test_a_solicitation_without_option_goes_to_its_target() -> None:
    packet = packets.solicitation(M1, S1, S2, option=0) | {"eth_dst": M2}
    assert send(packet).ports == (2,)


@pytest.mark.parametrize(
    "packet",
    [
        packets.ipv4(M1, M2, A1, A2),
        packets.ipv4(M1, M2, A1, A2) | {"ip_frag": 1},
        packets.ipv4(M1, M2, A1, A2) | {"ip_frag": 3},
        packets.udp(packets.ipv4(M1, M2, A1, A2), 68, 69),
        packets.ipv6(M1, M2, S1, S2),
        packets.ipv6(M1, M2, lla(M1), lla(M2)),
        packets.arp(2, M1, A1, A2, dst=M2),
        packets.advertisement(M1, M2, S1, S2, S1),
        packets.advertisement(M1, M2, S1, S2, S1, option=0),
        nd(128, nw_ttl=64),
        nd(128, nw_ttl=64, ip_frag=1),
    ],
)
def test_to_a_local_neighbour(packet: Packet) -> None:
    verdict = send(packet)
    assert verdict.ports == (2,)
    assert billed(verdict) == 0


def test_to_a_remote_neighbour() -> None:
    sent = only(send(packets.ipv4(M1, M3, A1, A3)))
    assert (sent.port, sent.has("tun_id"), sent.has("tun_dst")) == (world.TUNNEL, 1001, HV2)
    sent = only(send(packets.ipv4(N1, N3, A1, A3), 3))
    assert (sent.port, sent.has("tun_id"), sent.has("tun_dst")) == (world.TUNNEL, 1002, HV2)


@pytest.mark.parametrize(
    ("packet", "cls"),
    [
        (packets.ipv4(M1, M2, A1, A2), 0),
        (packets.ipv4(M1, M2, A1, ip("169.254.1.1")), 0),
        (packets.ipv4(M1, M2, A1, ip("10.9.1.1")), 2),
        (packets.ipv4(M1, M2, A1, ip("10.9.9.1")), 3),  # longer than 10.9.0.0/16
        (packets.ipv4(M1, M2, A1, ip("198.51.100.7")), 2),
        (packets.ipv4(M1, M2, A1, ip("198.51.100.8")), 3),  # 0.0.0.0/0
        (packets.ipv6(M1, M2, S1, S2), 0),
        (packets.ipv6(M1, M2, S1, lla(M2)), 0),
        (packets.ipv6(M1, M2, S1, ip("2001:db8::1")), 2),
        (packets.ipv6(M1, M2, S1, ip("2001:db9::1")), 1),
        (packets.ipv4(M1, BROADCAST, A1, ip("255.255.255.255")), 0),
        (packets.arp(2, M1, A1, A2, dst=M2), 0),
    ],
)
def test_classes(packet: Packet, cls: int) -> None:
    verdict = send(packet)
    assert verdict.sent
    assert billed(verdict) == cls


def test_a_group_frame_is_replicated_once_billed() -> None:
    snapshot = world.two_tenants()
    switch = Switch.of(compile(snapshot).flows())
    verdict = switch.receive(packets.ipv4(M1, BROADCAST, A1, ip("10.0.0.255")) | {"in_port": 1})
    assert [(s.port, s.has("tun_dst")) for s in verdict.sent] == [(2, 0), (100, HV2), (100, HV3)]
    assert {s.has("tun_id") for s in verdict.sent if s.port == 100} == {1001}
    counted = {key: n for key, n in switch.counts.items() if key[0] == RESOLVE.number}
    assert list(counted.values()) == [1]


def test_a_group_frame_ends_where_nothing_replicates() -> None:
    verdict = send(packets.ipv4(N1, BROADCAST, A1, ip("10.0.0.255")), 3)
    assert verdict.sent == ()
    assert ended(verdict) == "resolve-group-refused"


def from_tunnel(vtep: int, vni: int, dst: int = M1, **more: int) -> Verdict:
    packet = packets.ipv4(M3, dst, A3, A1) | {"tun_src": vtep, "tun_id": vni} | more
    return send(packet, world.TUNNEL)


def test_the_tunnel_delivers() -> None:
    verdict = from_tunnel(HV2, 1001)
    assert verdict.ports == (1,)
    assert billed(verdict) is None
    assert from_tunnel(HV2, 1002, N1).ports == (3,)


@pytest.mark.parametrize(
    ("vtep", "vni"),
    [
        (HV2, 4242),  # no such VNI
        (HV3, 1002),  # a VTEP of the cluster without a port in that network
        (HV4, 1001),
        (ip("203.0.113.9"), 1001),  # no VTEP at all
        (ip("192.0.2.1"), 1001),  # this host's own
        (0, 1001),
    ],
)
def test_the_tunnel_refuses(vtep: int, vni: int) -> None:
    for dst in (M1, N1, BROADCAST):
        verdict = from_tunnel(vtep, vni, dst)
        assert verdict.sent == ()
        assert ended(verdict) == "classify-refused"


def test_the_tunnel_keeps_networks_apart() -> None:
    assert ended(from_tunnel(HV2, 1001, N1)) == "delivery-miss"
    assert ended(from_tunnel(HV2, 1002, M1)) == "delivery-miss"


def test_a_tagged_frame_in_the_tunnel_is_refused() -> None:
    assert ended(from_tunnel(HV2, 1001, vlan_tci=0x1005)) == "classify-refused"


def test_split_horizon() -> None:
    assert from_tunnel(HV2, 1001, BROADCAST).ports == (1, 2)
    assert from_tunnel(HV2, 1001, GROUP6).ports == (1, 2)
    assert ended(from_tunnel(HV2, 1001, M4)) == "delivery-miss"  # known, but behind hv3
    assert ended(from_tunnel(HV2, 1002, BROADCAST)) == "delivery-group-refused"


def test_a_port_of_nobody_is_dropped() -> None:
    assert ended(send(packets.ipv4(M1, M2, A1, A2), 77)) == "classify-miss"
