"""Router advertisements: what a solicitation is answered, and what is sent unasked, read by scapy."""

from __future__ import annotations

import pytest
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    ICMPv6ND_RS,
    ICMPv6NDOptDNSSL,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptSrcLLAddr,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet

from services.advertising import advertise
from services.answering import answer
from services.client import Client, make_client
from services.outcome import Outcome
from tests.fakes.askers import (
    GATEWAY,
    GATEWAY_LINK,
    GUIDANCE,
    LINK,
    MAC,
    OTHER,
    network,
    port,
    solicitation,
)

CLIENT = make_client(network("10.0.0.0/24", "fd00::/64"), port("10.0.0.5", "fd00::5"), GUIDANCE)
TO_ALL = ("33:33:00:00:00:01", "ff02::1")


def _read(frame: bytes | None) -> Packet:
    assert frame is not None
    packet = Ether(frame)
    assert (packet.src, packet[IPv6].src, packet[IPv6].hlim) == (GATEWAY, GATEWAY_LINK, 255)
    rebuilt = packet.copy()
    del rebuilt[ICMPv6ND_RA].cksum
    assert Ether(bytes(rebuilt))[ICMPv6ND_RA].cksum == packet[ICMPv6ND_RA].cksum
    return packet


def _told(frame: bytes, client: Client = CLIENT) -> Packet:
    answered = answer(frame, client)
    assert answered.outcome is Outcome.ANSWERED
    return _read(answered.frame)


def test_a_solicitation_is_answered_to_its_sender() -> None:
    packet = _told(solicitation())
    assert (packet.dst, packet[IPv6].dst) == (MAC, LINK)
    head = packet[ICMPv6ND_RA]
    assert (head.chlim, head.M, head.O, head.routerlifetime, head.prf) == (64, 1, 1, 65535, 0)
    prefix = packet[ICMPv6NDOptPrefixInfo]
    assert (prefix.prefix, prefix.prefixlen, prefix.L, prefix.A) == ("fd00::", 64, 1, 0)
    assert prefix.validlifetime >= prefix.preferredlifetime > 0
    assert packet[ICMPv6NDOptMTU].mtu == 1450
    assert packet[ICMPv6NDOptSrcLLAddr].lladdr == GATEWAY
    assert (packet[ICMPv6NDOptRDNSS].dns, packet[ICMPv6NDOptRDNSS].lifetime) == (["fd00::2"], 65535)
    assert packet[ICMPv6NDOptDNSSL].searchlist == ["a.example.", "b.example."]


def test_who_has_no_address_yet_is_told_as_all_are() -> None:
    packet = _told(solicitation(source="::"))
    assert (packet.dst, packet[IPv6].dst) == TO_ALL


def test_the_unasked_one_is_the_same_to_all() -> None:
    six = CLIENT.six
    assert six is not None
    packet = _read(advertise(CLIENT, six))
    assert (packet.dst, packet[IPv6].dst) == TO_ALL
    asked, unasked = _told(solicitation())[ICMPv6ND_RA], packet[ICMPv6ND_RA]
    asked.cksum = unasked.cksum = 0
    assert bytes(asked) == bytes(unasked)


def test_where_nobody_routes_nobody_is_a_default_router() -> None:
    client = make_client(network("fd00::/64", routed=False, mtu=9000), port("fd00::5"))
    packet = _told(solicitation(), client)
    assert (packet[ICMPv6ND_RA].routerlifetime, packet[ICMPv6NDOptMTU].mtu) == (0, 9000)
    assert ICMPv6NDOptRDNSS not in packet
    assert ICMPv6NDOptDNSSL not in packet


def test_an_mtu_that_ipv6_cannot_have_is_not_told() -> None:
    client = make_client(network("fd00::/64", mtu=1000), port("fd00::5"))
    assert ICMPv6NDOptMTU not in _told(solicitation(), client)


def _frame(message: Packet, **head: object) -> bytes:
    ends = {"src": LINK, "dst": "ff02::2", "hlim": 255} | head
    return bytes(Ether(src=MAC, dst="33:33:00:00:00:02") / IPv6(**ends) / message)


SILENT = {
    "routed": (solicitation(hops=64), Outcome.MALFORMED),
    "another code": (_frame(ICMPv6ND_RS(code=1)), Outcome.MALFORMED),
    "a wrong sum": (_frame(ICMPv6ND_RS(cksum=1)), Outcome.MALFORMED),
    "an option without a length": (_frame(ICMPv6ND_RS() / b"\x01\x00\0\0\0\0\0\0"), Outcome.MALFORMED),
    "an option cut short": (_frame(ICMPv6ND_RS() / b"\x05\x02\0\0\0\0\0\0"), Outcome.MALFORMED),
    "half an option": (_frame(ICMPv6ND_RS() / b"\x05"), Outcome.MALFORMED),
    "no address but a MAC": (
        _frame(ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=MAC), src="::"),
        Outcome.MALFORMED,
    ),
    "another's MAC in it": (_frame(ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=OTHER)), Outcome.FOREIGN),
    "another's MAC": (solicitation(mac=OTHER), Outcome.FOREIGN),
    "another's address": (solicitation(source="fd00::7"), Outcome.FOREIGN),
    "to another": (solicitation(to="fd00::7"), Outcome.ELSEWHERE),
    "an advertisement": (_frame(ICMPv6ND_RA()), Outcome.SERVER),
    "a redirect": (_frame(ICMPv6ND_Redirect()), Outcome.SERVER),
    "a ping": (_frame(ICMPv6EchoRequest()), Outcome.UNKNOWN),
}


@pytest.mark.parametrize("case", SILENT)
def test_gets_no_answer(case: str) -> None:
    frame, outcome = SILENT[case]
    answered = answer(frame, CLIENT)
    assert (answered.outcome, answered.frame) == (outcome, None)


@pytest.mark.parametrize("subnets", [("10.0.0.0/24",), ("fd00::/64",)])
def test_a_port_without_ipv6_hears_nothing_of_routers(subnets: tuple[str, ...]) -> None:
    client = make_client(network(*subnets), port("10.0.0.5"))
    assert answer(solicitation(), client).outcome is Outcome.ADDRESSLESS
