"""Routing in the fake switch is that of a real Open vSwitch: drawn packets to gateways and under L3VNIs."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.southbound import unixctl
from controller.southbound.openflow.channel import Channel
from controller.southbound.openflow.encoder import Encoder
from controller.southbound.tracing import parse, question
from model.addresses import GATEWAY_MAC, link_local, router_mac
from pipelines import fields as f
from pipelines.compile import Program, compile, install
from pipelines.groups import GROUPS
from pipelines.walk import HASH
from tests.contract.ovs import PrivateOvs
from tests.contract.test_packets import EXAMPLES, ME, agree, fragments
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Switch

HERE = {key: world.routed_port(key, world.HERE) for key in (11, 13, 21, 41, 51)}
NAMES = [f"10.0.{n}.{last}" for n in (1, 2, 3, 4) for last in (1, 11, 12, 13)]
BEHIND = [f"10.{n}.{m}.9" for n in (50, 51, 52, 53) for m in (0, 7)]
FOURS = [
    int(ip_address(a))
    for a in (*NAMES, *BEHIND, "10.9.0.1", "224.0.0.1", "169.254.1.1", "127.0.0.1", "0.0.0.0")
]
SIXES = [int(ip_address(f"fd00:0:0:{n}::{last}")) for n in (1, 2, 3, 4) for last in "1bcd"]
SIXES += [int(ip_address(f"fd{n}:0:0:{m}::9")) for n in (50, 51, 52, 53) for m in (0, 7)]
SIXES += [int(link_local(GATEWAY_MAC)), *(int(ip_address(a)) for a in ("ff02::1", "::1", "2001:db8::9"))]
ROUTERS = [int(mac) for mac in (router_mac(1), router_mac(1), router_mac(2), GATEWAY_MAC)]
VTEPS = [int(ip_address(f"192.0.2.{n}")) for n in (2, 3, 4, 66)]
TTLS = [0, 1, 2, 64, 255]


hashes = st.integers(1, (1 << 32) - 1)
"""0 = not hashed yet: the switch would end its pass there."""


@st.composite
def sent_to_gateways(draw: st.DrawFn) -> Packet:
    """By a local port, mostly honest."""
    port = HERE[draw(st.sampled_from(sorted(HERE)))]
    four, six = (int(a) for a in port.addresses)
    to = draw(st.sampled_from([int(GATEWAY_MAC), int(GATEWAY_MAC), int(GATEWAY_MAC), 0x020000000102]))
    if draw(st.booleans()):
        made = packets.ipv4(int(port.mac), to, four, draw(st.sampled_from(FOURS)))
    else:
        own = draw(st.sampled_from([six, six, int(link_local(port.mac))]))
        made = packets.ipv6(int(port.mac), to, own, draw(st.sampled_from(SIXES)))
    made = packets.echo(made) if draw(st.booleans()) else made
    if draw(st.integers(0, 7)) == 0:  # as a next hop would
        name, found = ("ip_src", FOURS) if "ip_src" in made else ("ipv6_src", SIXES)
        made = made | {name: draw(st.sampled_from(found))}
    return made | {"nw_ttl": draw(st.sampled_from(TTLS)), "in_port": int(port.key)} | {HASH: draw(hashes)}


@st.composite
def asked(draw: st.DrawFn) -> Packet:
    """ARP and solicitations for gateways and others."""
    port = HERE[draw(st.sampled_from(sorted(HERE)))]
    four, six = (int(a) for a in port.addresses)
    if draw(st.booleans()):
        made = packets.arp(1, int(port.mac), four, draw(st.sampled_from(FOURS)))
    else:
        made = packets.solicitation(int(port.mac), six, draw(st.sampled_from(SIXES)))
    return made | {"in_port": int(port.key)}


@st.composite
def tunnelled(draw: st.DrawFn) -> Packet:
    """Out of the tunnel, under L3VNIs and others."""
    from_mac = draw(st.sampled_from([*ROUTERS, 0x020000000102]))
    to = draw(st.sampled_from([*ROUTERS, 0x020000000101]))
    if draw(st.booleans()):
        made = packets.ipv4(from_mac, to, FOURS[2], draw(st.sampled_from(FOURS)))
    else:
        made = packets.ipv6(from_mac, to, SIXES[2], draw(st.sampled_from(SIXES)))
    if draw(st.integers(0, 3)) == 0:
        made = packets.arp(
            draw(st.sampled_from((1, 2))), from_mac, draw(st.sampled_from(FOURS)), FOURS[0], dst=to
        )
    else:
        made = made | {"nw_ttl": draw(st.sampled_from(TTLS))}
    vni = draw(st.sampled_from((5001, 5001, 5002, 1001, 7)))
    outer = {"tun_id": vni, "tun_src": draw(st.sampled_from(VTEPS)), "tun_dst": ME}
    return made | outer | {"in_port": world.TUNNEL, HASH: draw(hashes)}


@st.composite
def received(draw: st.DrawFn) -> Packet:
    made = draw(st.one_of(sent_to_gateways(), sent_to_gateways(), asked(), tunnelled()))
    fragment = 0 if made["eth_type"] == f.ARP or "nd_target" in made else draw(fragments)
    return made | ({"ip_frag": fragment} if fragment else {})


@pytest.fixture(scope="module")
def program() -> Program:
    return compile(world.hopped())


@pytest.fixture(scope="module")
def programmed(shared_ovs: PrivateOvs, program: Program) -> Iterator[PrivateOvs]:
    shared_ovs.ofctl("del-flows")
    for key in HERE:
        new = ("add-port", "br-int", f"r{key}", "--", "set", "Interface", f"r{key}", "type=internal")
        shared_ovs.vsctl(*new, f"ofport_request={key}")
    channel = Channel(shared_ovs.management, Encoder(), standing=GROUPS)
    outcome = channel.send(install(program))
    assert outcome.refused == ()
    findings = channel.audit(program.flows())
    assert not findings and findings.right == outcome.flows
    channel.close()
    yield shared_ovs
    for key in HERE:
        shared_ovs.vsctl("del-port", f"r{key}")


@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
@given(packet=received())
def test_same_verdict_as_a_real_switch(programmed: PrivateOvs, program: Program, packet: Packet) -> None:
    text = unixctl.trace(programmed.rundir, "br-int", question(packet))
    verdict = Switch.of(program.flows()).receive(packet)
    agree(parse(text, packet["in_port"]), verdict)
    assert violations(world.hopped(), packet, verdict) == []


@pytest.mark.parametrize(
    ("to", "ttl", "port"),
    [
        ("10.0.2.11", 64, 21),
        ("10.0.3.12", 64, world.TUNNEL),
        ("10.0.2.1", 64, 11),
        ("10.0.2.11", 1, CONTROLLER),
        ("10.50.7.9", 64, 21),
        ("10.52.0.9", 64, world.TUNNEL),
        ("10.53.0.9", 64, CONTROLLER),
    ],
)
def test_each_way_out_is_taken(programmed: PrivateOvs, to: str, ttl: int, port: int) -> None:
    """Positive control: the drawn packets would prove nothing if none of these were routed."""
    one = HERE[11]
    packet = packets.ipv4(int(one.mac), int(GATEWAY_MAC), int(one.addresses[0]), int(ip_address(to)))
    packet = packets.echo(packet) | {"nw_ttl": ttl, "in_port": 11}
    traced = parse(unixctl.trace(programmed.rundir, "br-int", question(packet)), 11)
    assert [number for number, _ in traced.sent] == [port]
