"""Answers to packets that lived too long: to whom, from whom, how many; and what is counted instead."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import state
from controller.agent.telling import HOST_BURST, PORT_BURST, PORT_RATE, HandedUp, Teller
from model.addresses import GATEWAY_MAC
from model.change import Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Egress, Network, Peering, Port, Side, Tenant
from model.inventory import Interface, Switch
from model.snapshot import Snapshot
from pipelines import cookies
from pipelines.cookies import Reason
from pipelines.tables import PEER
from tests.unit.agent.test_icmp import SENDER, V4, V6, framed, packet4, packet6

HOST = HostName("hv1")
NET = NetworkKey(1)
RED = TenantKey(1)
OURS = cookies.told(RED, Reason.TTL)


def snapshot() -> Snapshot:
    subnets = (ip_network("10.0.0.0/24"), ip_network("fd00:10::/64"))
    items: list[state.Item] = [
        (Part.CLUSTER, None, Cluster(Uid("c"), 3, 65000)),
        (Part.TENANT, RED, Tenant(Uid("t"), "red", RED, Vni(9))),
        (Part.NETWORK, NET, Network(Uid("n"), RED, "net", NET, Vni(5), subnets)),
    ]
    for n in range(40):
        mac = Mac(SENDER + n)
        addresses = (V4, V6) if n == 0 else ()
        port = Port(Uid(f"u{n}"), NET, f"p{n}", PortKey(n + 1), mac, addresses, (HOST,))
        items += [(Part.PORT, port.key, port), (Part.BINDING, port.key, Binding(port.key, HOST, 0, True))]
    step = state.upsert(Snapshot(HOST), items)
    seen = {Uid(f"u{n}"): Interface(f"tap{n}", Uid(f"u{n}"), 7 + n) for n in range(40)}
    switched = state.observe_switch(step.snapshot, Switch("netdev", 1, "run")).snapshot
    return state.observe_interfaces(switched, seen).snapshot


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def teller(clock: Clock) -> Teller:
    return Teller(clock)


FOUR = HandedUp(OURS, 7, framed(0x0800, packet4()))
SIX = HandedUp(OURS, 7, framed(0x86DD, packet6()))


def test_the_gateway_of_the_packets_family_answers_its_sender(teller: Teller) -> None:
    for expired, gateway, start in ((FOUR, "10.0.0.1", 26), (SIX, "fd00:10::1", 22)):
        answer = teller.answer(snapshot(), expired)
        assert answer is not None and answer.port == 7
        frame = answer.frame
        assert frame[:12] == SENDER.to_bytes(6, "big") + GATEWAY_MAC.to_bytes(6, "big")
        assert frame[start:].startswith(ip_address(gateway).packed)
    assert teller.counts == {"answered": 2}
    assert (teller.news(), teller.news()) == ("answered=2", "")


@pytest.mark.parametrize(
    ("reason", "over4", "over6"),
    [
        (Reason.TTL, b"\x0b\x00", b"\x03\x00"),
        (Reason.NO_NETWORK, b"\x03\x00", b"\x01\x00"),
        (Reason.NO_HOST, b"\x03\x01", b"\x01\x03"),
        (Reason.TOO_BIG, b"\x03\x04", b"\x02\x00"),
    ],
)
def test_each_reason_has_its_message(teller: Teller, reason: Reason, over4: bytes, over6: bytes) -> None:
    for event, at, message in ((FOUR, 34, over4), (SIX, 54, over6)):
        answer = teller.answer(snapshot(), replace(event, cookie=cookies.told(RED, reason, NET)))
        assert answer is not None and answer.frame[at:].startswith(message)


def test_who_sent_too_much_is_told_the_mtu_of_its_network(teller: Teller) -> None:
    """RFC 1191 section 4: in the low 16 bits; RFC 4443 section 3.2: in 32."""
    for event, at in ((FOUR, 34), (SIX, 54)):
        answer = teller.answer(snapshot(), replace(event, cookie=cookies.told(RED, Reason.TOO_BIG, NET)))
        assert answer is not None
        assert int.from_bytes(answer.frame[at + 4 : at + 8], "big") == snapshot().networks[NET].mtu


def test_the_second_router_answers_into_the_vrf(teller: Teller) -> None:
    """Its sender is on another host: the address in the destination's network, and the way is the tables'."""
    afar = HandedUp(cookies.told(RED, Reason.TTL_AFAR), 1, b"")
    four = packet4(source=ip_address("10.9.0.7"), target=V4)
    six = packet6(source=ip_address("fd00:99::7"), target=V6)
    for kind, packet, gateway, start in ((0x0800, four, "10.0.0.1", 26), (0x86DD, six, "fd00:10::1", 22)):
        answer = teller.answer(snapshot(), replace(afar, frame=framed(kind, packet)))
        assert answer is not None and (answer.port, answer.vrf) == (None, RED)
        assert answer.frame[start:].startswith(ip_address(gateway).packed)
    other = framed(0x0800, packet4(source=ip_address("10.9.0.7"), target=ip_address("10.9.0.8")))
    assert teller.answer(snapshot(), replace(afar, frame=other)) is None
    stranger = replace(afar, cookie=cookies.told(TenantKey(2), Reason.TTL_AFAR), frame=framed(0x0800, four))
    assert teller.answer(snapshot(), stranger) is None
    assert teller.counts == {"answered": 2, "stranger": 2}


def test_between_peers_the_gateway_speaks_if_its_side_exports_it(teller: Teller) -> None:
    vrf, blue = TenantKey(9), TenantKey(2)

    def peered(*own: str) -> Snapshot:
        theirs = (ip_network("10.9.0.0/24"), ip_network("fd00:99::/64"))
        sides = (Side(RED, tuple(map(ip_network, own))), Side(blue, theirs))
        return state.upsert(snapshot(), [(Part.PEERING, vrf, Peering(vrf, Vni(7), sides))]).snapshot

    afar = HandedUp(cookies.told(vrf, Reason.TTL_AFAR), 0, b"")
    whole = peered("10.0.0.0/24", "fd00:10::/64")
    four = framed(0x0800, packet4(source=ip_address("10.9.0.7"), target=V4))
    six = framed(0x86DD, packet6(source=ip_address("fd00:99::7"), target=V6))
    for frame, gateway, start in ((four, "10.0.0.1", 26), (six, "fd00:10::1", 22)):
        answer = teller.answer(whole, replace(afar, frame=frame))
        assert answer is not None and (answer.port, answer.vrf, answer.table) == (None, vrf, PEER.number)
        assert answer.frame[start:].startswith(ip_address(gateway).packed)
    foreign = framed(0x0800, packet4(source=ip_address("10.8.0.7"), target=V4))
    for world, frame in (
        (peered(f"{V4}/32"), four),  # the gateway is none of what the peer may see
        (peered("10.0.9.0/24"), four),
        (whole, foreign),
        (snapshot(), four),  # one half is gone
    ):
        assert teller.answer(world, replace(afar, frame=frame)) is None
    assert teller.counts == {"answered": 2, "stranger": 4}


def test_a_gateway_answers_with_the_egress_address_for_what_would_leave(teller: Teller) -> None:
    """At the rate of one port for all of them; a host that is no gateway of the tenant stays silent."""
    known, egress = snapshot(), ip_address("203.0.113.1")
    behind = replace(known.tenants[RED], egress=Egress.SNAT, egress_addresses=(egress,), gateways=(HOST,))
    gateway = replace(known, tenants=known.tenants.set(RED, behind))
    packet = packet4(source=ip_address("10.9.0.7"), target=ip_address("198.51.100.9"))
    event = HandedUp(cookies.told(RED, Reason.TTL_AFAR), 1, framed(0x0800, packet))
    answer = teller.answer(gateway, event)
    assert answer is not None and answer.frame[26:].startswith(egress.packed)
    elsewhere = replace(gateway, host=HostName("hv2"))
    assert teller.answer(elsewhere, event) is None
    answers = [teller.answer(gateway, event) for _ in range(int(PORT_BURST) + 5)]
    assert sum(one is not None for one in answers) == int(PORT_BURST) - 1


UNROUTED = replace(snapshot().networks[NET], routed=False)


@pytest.mark.parametrize(
    ("expired", "world", "reason"),
    [
        (replace(FOUR, cookie=0), snapshot(), "alien"),
        (replace(FOUR, cookie=cookies.network(NET)), snapshot(), "alien"),
        (replace(FOUR, cookie=cookies.told(TenantKey(2), Reason.TTL)), snapshot(), "stranger"),
        (replace(FOUR, in_port=99), snapshot(), "stranger"),
        (replace(FOUR, in_port=8), snapshot(), "stranger"),  # another port's MAC and addresses
        (replace(FOUR, frame=framed(0x0800, packet4(source=ip_address("10.0.0.9")))), snapshot(), "stranger"),
        (FOUR, state.upsert(snapshot(), [(Part.NETWORK, NET, UNROUTED)]).snapshot, "stranger"),
        (FOUR, Snapshot(HOST), "stranger"),
        (replace(FOUR, frame=b"short"), snapshot(), "malformed"),
        (replace(FOUR, frame=framed(0x0800, packet4(b"\x0b\x00" + bytes(6), 1))), snapshot(), "forbidden"),
    ],
)
def test_everybody_else_gets_silence_that_is_counted(
    teller: Teller, expired: HandedUp, world: Snapshot, reason: str
) -> None:
    assert teller.answer(world, expired) is None
    assert teller.counts == {reason: 1}


def test_a_port_gets_so_many_answers_and_others_still_theirs(teller: Teller, clock: Clock) -> None:
    world = snapshot()
    answers = [teller.answer(world, FOUR) for _ in range(100)]
    assert sum(a is not None for a in answers) == PORT_BURST
    assert teller.counts["rate"] == 100 - PORT_BURST
    clock.now += 1.0
    assert sum(teller.answer(world, FOUR) is not None for _ in range(100)) == PORT_RATE
    teller.answer(world, replace(FOUR, in_port=8))
    assert teller.counts["stranger"] == 1  # its own bucket, not the busy port's


def test_all_ports_together_get_so_many(teller: Teller) -> None:
    world = snapshot()
    for ofport in range(7, 47):
        for _ in range(20):
            teller.answer(world, replace(FOUR, in_port=ofport))
    assert teller.counts["rate"] == 40 * 20 - HOST_BURST
    assert teller.counts["answered"] == PORT_BURST


@given(
    st.lists(st.tuples(st.integers(5, 10), st.sampled_from((OURS, 0)), st.binary(max_size=80)), max_size=30)
)
def test_nothing_raises_and_everything_is_counted(sent) -> None:
    teller, world = Teller(Clock()), snapshot()
    for in_port, cookie, frame in sent:
        teller.answer(world, HandedUp(cookie, in_port, frame))
    assert teller.counts.total() == len(sent)
