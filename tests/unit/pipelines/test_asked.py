"""What a port asks its network: to the agent as it came, whatever its source address, and to nobody else."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.change import Change, Part
from model.flow import Meter, Metered, Unit
from model.guidance import Guidance
from model.ids import NetworkKey, PortKey
from model.snapshot import Snapshot
from pipelines import cookies, limits
from pipelines import fields as f
from pipelines.compile import compile, recompile
from tests.fakes import packets, world
from tests.fakes.isolation import violations
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Switch, Verdict
from tests.unit.pipelines.test_walks import A1, A2, M1, M2, S1, S2, ended, lla

EVERYBODY = (1 << 48) - 1
SERVERS, ROUTERS = int(ip_address("ff02::1:2")), int(ip_address("ff02::2"))
PRIVATE = int(ip_address("fe80::1234:5678:9abc:def0"))
"""A link-local address that does not follow from the MAC (RFC 7217)."""
METER = limits.meter_id(limits.Kind.ASKED, 1)


def dhcp4(source: int = 0, target: int = 0xFFFFFFFF, to: int = EVERYBODY) -> Packet:
    return packets.udp(packets.ipv4(M1, to, source, target), 68, 67)


def dhcp6(source: int = PRIVATE, target: int = SERVERS) -> Packet:
    return packets.udp(packets.ipv6(M1, 0x333300010002, source, target), 546, 547)


def solicitation(source: int = PRIVATE, **more: int) -> Packet:
    frame = packets.ipv6(M1, 0x333300000002, source, ROUTERS, proto=f.ICMPV6, ttl=255)
    return frame | {"icmpv6_type": f.ROUTER_SOLICITATION} | more


def send(packet: Packet, snapshot: Snapshot | None = None, port: int = 1) -> Verdict:
    made = world.two_tenants() if snapshot is None else snapshot
    frame = packet | {"in_port": port}
    verdict = Switch.of(compile(made).flows()).receive(frame)
    assert violations(made, frame, verdict) == []
    return verdict


def replicating(guidance: Guidance) -> Snapshot:
    """Network 1 copies group frames to all its ports."""
    snapshot = world.two_tenants()
    network = replace(snapshot.networks[NetworkKey(1)], replicate=True, guidance=guidance)
    return world.with_part(snapshot, Part.NETWORK, network.key, network)


@pytest.mark.parametrize(
    "packet",
    [
        dhcp4(),
        dhcp4(A1, A2, M2),
        dhcp4(A2),
        dhcp6(),
        dhcp6(lla(M1)),
        dhcp6(S1, S2),
        solicitation(),
        solicitation(0),
        solicitation(S1, icmpv6_code=1),
    ],
)
def test_a_question_goes_to_the_agent_alone(packet: Packet) -> None:
    for snapshot in (world.two_tenants(), replicating(Guidance())):
        verdict = send(packet, snapshot)
        assert verdict.ports == (CONTROLLER,)
        assert ended(verdict).startswith("guard-asked-")
        flow = verdict.last
        assert flow is not None and cookies.parse(flow.cookie) == cookies.Cookie(
            cookies.Kind.ASKED, port=PortKey(11)
        )
        assert flow.fill(next(a for a in flow.shape.actions if isinstance(a, Metered)).meter) == METER


@pytest.mark.parametrize(
    ("packet", "end"),
    [
        (dhcp4() | {"eth_src": M2}, "guard-refused"),
        (dhcp6() | {"eth_src": M2}, "guard-refused"),
        (solicitation() | {"eth_src": M2}, "guard-refused"),
        (dhcp4() | {"ip_frag": 1}, "guard-refused"),
        (dhcp4() | {"vlan_tci": 0x1001}, "classify-refused"),
        (packets.udp(packets.ipv4(M1, M2, 0, A2), 68, 53), "guard-refused"),
        (packets.udp(packets.ipv6(M1, M2, PRIVATE, S2), 546, 53), "guard-refused"),
        (packets.udp(packets.ipv4(M1, M2, A1, A2), 67, 68), "guard-dhcp4-to-client"),
        (packets.udp(packets.ipv6(M1, M2, S1, S2), 547, 546), "guard-dhcp6-to-client"),
        (solicitation(S1) | {"icmpv6_type": f.ROUTER_ADVERTISEMENT}, "neighbours-refused-134"),
        (solicitation(S1) | {"icmpv6_type": f.REDIRECT}, "neighbours-refused-137"),
        (solicitation() | {"icmpv6_type": f.ROUTER_ADVERTISEMENT}, "guard-refused"),
    ],
)
def test_nothing_else_gets_through_by_it(packet: Packet, end: str) -> None:
    verdict = send(packet, replicating(Guidance()))
    assert verdict.sent == () and ended(verdict) == end


def test_a_network_that_answers_nobody_asks_nobody() -> None:
    silent = replicating(Guidance(answers=False))
    assert send(dhcp4(), silent).sent == ()
    assert send(solicitation(S1), silent).sent == ()
    assert [meter.id for meter in compile(silent).meters()] == [
        meter.id for meter in compile(world.two_tenants()).meters() if meter.id not in (METER, METER + 1)
    ]


def test_each_family_of_the_network_has_its_own() -> None:
    snapshot = world.two_tenants()
    four = replace(snapshot.networks[NetworkKey(1)], subnets=(ip_network("10.0.0.0/24"),))
    snapshot = world.with_part(snapshot, Part.NETWORK, four.key, four)
    assert send(dhcp4(), snapshot).ports == (CONTROLLER,)
    assert send(dhcp6(), snapshot).ports == ()
    assert send(solicitation(), snapshot).ports == ()


def test_a_change_of_what_is_told_changes_no_flow_and_silence_takes_the_meters_along() -> None:
    before, other = replicating(Guidance()), replicating(Guidance(lease=900))
    change = [Change(Part.NETWORK, NetworkKey(1))]
    program, patch = recompile(compile(before), before, other, change)
    assert not patch
    program, patch = recompile(program, other, replicating(Guidance(answers=False)), change)
    assert patch.stale_meters == (METER, METER + 1) and patch.meters == ()
    _, patch = recompile(program, replicating(Guidance(answers=False)), before, change)
    assert patch.meters == tuple(Meter(METER + n, 10, 20, Unit.PACKETS) for n in (0, 1))
