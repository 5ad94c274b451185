"""Packets on their way between the networks of a tenant; see `world.routed` for who lives where."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

from model.addresses import BROADCAST, GATEWAY_MAC, link_local, router_mac
from model.change import Part
from model.flow import Flow
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines import fields as f
from pipelines.compile import compile
from pipelines.reasons import ending
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Sent, Switch, Verdict
from tests.fakes.world import TUNNEL

GW = int(GATEWAY_MAC)
HERE, THERE = int(router_mac(1)), int(router_mac(2))
LINK = int(link_local(GATEWAY_MAC))
HV2, HV3, HV4 = (int(ip_address(f"192.0.2.{n}")) for n in (2, 3, 4))


def mac(key: int) -> int:
    return int(world.routed_port(key, "hv1").mac)


def four(key: int) -> int:
    return int(world.routed_port(key, "hv1").addresses[0])


def six(key: int) -> int:
    return int(world.routed_port(key, "hv1").addresses[1])


def ip(text: str) -> int:
    return int(ip_address(text))


def to4(key: int, address: int, to: int = GW, ttl: int = 64) -> Packet:
    return packets.ipv4(mac(key), to, four(key), address) | {"in_port": key, "nw_ttl": ttl}


def to6(key: int, address: int, to: int = GW, ttl: int = 64) -> Packet:
    return packets.ipv6(mac(key), to, six(key), address, ttl=ttl) | {"in_port": key}


def send(packet: Packet, snapshot: Snapshot | None = None) -> Verdict:
    shown = world.routed() if snapshot is None else snapshot
    verdict = Switch.of(compile(shown).flows()).receive(packet)
    assert violations(shown, packet, verdict) == []
    return verdict


def only(verdict: Verdict) -> Sent:
    (sent,) = verdict.sent
    return sent


def decider(verdict: Verdict) -> Flow:
    """The flow that decided where a packet ended."""
    return ending([flow for _, flow in verdict.path if flow is not None])


def ended(verdict: Verdict) -> str:
    return decider(verdict).shape.name


def billed(verdict: Verdict) -> int | None:
    for _, flow in verdict.path:
        cookie = None if flow is None else cookies.parse(flow.cookie)
        if cookie is not None and cookie.kind is cookies.Kind.ACCOUNT:
            return cookie.cls
    return None


def fields(sent: Sent, *names: str) -> tuple[int, ...]:
    return tuple(sent.has(name) for name in names)


@pytest.mark.parametrize("packet", [to4(11, four(21)), to6(11, six(21))], ids=["4", "6"])
def test_to_another_network_on_the_same_host(packet: Packet) -> None:
    verdict = send(packet)
    sent = only(verdict)
    assert sent.port == 21
    assert fields(sent, "eth_src", "eth_dst", "nw_ttl", "tun_id") == (GW, mac(21), 63, 0)
    assert billed(verdict) == 1


@pytest.mark.parametrize("packet", [to4(11, four(32)), to6(11, six(32))], ids=["4", "6"])
def test_to_another_host_whether_or_not_the_network_is_here(packet: Packet) -> None:
    verdict = send(packet)
    sent = only(verdict)
    assert sent.port == TUNNEL
    assert fields(sent, "eth_src", "eth_dst", "nw_ttl") == (HERE, THERE, 63)
    assert fields(sent, "tun_id", "tun_dst") == (5001, HV2)
    assert billed(verdict) == (2 if packet["eth_type"] == f.IPV4 else 1)  # 10.0.3.0/24 is of a class


def test_over_ipv6() -> None:
    snapshot = world.routed("2001:db8::1", ("2001:db8::2", "2001:db8::3"))
    for packet in (to4(11, four(32)), to6(11, six(32))):
        sent = only(send(packet, snapshot))
        assert fields(sent, "tun_id", "tun_ipv6_dst") == (5001, ip("2001:db8::2"))
        arriving = packet | {"eth_dst": HERE, "in_port": TUNNEL, "tun_id": 5001, "nw_ttl": 9}
        arriving |= {"ip_dst": four(21)} if "ip_dst" in packet else {"ipv6_dst": six(21)}
        assert only(send(arriving | {"tun_ipv6_src": ip("2001:db8::2")}, snapshot)).port == 21


def test_within_a_network_through_the_gateway() -> None:
    """Nothing asks for it, but a host may route where it could bridge: the bill is the same."""
    verdict = send(to4(11, four(12)))
    assert fields(only(verdict), "tun_id", "nw_ttl") == (5001, 63)
    assert billed(verdict) == 0
    assert ended(send(to4(11, four(11)))) == "route-self4"
    assert ended(send(to6(11, six(11)))) == "route-self6"


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (to4(41, four(11)), "resolve-miss"),  # out of a network that is not
        (to6(41, six(11)), "resolve-miss"),
        (to4(11, ip("169.254.1.1")), "gateway-never-link4"),
        (to4(11, ip("224.0.0.5")), "gateway-never-group4"),
        (to4(11, ip("255.255.255.255")), "gateway-never-group4"),
        (to4(11, ip("127.0.0.1")), "gateway-never-loopback4"),
        (to4(11, ip("0.0.0.0")), "gateway-never-this"),
        (to6(11, ip("::1")), "gateway-never-loopback6"),
        (to6(11, int(link_local(mac(21)))), "gateway-never-link6"),
        (to6(11, ip("ff05::1")), "gateway-never-group6"),
        (to6(11, six(21)) | {"ipv6_src": int(link_local(mac(11)))}, "gateway-never-from-link6"),
        (to4(11, four(21)) | {"ip_src": four(12)}, "guard-refused"),
        (to4(11, four(21)) | {"eth_src": GW}, "guard-refused"),
        (to4(11, four(21), to=HERE), "resolve-miss"),  # routers are for other VTEPs
        (to4(11, four(21), to=BROADCAST), "resolve-group-refused"),
        (to4(11, ip("10.0.1.1")), "gateway-own4"),
        (to6(11, ip("fd00:0:0:2::1")), "gateway-own6"),
        (to6(11, LINK), "gateway-own6"),
        (packets.echo(to4(11, ip("10.0.1.1"))) | {"ip_frag": 1}, "gateway-own4"),
        (packets.echo(to4(41, ip("10.0.4.1"))), "resolve-miss"),
    ],
)
def test_not_routed(packet: Packet, end: str) -> None:
    verdict = send(packet)
    assert verdict.sent == ()
    assert ended(verdict) == end
    assert (billed(verdict) is not None) is (end == "resolve-miss"), "a MAC that somebody could have"


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (to4(11, four(33)), "route-connected4-masked"),  # an external host that does not route
        (to6(11, six(33)), "route-connected6-masked"),
        (to4(11, ip("10.0.2.99")), "route-connected4-masked"),
        (to6(11, ip("fd00:0:0:2::99")), "route-connected6-masked"),
        (to4(11, four(41)), "translate-nowhere4"),  # a network that is not routed
        (to4(11, ip("8.8.8.8")), "translate-nowhere4"),
        (to6(11, ip("2001:db8::1")), "translate-nowhere6"),
        (to4(51, four(21)), "translate-nowhere4"),  # another tenant's
        (to4(51, four(12)), "route-connected4-masked"),
        (packets.echo(to4(11, ip("10.0.4.1"))), "translate-nowhere4"),  # no gateway where nothing is routed
    ],
)
def test_the_agent_gets_what_has_no_route(packet: Packet, end: str) -> None:
    verdict = send(packet)
    assert only(verdict).port == CONTROLLER
    assert ended(verdict) == end
    told = cookies.parse(decider(verdict).cookie)
    assert told is not None and told.kind is cookies.Kind.TOLD
    here = end.startswith("route-connected")
    assert (billed(verdict) is not None) is here, "where somebody could live"
    assert told.reason is (cookies.Reason.NO_HOST if here else cookies.Reason.NO_NETWORK)
    assert bool(told.network) is here


@pytest.mark.parametrize("ttl", [0, 1])
def test_the_agent_gets_what_ends_at_the_second_router(ttl: int) -> None:
    for packet in (arriving(nw_ttl=ttl), arriving6(nw_ttl=ttl)):
        verdict = send(packet)
        assert only(verdict).port == CONTROLLER
        assert verdict.last is not None
        assert cookies.parse(verdict.last.cookie) == cookies.Cookie(
            cookies.Kind.TOLD, tenant=world.TenantKey(1), reason=cookies.Reason.TTL_AFAR
        )


@pytest.mark.parametrize("address", ["10.0.1.1", "10.0.2.1", "10.0.3.1"])
@pytest.mark.parametrize("ttl", [1, 64])
def test_a_gateway_answers_pings(address: str, ttl: int) -> None:
    sent = only(send(packets.echo(to4(11, ip(address), ttl=ttl))))
    assert sent.port == 11
    assert fields(sent, "eth_src", "eth_dst", "ip_src", "ip_dst") == (GW, mac(11), ip(address), four(11))
    assert fields(sent, "icmp_type", "nw_ttl") == (0, 64)


@pytest.mark.parametrize("address", ["fd00:0:0:1::1", "fd00:0:0:3::1", str(link_local(GATEWAY_MAC))])
def test_a_gateway_answers_pings_over_ipv6(address: str) -> None:
    sent = only(send(packets.echo(to6(11, ip(address)))))
    assert sent.port == 11
    assert fields(sent, "eth_src", "eth_dst", "ipv6_src", "ipv6_dst") == (GW, mac(11), ip(address), six(11))
    assert fields(sent, "icmpv6_type", "nw_ttl") == (129, 64)


def test_a_gateway_answers_arp_and_solicitations() -> None:
    sent = only(send(packets.arp(1, mac(11), four(11), ip("10.0.1.1")) | {"in_port": 11}))
    assert fields(sent, "arp_op", "arp_sha", "arp_spa", "eth_src") == (2, GW, ip("10.0.1.1"), GW)
    for target in (ip("fd00:0:0:1::1"), LINK):
        sent = only(send(packets.solicitation(mac(11), six(11), target) | {"in_port": 11}))
        assert fields(sent, "nd_tll", "ipv6_src", "nd_reserved") == (GW, target, 0xE0000000)
    other = packets.arp(1, mac(11), four(11), ip("10.0.2.1")) | {"in_port": 11}
    assert ended(send(other)) == "services-arp-unknown"
    unrouted = packets.arp(1, mac(41), four(41), ip("10.0.4.1")) | {"in_port": 41}
    assert ended(send(unrouted)) == "services-arp-unknown"


def test_an_address_that_a_port_has_is_the_ports() -> None:
    """The store should not give it; if it did, before networks had gateways, the port keeps it."""
    taken = world.port(14, 1, 0x020000000104, ["10.0.1.1"], [world.HERE])
    snapshot = world.plugged(world.routed(), taken, 14)
    sent = only(send(packets.arp(1, mac(11), four(11), ip("10.0.1.1")) | {"in_port": 11}, snapshot))
    assert sent.has("arp_sha") == taken.mac


@pytest.mark.parametrize("ttl", [0, 1])
@pytest.mark.parametrize("packet", [to4(11, four(32)), to6(11, six(32))], ids=["4", "6"])
def test_a_used_up_ttl_goes_to_the_agent(packet: Packet, ttl: int) -> None:
    verdict = send(packet | {"nw_ttl": ttl})
    sent = only(verdict)
    assert sent.port == CONTROLLER
    assert fields(sent, "in_port", "reg0", "reg1", "reg4") == (11, 1, 11, 1)
    assert verdict.last is not None
    assert cookies.parse(verdict.last.cookie) == cookies.Cookie(
        cookies.Kind.TOLD, tenant=world.TenantKey(1), reason=cookies.Reason.TTL
    )


def arriving(address: int = four(21), **more: int) -> Packet:
    packet = packets.ipv4(THERE, HERE, four(32), address) | {"in_port": TUNNEL}
    return packet | {"tun_id": 5001, "tun_src": HV2} | more


def arriving6(address: int = six(21), **more: int) -> Packet:
    packet = packets.ipv6(THERE, HERE, six(32), address) | {"in_port": TUNNEL}
    return packet | {"tun_id": 5001, "tun_src": HV2} | more


@pytest.mark.parametrize("packet", [arriving(), arriving6(), arriving(tun_src=HV3)], ids=["4", "6", "hv3"])
def test_the_tunnel_delivers_routed_packets(packet: Packet) -> None:
    verdict = send(packet)
    sent = only(verdict)
    assert sent.port == 21
    assert fields(sent, "eth_src", "eth_dst", "nw_ttl") == (GW, mac(21), 63)
    assert billed(verdict) is None


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (arriving(tun_src=HV4), "classify-refused"),  # no port of the tenant is there
        (arriving(tun_src=ip("203.0.113.9")), "classify-refused"),
        (arriving(tun_src=ip("192.0.2.1")), "classify-refused"),  # this host's own
        (arriving(tun_id=5002), "classify-refused"),  # hv2 has no port of tenant 2
        (arriving(vlan_tci=0x1005), "classify-refused"),
        (arriving(eth_dst=THERE), "arrival-miss"),
        (arriving(eth_dst=GW), "arrival-miss"),
        (arriving(eth_dst=mac(21)), "arrival-miss"),
        (arriving(eth_dst=BROADCAST), "arrival-miss"),
        (arriving(four(32)), "arrival-miss"),  # elsewhere: never from tunnel to tunnel
        (arriving(four(41)), "arrival-miss"),  # a network that is not routed
        (arriving(ip("10.0.1.1")), "arrival-miss"),
        (arriving6(int(link_local(mac(21)))), "arrival-miss"),
        (arriving(nw_ttl=1, eth_dst=THERE), "arrival-expired4"),
        (arriving6(nw_ttl=0, eth_dst=THERE), "arrival-expired6"),
        (arriving(tun_id=1001), "delivery-miss"),  # not under an L2VNI
        (arriving(tun_id=1001, eth_dst=GW), "delivery-miss"),
    ],
)
def test_the_tunnel_refuses_routed_packets(packet: Packet, end: str) -> None:
    verdict = send(packet)
    assert verdict.sent == ()
    assert ended(verdict) == end


def bridged(packet: Packet) -> Packet:
    return packet | {"in_port": TUNNEL, "tun_id": 1001, "tun_src": HV2}


GATEWAY4, GATEWAY6 = ip("10.0.1.1"), ip("fd00:0:0:1::1")


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (packets.ipv4(GW, mac(11), four(12), four(11)), "delivery-false-gateway"),
        (packets.arp(2, mac(12), GATEWAY4, four(11), dst=mac(11)), "delivery-arp-by-gateway"),
        (packets.arp(1, mac(12), four(12), GATEWAY4, dst=mac(11)), "delivery-arp-for-gateway"),
        (
            packets.advertisement(mac(12), mac(11), six(12), six(11), GATEWAY6),
            "delivery-advertise-gateway",
        ),
        (packets.advertisement(mac(12), mac(11), six(12), six(11), LINK), "delivery-advertise-gateway"),
        (
            packets.solicitation(mac(12), six(12), GATEWAY6) | {"eth_dst": mac(11)},
            "delivery-solicit-gateway",
        ),
    ],
)
def test_nobody_in_a_tunnel_is_the_gateway(packet: Packet, end: str) -> None:
    verdict = send(bridged(packet))
    assert verdict.sent == ()
    assert ended(verdict) == end
    assert send(bridged(packets.ipv4(mac(12), mac(11), four(12), four(11)))).ports == (11,)


def test_without_an_l3vni_only_this_host_is_routed() -> None:
    snapshot = world.added(world.routed(), world.tenant(1, l3vni=0))
    assert only(send(to4(11, four(21)), snapshot)).port == 21
    assert only(send(to4(11, four(32)), snapshot)).port == CONTROLLER
    assert ended(send(arriving(), snapshot)) == "classify-refused"
    assert ended(send(arriving(tun_id=0), snapshot)) == "classify-refused"


def test_the_last_local_port_takes_all_routes_along() -> None:
    snapshot = world.routed()
    for key in (11, 21):
        snapshot = world.with_part(snapshot, Part.BINDING, key, None)
    shapes = [
        flow for flow in compile(snapshot).flows() if flow.shape.name.startswith(("route-", "arrival-"))
    ]
    left = {
        flow.shape.name for flow in shapes if cookies.parse(flow.cookie) != cookies.Cookie(cookies.Kind.HOST)
    }
    assert all(5001 not in flow.values for flow in compile(snapshot).flows())
    assert left == {
        "route-miss",
        "arrival-miss",
        "arrival-told4",
        "arrival-told6",
        "route-self4",
        "route-self6",
        "route-local4",
        "route-local6",
        "route-connected4-masked",
        "route-connected6-masked",
        "arrival-local4",
        "arrival-local6",
    }  # those of port 51


def test_routes_to_odd_addresses_are_none() -> None:
    """Whatever the store or a peer says: nobody is routed to a group or link-local address."""
    odd = ["224.0.0.9", "169.254.1.9", "127.0.0.9", "fe80::9", "ff02::9", "::1"]
    base = world.routed()
    number = len(list(compile(base).flows()))
    remote = world.remote(3, 0x020000000309, "192.0.2.2", odd, router=2)
    snapshot = world.added(base, remote)
    assert len(list(compile(snapshot).flows())) == number
    group = replace(remote, addresses=(ip_address("10.0.3.9"),), router_mac=world.Mac(0x010000000001))
    assert len(list(compile(world.added(base, group)).flows())) == number
    good = world.remote(3, 0x020000000309, "192.0.2.2", ["10.0.3.9"], router=2)
    assert len(list(compile(world.added(base, good)).flows())) == number + 1


def seen_by_hv2() -> Snapshot:
    """The other side of `world.routed`: ports 12 and 32 are here, 11 and 21 on hv1."""
    nets = (world.routed().networks[world.NetworkKey(n)] for n in (1, 2, 3, 4))
    snapshot = replace(world.empty(), host=world.HostName("hv2"))
    snapshot = world.added(snapshot, world.tenant(1), *nets, world.hypervisor("hv2", "192.0.2.2"))
    for key in (11, 21):
        one = world.routed_port(key, "hv1")
        far = world.remote(one.network, one.mac, "192.0.2.1", map(str, one.addresses), router=1)
        snapshot = world.added(snapshot, one, far)
    for key in (12, 32):
        snapshot = world.plugged(snapshot, world.routed_port(key, "hv2"), key, host="hv2")
    return snapshot


def crossed(sent: Sent, source: int) -> Packet:
    """What comes out of the tunnel where it leads: neither registers nor the outer destination."""
    inner = {k: v for k, v in sent.packet.items() if not k.startswith(("tun_", "reg"))}
    return inner | {"in_port": TUNNEL, "tun_id": sent.has("tun_id"), "tun_src": source}


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("key", [12, 32])
def test_there_and_back(key: int, family: int) -> None:
    """Port 21 and one on hv2, through both programs: two hops each way, the gateway's MAC at both ends."""
    mine, yours = (to4(21, four(key)), four) if family == 4 else (to6(21, six(key)), six)
    there = only(send(crossed(only(send(mine)), ip("192.0.2.1")), seen_by_hv2()))
    assert there.port == key
    assert fields(there, "eth_src", "eth_dst", "nw_ttl") == (GW, mac(key), 62)
    answer = to4(key, yours(21)) if family == 4 else to6(key, yours(21))
    back = only(send(crossed(only(send(answer, seen_by_hv2())), HV2)))
    assert back.port == 21
    assert fields(back, "eth_src", "eth_dst", "nw_ttl") == (GW, mac(21), 62)
