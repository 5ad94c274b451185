"""Who is answered, what is counted for whom, and when routers are advertised unasked."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP
from scapy.layers.inet6 import ICMPv6ND_RA, ICMPv6NDOptDNSSL, ICMPv6NDOptMTU, ICMPv6NDOptRDNSS
from scapy.layers.l2 import Ether

from controller.agent import responding
from controller.agent.responding import HOST_BURST, OWN_BURST, Responder
from controller.southbound.openflow.questions import Question
from model.addresses import GATEWAY_MAC
from model.change import Part
from model.guidance import Guidance
from model.ids import NetworkKey, PortKey, Uid
from model.intent import Network
from model.inventory import Interface
from model.serving import IFACE_ID
from model.snapshot import Snapshot
from pipelines import cookies
from services.advertising import INTERVAL
from tests.fakes import askers, world

ELEVEN, TWELVE = PortKey(11), PortKey(12)
UID = Uid("port-11")
DISCOVER = askers.dhcp4(("message-type", "discover"))
"""Its MAC is that of port 11 of the small cluster."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def cluster() -> Snapshot:
    """The small one, with uids as the store gives them: a server is known by that of its network."""
    snapshot = world.two_tenants()
    for key, network in snapshot.networks.items():
        named = replace(network, uid=Uid(f"11111111-2222-4333-8444-{key:012}"))
        snapshot = world.with_part(snapshot, Part.NETWORK, key, named)
    return snapshot


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def responder(clock: Clock) -> Responder:
    return Responder(clock)


def asked(frame: bytes = DISCOVER, key: int = 11, in_port: int = 1) -> Question:
    return Question(cookies.asked(PortKey(key)), in_port, frame)


def with_network(snapshot: Snapshot, **fields: object) -> Snapshot:
    network: Network = replace(snapshot.networks[NetworkKey(1)], **fields)
    return world.with_part(snapshot, Part.NETWORK, network.key, network)


def test_a_port_is_answered_its_own_address(responder: Responder) -> None:
    frame = responder.respond(cluster(), asked())
    assert frame is not None and Ether(frame)[BOOTP].yiaddr == "10.0.0.1"
    assert responder.counts == {UID: {"answered": 1}} and not responder.others


@pytest.mark.parametrize(
    ("question", "why"),
    [
        (asked(key=77), "stranger"),
        (asked(key=12), "stranger"),
        (asked(in_port=2), "stranger"),
        (asked(in_port=world.TUNNEL), "stranger"),
        (asked(key=13), "stranger"),
        (Question(cookies.port(ELEVEN), 1, DISCOVER), "alien"),
        (Question(cookies.announced(ELEVEN), 1, DISCOVER), "alien"),
        (Question(9, 1, DISCOVER), "alien"),
    ],
)
def test_only_a_port_that_lives_behind_that_number_is(
    responder: Responder, question: Question, why: str
) -> None:
    assert responder.respond(cluster(), question) is None
    assert responder.others == {why: 1} and not responder.counts


def test_the_answer_follows_the_snapshot(responder: Responder) -> None:
    snapshot = cluster()
    silent = with_network(snapshot, guidance=Guidance(answers=False))
    assert responder.respond(silent, asked()) is None
    told = with_network(snapshot, guidance=Guidance(domain="a.example"), mtu=1400)
    frame = responder.respond(told, asked())
    assert frame is not None and b"a.example" in frame and (1400).to_bytes(2, "big") in frame
    gone = world.with_part(snapshot, Part.BINDING, ELEVEN, None)
    assert responder.respond(gone, asked()) is None
    assert responder.counts == {UID: {"off": 1, "answered": 1}} and responder.others == {"stranger": 1}


def test_a_flood_of_all_ports_together_is_bounded(responder: Responder, clock: Clock) -> None:
    snapshot = cluster()
    for _ in range(int(HOST_BURST + OWN_BURST)):
        responder.respond(snapshot, asked(b""))
    assert responder.respond(snapshot, asked()) is None
    assert responder.counts[UID] == {"malformed": HOST_BURST + OWN_BURST, "busy": 1}
    clock.now += 0.01
    assert responder.respond(snapshot, asked()) is not None


def test_who_boots_is_answered_whatever_all_others_flood(responder: Responder, clock: Clock) -> None:
    snapshot = cluster()
    calm = askers.dhcp4(
        ("message-type", "discover"), mac="02:00:00:00:10:01", chaddr=bytes.fromhex("020000001001")
    )
    for _ in range(5):
        for _ in range(3_000):
            responder.respond(snapshot, asked(b""))
        assert responder.respond(snapshot, asked()) is None
        for _ in range(2):
            assert responder.respond(snapshot, asked(calm, key=21, in_port=3)) is not None
        clock.now += 1.0
    assert responder.counts[Uid("port-21")] == {"answered": 10}


