"""Serving: each protocol that is served, what is refused, and what becomes of it while nobody answers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.addresses import GATEWAY_MAC
from model.change import Change, Part
from model.ids import PortKey
from model.intent import Pair
from model.serving import IFACE_ID, METADATA, PLACES, RESOLVERS, SERVED, SERVICES_MAC, aliases
from model.snapshot import Snapshot
from pipelines import fields as f
from pipelines.compile import compile, recompile
from pipelines.reasons import ending, reason
from tests.fakes import packets as p
from tests.fakes import world
from tests.fakes.packets import Packet
from tests.fakes.switch import Switch, Verdict

A_MAC = 0x020000000001
OWN = {4: int(ip_address("10.0.0.1")), 6: int(ip_address("fd00::1"))}


def question(at, proto: int, port: int, *, to: int = GATEWAY_MAC, source: int | None = None) -> Packet:
    """Of port 11, through OpenFlow port 1."""
    make = p.ipv4 if at.version == 4 else p.ipv6
    name = "udp" if proto == f.UDP else "tcp"
    whole = make(A_MAC, to, OWN[at.version] if source is None else source, int(at), proto=proto)
    return whole | {f"{name}_src": 40000, f"{name}_dst": port, "in_port": 1}


def ask(snapshot: Snapshot, packet: Packet) -> Verdict:
    return Switch.of(compile(snapshot).flows()).receive(packet)


def why(verdict: Verdict) -> str:
    assert verdict.sent == ()
    return reason(ending([flow for _, flow in verdict.path if flow is not None])).shape


SERVED_AT = [
    *((at, proto, 53) for at in RESOLVERS for proto in (f.UDP, f.TCP)),
    *((at, f.TCP, 80) for at in METADATA),
]


@pytest.mark.parametrize(("at", "proto", "port"), SERVED_AT)
@pytest.mark.parametrize("to", [GATEWAY_MAC, 0x020000000002], ids=["by the gateway", "by a neighbour"])
def test_a_question_gets_there_and_its_answer_back(at, proto, port, to) -> None:
    snapshot = world.served(world.two_tenants())
    (sent,) = ask(snapshot, question(at, proto, port, to=to)).sent
    assert sent.port == world.SERVICES
    assert sent.has("eth_dst") == SERVICES_MAC
    source, target = ("ip_src", "ip_dst") if at.version == 4 else ("ipv6_src", "ipv6_dst")
    assert sent.has(target) == int(at)
    name = "udp" if proto == f.UDP else "tcp"
    back = sent.packet | {
        "in_port": world.SERVICES,
        source: sent.has(target),
        target: sent.has(source),
        f"{name}_src": port,
        f"{name}_dst": 40000,
    }
    (got,) = ask(snapshot, {k: v for k, v in back.items() if not k.startswith("reg")}).sent
    assert got.port == 1
    assert (got.has("eth_src"), got.has("eth_dst")) == (GATEWAY_MAC, A_MAC)
    assert (got.has(source), got.has(target)) == (int(at), OWN[at.version])


@pytest.mark.parametrize(
    ("at", "proto", "port"),
    [
        *((at, f.UDP, 80) for at in METADATA),
        *((at, f.TCP, 53) for at in METADATA),
        *((at, f.TCP, 80) for at in RESOLVERS),
        *((at, f.UDP, 5353) for at in RESOLVERS),
    ],
)
def test_nothing_else_is_served_there(at, proto, port) -> None:
    assert why(ask(world.served(world.two_tenants()), question(at, proto, port))) == "served-miss"


@pytest.mark.parametrize("at", SERVED)
def test_a_question_in_fragments_ends(at) -> None:
    packet = question(at, f.UDP, 53) | {"ip_frag": 1}
    assert why(ask(world.served(world.two_tenants()), packet)) == "served-fragment*"


@pytest.mark.parametrize(("at", "proto", "port"), SERVED_AT)
def test_while_nobody_answers_questions_end_and_are_counted(at, proto, port) -> None:
    here = world.two_tenants()
    down = world.served(here)
    asleep = replace(down.interfaces[IFACE_ID], up=False)
    for snapshot in (here, world.with_part(down, Part.INTERFACE, IFACE_ID, asleep)):
        assert why(ask(snapshot, question(at, proto, port))) == "aliased-miss"


@pytest.mark.parametrize("at", RESOLVERS)
def test_an_address_of_a_pair_is_nobody_who_could_ask(at) -> None:
    snapshot = world.served(world.allowing(world.two_tenants(), 11))
    of_pair = ip_address("10.0.0.100" if at.version == 4 else "fd00::100")
    assert why(ask(snapshot, question(at, f.UDP, 53, source=int(of_pair)))) == "aliased-miss"


def everything(snapshot: Snapshot) -> Snapshot:
    """Port 11 may speak as anybody."""
    return world.allowing(snapshot, 11, (Pair(ip_network("0.0.0.0/0")), Pair(ip_network("::/0"))))


B_MAC = 0x020000000002


@pytest.mark.parametrize("at", SERVED)
def test_no_pair_lets_a_port_speak_as_who_answers(at) -> None:
    here = everything(world.served(world.two_tenants()))
    make, last = (p.ipv4, "10.0.0.2") if at.version == 4 else (p.ipv6, "fd00::2")
    other = ip_address(int(at) + 1024)
    honest = make(A_MAC, B_MAC, int(other), int(ip_address(last))) | {"in_port": 1}
    assert ask(here, honest).ports == (2,), "the pair does let it speak as others"
    posing = make(A_MAC, B_MAC, int(at), int(ip_address(last))) | {"in_port": 1}
    assert why(ask(here, posing)) == "guard-poses*"


def test_nor_announce_their_addresses() -> None:
    here = everything(world.served(world.two_tenants()))
    spoken = p.arp(f.ARP_REPLY, A_MAC, int(SERVED[0]) + 9, int(ip_address("10.0.0.2")), tha=B_MAC, dst=B_MAC)
    assert 2 in ask(here, spoken | {"in_port": 1}).ports
    for at in SERVED:
        if at.version == 4:
            posing = p.arp(f.ARP_REPLY, A_MAC, int(at), int(ip_address("10.0.0.2")), tha=B_MAC, dst=B_MAC)
            assert why(ask(here, posing | {"in_port": 1})) == "guard-poses*"
            continue
        for target, seen in ((int(at) + 9, (2,)), (int(at), ())):
            advert = p.advertisement(A_MAC, B_MAC, OWN[6], int(ip_address("fd00::2")), target)
            assert ask(here, advert | {"in_port": 1}).ports == seen


@pytest.mark.parametrize("at", SERVED)
def test_the_link_is_told_where_they_are(at) -> None:
    here = world.two_tenants()
    if at.version == 4:
        (sent,) = ask(here, p.arp(f.ARP_REQUEST, A_MAC, OWN[4], int(at)) | {"in_port": 1}).sent
        assert (sent.port, sent.has("arp_sha"), sent.has("arp_spa")) == (1, GATEWAY_MAC, int(at))
        return
    (sent,) = ask(here, p.solicitation(A_MAC, OWN[6], int(at)) | {"in_port": 1}).sent
    assert (sent.port, sent.has("nd_tll"), sent.has("nd_target")) == (1, GATEWAY_MAC, int(at))


def test_who_answers_says_nothing_but_answers() -> None:
    here = world.served(world.two_tenants())
    alias = int(dict(aliases(PortKey(11), here.ports[PortKey(11)].addresses))[ip_address("10.0.0.1")])
    plain = p.ipv4(SERVICES_MAC, 5, int(RESOLVERS[0]), alias) | {"in_port": world.SERVICES}
    fit = plain | {"tcp_src": 53}
    assert ask(here, fit).ports == (1,)
    for odd in (
        plain | {"tcp_src": 54},
        plain | {"tcp_src": 80},
        p.echo(plain),
        fit | {"ip_src": int(ip_address("10.0.0.2"))},
    ):
        assert why(ask(here, odd)) == "replied-miss"
    assert why(ask(here, fit | {"ip_dst": int(ip_address("10.0.0.99"))})) == "restored-miss"
    assert ask(here, fit | {"vlan_tci": 0x1005}).sent == ()


def test_a_port_has_so_many_aliases_and_no_more() -> None:
    many = tuple(ip_address("10.0.0.0") + n for n in range(PLACES + 5))
    found = aliases(PortKey(7), (*many, ip_address("fe80::1"), ip_address("fd00::1")))
    assert len(found) == PLACES + 1
    assert len({other for _, other in found}) == PLACES + 1


def test_when_who_answers_comes_or_goes_only_questions_are_programmed_anew() -> None:
    here, there = world.two_tenants(), world.served(world.two_tenants())
    change = [Change(Part.INTERFACE, IFACE_ID)]
    program, patch = recompile(compile(here), here, there, change)
    assert program == compile(there)
    put = [flow.shape.name for flows, _ in patch.groups for flow in flows]
    assert len(put) == 4 * 4 + 1 + 6
    assert [each.id for each in patch.meters] == [49153, 49154, 49155, 49156]
    program, patch = recompile(program, there, here, change)
    assert program == compile(here)
    assert patch.stale_meters == (49153, 49154, 49155, 49156)
