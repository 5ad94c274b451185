"""Whatever is sent in whatever order: nothing private goes out, nobody comes in but by an address of his own.

The switch keeps its connections over a whole run of packets, so that answers, strangers and full zones meet.
The rules stand here in the snapshot's terms; flows are not looked at.
"""

from __future__ import annotations

from ipaddress import ip_address

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.addresses import GATEWAY_MAC, router_mac
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines.compile import compile
from tests.fakes import outward as out
from tests.fakes import packets, world
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Sent, Switch

HERE = (11, 12, 51)
OUTSIDE_VNI, RED_VNI, BLUE_VNI = 5009, 5001, 5002
TENANT = {11: 1, 12: 1, 51: 2}
NETWORK = {11: 1001, 12: 1001, 51: 1005}
VRF_VNI = {1: RED_VNI, 2: BLUE_VNI}
FLOATING = {key: {int(out.floating(key, v).address) for v in (4, 6)} for key in (11, 51)}
EGRESS = {int(a) for a in out.ADDRESSES}
SERVERS = {4: [int(ip_address(f"198.51.100.{n}")) for n in (9, 10)], 6: [int(ip_address("2001:db8:5::9"))]}


def private(version: int) -> list[int]:
    return [int(out.port(key).addresses[version == 6]) for key in out.PLACES]


def addresses(version: int) -> list[int]:
    ours = [int(out.floating(key, version).address) for key in out.FLOATING]
    return [*private(version), *ours, *SERVERS[version], int(out.ADDRESSES[version == 6])]


_PORTS = st.sampled_from([53, 4000, 4001])


def _packet(draw: st.DrawFn, version: int, macs: tuple[int, int], source: int) -> Packet:
    make = packets.ipv4 if version == 4 else packets.ipv6
    made = make(*macs, source, draw(st.sampled_from(addresses(version))))
    return packets.udp(made, draw(_PORTS), draw(_PORTS))


@st.composite
def sent_here(draw: st.DrawFn) -> Packet:
    """By a local port, mostly as itself, to its gateway."""
    key, version = draw(st.sampled_from(HERE)), draw(st.sampled_from((4, 6)))
    one = out.port(key)
    own = int(one.addresses[version == 6])
    source = draw(st.sampled_from([own, own, own, *addresses(version)]))
    return _packet(draw, version, (int(one.mac), int(GATEWAY_MAC)), source) | {"in_port": key}


@st.composite
def arrived(draw: st.DrawFn) -> Packet:
    """Out of the tunnel: from borders, hosts and strangers, under any VNI."""
    version = draw(st.sampled_from((4, 6)))
    macs = (int(router_mac(9)), int(draw(st.sampled_from([router_mac(1), router_mac(1), GATEWAY_MAC]))))
    source = draw(st.sampled_from(addresses(version)))
    outer = {
        "tun_id": draw(st.sampled_from([OUTSIDE_VNI, OUTSIDE_VNI, RED_VNI, BLUE_VNI, 1001, 1005])),
        "tun_src": int(ip_address(f"192.0.2.{draw(st.sampled_from([9, 9, 2, 2, 3, 66]))}")),
    }
    return _packet(draw, version, macs, source) | outer | {"in_port": world.TUNNEL}


def breaches(packet: Packet, sent: Sent) -> list[str]:
    """What is wrong with sending this for that packet."""
    asked = packet.get("ip_dst") or packet.get("ipv6_dst") or 0
    source = sent.has("ip_src") or sent.has("ipv6_src")
    target = sent.has("ip_dst") or sent.has("ipv6_dst")
    inside = {*private(4), *private(6)}
    if sent.port == CONTROLLER:
        return (
            [] if packet["in_port"] in HERE or packet["tun_id"] in VRF_VNI.values() else ["told a stranger"]
        )
    if sent.port == world.TUNNEL:
        return _left(packet, sent.has("tun_id"), source, target, inside, asked)
    return _came(packet, sent.port, target, asked)


def _left(packet: Packet, vni: int, source: int, target: int, inside: set[int], asked: int) -> list[str]:
    port = packet["in_port"]
    if vni == OUTSIDE_VNI:
        if source in inside or target in inside:
            return [f"private {source:#x} > {target:#x} went outside"]
        if port in HERE:
            allowed = FLOATING.get(port, set()) | (EGRESS if TENANT[port] == 1 else set())
        else:
            allowed = EGRESS if packet["tun_id"] == RED_VNI else set()
        return [] if source in allowed else [f"{source:#x} went outside for what came by {port}"]
    if port in HERE:
        # the answer of a floating IP to the egress address beside it is routed on as the other tenant's
        mine = {VRF_VNI[TENANT[port]], NETWORK[port]} | ({RED_VNI} if asked in EGRESS else set())
        return [] if vni in mine else [f"{port} sent under VNI {vni}"]
    back = packet["tun_id"] == OUTSIDE_VNI and asked in EGRESS and vni == RED_VNI
    return [] if back else [f"from VNI {packet['tun_id']} into VNI {vni}"]


def _came(packet: Packet, port: int, target: int, asked: int) -> list[str]:
    if port not in HERE:
        return [f"left by {port}, which is nobody's"]
    own = {int(a) for a in out.port(port).addresses}
    if target not in own:
        return [f"{port} got what is for {target:#x}"]
    named = asked in FLOATING.get(port, set()) or (TENANT[port] == 1 and asked in EGRESS)
    if packet["in_port"] in HERE:
        kin = TENANT[packet["in_port"]] == TENANT[port] and asked == target
        return [] if kin or named else [f"{packet['in_port']} reached {port} by {asked:#x}"]
    vni = packet["tun_id"]
    if vni == OUTSIDE_VNI:
        return [] if named else [f"{port} was reached from outside by {asked:#x}"]
    if vni == RED_VNI and named:
        return []  # translated here, and on to a floating IP beside it
    return [] if vni in (VRF_VNI[TENANT[port]], NETWORK[port]) else [f"VNI {vni} reached {port}"]


def _switch(snapshot: Snapshot, limit: int) -> Switch:
    switch = Switch.of(compile(snapshot).flows())
    switch.tracker.limits.update(dict.fromkeys(snapshot.zones.values(), limit))
    return switch


@settings(suppress_health_check=list(HealthCheck))
@given(st.lists(st.one_of(sent_here(), arrived()), min_size=1, max_size=25), st.sampled_from([1, 2, 100]))
def test_nobody_gets_out_or_in_but_by_his_own_address(run: list[Packet], limit: int) -> None:
    switch = _switch(out.leaving(), limit)
    for packet in run:
        found = [text for sent in switch.receive(packet).sent for text in breaches(packet, sent)]
        assert found == [], packet


def test_the_rules_see_a_breach() -> None:
    """Positive control: an honest way out, called dishonest where it is."""
    one = out.port(11)
    packet = packets.ipv4(int(one.mac), int(GATEWAY_MAC), int(one.addresses[0]), SERVERS[4][0])
    packet = packets.udp(packet, 4000, 53) | {"in_port": 11}
    (sent,) = _switch(out.leaving(), 100).receive(packet).sent
    assert breaches(packet, sent) == []
    untranslated = Sent(sent.port, {**sent.packet, "ip_src": int(one.addresses[0])})
    assert breaches(packet, untranslated)
    assert breaches(packet | {"in_port": 51}, sent)
    assert breaches(packet, Sent(12, sent.packet)) and breaches(packet, Sent(77, sent.packet))
    assert sent.has("eth_type") == f.IPV4