def test_a_defect_is_counted_and_told(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(frame: bytes, client: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(responding, "answer", broken)
    with pytest.raises(RuntimeError):
        responder.respond(cluster(), asked())
    assert responder.counts == {UID: {"failed": 1}}


def test_routers_are_advertised_after_a_while_and_when_there_is_something_new(
    responder: Responder, clock: Clock
) -> None:
    snapshot = cluster()
    assert responder.advertise(snapshot) == (), "who is new asks"
    clock.now += INTERVAL - 1
    assert responder.advertise(snapshot) == ()
    told = with_network(snapshot, mtu=1400)
    ports = [port for port, _ in responder.advertise(told)]
    assert ports == [1, 2]
    clock.now += 2
    others = [port for port, _ in responder.advertise(told)]
    assert others and not {1, 2} & {*others}, "of the other tenant: theirs are due alone"
    clock.now += INTERVAL
    due = responder.advertise(told)
    assert [port for port, _ in due] == [1, 2, *others]
    frame = Ether(due[0][1])
    assert frame.src == "0a:00:52:f1:00:01" and GATEWAY_MAC == 0x0A0052F10001
    assert frame[ICMPv6NDOptMTU].mtu == 1400 and frame[ICMPv6ND_RA].M == 1


def test_a_resolver_that_changes_is_told_at_once_and_to_ports_of_that_network_alone(
    responder: Responder,
) -> None:
    snapshot = cluster()
    responder.advertise(snapshot)
    told = with_network(snapshot, guidance=Guidance(resolvers=(ip_address("fd00::2"),)))
    due = responder.advertise(told)
    assert [port for port, _ in due] == [1, 2]
    assert Ether(due[0][1])[ICMPv6NDOptRDNSS].dns == ["fd00::2"]
    assert responder.advertise(told) == ()


def served(snapshot: Snapshot, suffix: str) -> Snapshot:
    """As while nobody is behind it: the interface has no number then."""
    there = Interface("rf-services", IFACE_ID, 0, suffix=suffix)
    return world.with_part(snapshot, Part.INTERFACE, IFACE_ID, there)


def test_ports_are_told_of_names_where_these_are_served(responder: Responder) -> None:
    snapshot = cluster()
    responder.advertise(snapshot)
    there = served(snapshot, "internal")
    due = responder.advertise(there)
    zones = [Ether(frame)[ICMPv6NDOptDNSSL].searchlist for _, frame in due]
    assert zones == [["t1.internal."]] * 2 + [["t2.internal."]] * 2
    assert Ether(due[0][1])[ICMPv6NDOptRDNSS].dns == ["fd00:ec2::253"]
    answered = responder.respond(there, asked())
    assert answered is not None and b"t1.internal" in answered
    for none in (snapshot, served(snapshot, "")):
        answered = responder.respond(none, asked())
        assert answered is not None and b"internal" not in answered


def test_nobody_is_advertised_to_without_ipv6_or_where_nobody_answers(
    responder: Responder, clock: Clock
) -> None:
    snapshot = cluster()
    bare = world.added(snapshot, replace(snapshot.ports[ELEVEN], addresses=(ip_address("10.0.0.1"),)))
    silent = with_network(bare, guidance=Guidance(answers=False))
    responder.advertise(bare)
    clock.now += INTERVAL + 1
    assert 1 not in [port for port, _ in responder.advertise(bare)]
    assert not {1, 2} & {port for port, _ in responder.advertise(silent)}


def test_a_port_that_leaves_is_forgotten(responder: Responder) -> None:
    snapshot = cluster()
    responder.respond(snapshot, asked())
    responder.advertise(snapshot)
    assert responder.counts
    responder.advertise(world.with_part(snapshot, Part.BINDING, ELEVEN, None))
    assert not responder.counts


@given(st.binary(max_size=400), st.integers(0, 400), st.integers(0, 255))
def test_no_frame_ends_anything(noise: bytes, at: int, octet: int) -> None:
    """`tests/property/services` looks into it further; here it is what the agent counts."""
    responder, snapshot = Responder(Clock()), cluster()
    bent = bytearray(DISCOVER)
    bent[at % len(bent)] = octet
    for frame in (noise, DISCOVER[:at], DISCOVER + noise, bytes(bent)):
        made = responder.respond(snapshot, asked(frame))
        assert made is None or made[6:12] == GATEWAY_MAC.to_bytes(6, "big")
    assert sum(responder.counts[UID].values()) == 4 and "failed" not in responder.counts[UID]


def test_what_is_told_keeps_the_questions_of_ports_that_left(responder: Responder) -> None:
    snapshot = cluster()
    responder.respond(snapshot, asked())
    responder.respond(snapshot, asked(key=77))
    first = responder.told()
    assert first.totals == (("answered", 1), ("stranger", 1)) and first.ports == ((UID, (("answered", 1),)),)
    responder.advertise(world.with_part(snapshot, Part.BINDING, ELEVEN, None))
    assert responder.told().totals == first.totals and responder.told().ports == ()
