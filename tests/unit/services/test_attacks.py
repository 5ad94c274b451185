"""What somebody who rents a VM may try with the services of its network, by the name of the attack, with the
questions that scapy's own fuzzer makes of honest ones: refused, counted for its port, and nothing raised.

Beside it: rebinding in `test_forwarding` and `test_web`, slow and many connections in `test_server` and
`test_web`, what poses as a server in `test_names` and `test_answers` of the labs.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import dns.message
import dns.name
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.dhcp import BOOTP, DHCP
from scapy.layers.dhcp6 import (
    DUID_LL,
    DHCP6_InfoRequest,
    DHCP6_Rebind,
    DHCP6_RelayForward,
    DHCP6_Release,
    DHCP6_Request,
    DHCP6_Solicit,
    DHCP6OptClientId,
    DHCP6OptIA_NA,
    DHCP6OptIA_PD,
    DHCP6OptIAAddress,
    DHCP6OptOptReq,
    DHCP6OptServerId,
    DHCP6OptUserClass,
    DHCP6OptVendorSpecificInfo,
)
from scapy.layers.dns import DNS, DNSQR, DNSRR, DNSRROPT
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import (
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_RS,
    ICMPv6NDOptMTU,
    ICMPv6NDOptPrefixInfo,
    ICMPv6NDOptRDNSS,
    ICMPv6NDOptSrcLLAddr,
    ICMPv6NDOptUnknown,
    IPv6,
)
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw, fuzz

from controller.agent.responding import Responder
from controller.southbound.openflow.questions import Question
from model.addresses import GATEWAY_MAC
from model.change import Part
from model.ids import PortKey, Uid
from model.snapshot import Snapshot
from pipelines import cookies
from services.answering import answer
from services.client import make_client
from services.naming.answering import Terms
from services.naming.answering import answer as answer_name
from services.naming.directory import direct
from services.naming.outcome import Asker, Reply, Transport
from services.outcome import Outcome
from tests.fakes import askers, world
from tests.fakes.askers import GUIDANCE, MAC, OTHER, association, dhcp4, dhcp6, network, own_id
from tests.fakes.tenants import ACME, gang, tenant
from tests.fakes.tenants import network as net
from tests.fakes.tenants import port as named

MTU: Final = 9000
CLIENT: Final = make_client(
    network("10.0.0.0/24", "fd00::/64", mtu=MTU), askers.port("10.0.0.5", "fd00::5"), GUIDANCE
)
UID: Final = Uid("port-11")
LINK: Final = askers.LINK
WEB: Final = Asker(PortKey(1), ACME)
DIRECTORY: Final = direct(
    "internal",
    (tenant("acme", ACME),),
    (net("front", 1, ACME, "10.0.0.0/24", "fd00::/64"),),
    (named("web", 1, 1, "10.0.0.2", "fd00::2"),),
    (gang("acme", "wide", tuple(f"10.8.{n}.9" for n in range(120))),),
)


def over4(*layers: Packet) -> Packet:
    head = Ether(src=MAC, dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255")
    return stacked(head / UDP(sport=68, dport=67), *layers)


def over6(*layers: Packet) -> Packet:
    head = Ether(src=MAC, dst="33:33:00:01:00:02") / IPv6(src=LINK, dst="ff02::1:2")
    return stacked(head / UDP(sport=546, dport=547), *layers)


def discovery(*layers: Packet) -> Packet:
    return stacked(Ether(src=MAC, dst="33:33:00:00:00:02") / IPv6(src=LINK, dst="ff02::2", hlim=255), *layers)


def stacked(made: Packet, *layers: Packet) -> Packet:
    for layer in layers:
        made = made / layer
    return made


def own4() -> Packet:
    return BOOTP(chaddr=bytes.fromhex(MAC.replace(":", "")))


def bent(layer: type[Packet], **whole: Any) -> Packet:
    """Every field is anything; half of the time those that are given are what they have to be, so that
    somebody looks at the others."""
    return fuzz(layer(**whole) if random.random() < 0.5 else layer())


def option(layer: type[Packet], code: int, **whole: Any) -> Packet:
    return bent(layer, optcode=code, optlen=None, **whole)


def message(layer: type[Packet], kind: int) -> Packet:
    return bent(layer, msgtype=kind)


HARDWARE: Final[dict[str, Any]] = {
    "op": 1, "htype": 1, "hlen": 6, "hops": 0, "giaddr": "0.0.0.0", "ciaddr": "0.0.0.0",
    "chaddr": bytes.fromhex(MAC.replace(":", "")), "options": b"c\x82Sc",
}  # fmt: skip
FUZZED: Final[dict[str, Callable[[], Packet]]] = {
    "bootp": lambda: over4(
        bent(BOOTP, **HARDWARE),
        DHCP(options=[("message-type", random.choice(("discover", "request", "inform"))), "end"]),
    ),
    "dhcp": lambda: over4(own4(), fuzz(DHCP())),
    "dhcp options": lambda: over4(
        own4(),
        DHCP(options=[("message-type", random.randrange(10)),
                      *((code, random.randbytes(random.randrange(40)))
                        for code in random.choices(range(1, 255), k=3)), "end"]),
    ),
    "ipv4": lambda: Ether(src=MAC) / fuzz(IP(src="0.0.0.0", proto=17) / UDP(sport=68, dport=67)) / own4(),
    "solicit": lambda: over6(
        message(DHCP6_Solicit, 1), option(DHCP6OptClientId, 1, duid=DUID_LL(lladdr=MAC)),
        option(DHCP6OptIA_NA, 3, ianaopts=[option(DHCP6OptIAAddress, 5)]),
    ),
    "request": lambda: over6(
        message(DHCP6_Request, 3), own_id(), option(DHCP6OptServerId, 2), option(DHCP6OptOptReq, 6)
    ),
    "rebind": lambda: over6(
        message(DHCP6_Rebind, 6), own_id(), option(DHCP6OptIA_PD, 25), option(DHCP6OptUserClass, 15)
    ),
    "information": lambda: over6(
        message(DHCP6_InfoRequest, 11), option(DHCP6OptVendorSpecificInfo, 17), option(DHCP6OptOptReq, 6)
    ),
    "release": lambda: over6(message(DHCP6_Release, 8), own_id(), option(DHCP6OptServerId, 2)),
    "relay": lambda: over6(message(DHCP6_RelayForward, 12)),
    "ipv6": lambda: Ether(src=MAC) / fuzz(IPv6(src=LINK) / UDP(sport=546, dport=547)) / DHCP6_Solicit(),
    "rs": lambda: discovery(
        bent(ICMPv6ND_RS, type=133, code=0, cksum=None), bent(ICMPv6NDOptSrcLLAddr, type=1, len=1),
        bent(ICMPv6NDOptUnknown, len=None),
    ),
    "rs options": lambda: discovery(
        ICMPv6ND_RS(), bent(ICMPv6NDOptMTU, len=1), bent(ICMPv6NDOptPrefixInfo, len=4),
        bent(ICMPv6NDOptRDNSS, len=None),
    ),
    "ra": lambda: discovery(bent(ICMPv6ND_RA, type=134, code=0, cksum=None), fuzz(ICMPv6NDOptPrefixInfo())),
    "ns": lambda: discovery(bent(ICMPv6ND_NS, type=135, code=0, cksum=None), fuzz(ICMPv6NDOptSrcLLAddr())),
}  # fmt: skip


def cluster() -> Snapshot:
    snapshot = world.two_tenants()
    for key, one in snapshot.networks.items():
        uid = Uid(f"11111111-2222-4333-8444-{key:012}")
        snapshot = world.with_part(snapshot, Part.NETWORK, key, replace(one, uid=uid, mtu=MTU))
    return snapshot


SNAPSHOT: Final = cluster()


def asked(frame: bytes) -> Question:
    return Question(cookies.asked(PortKey(11)), 1, frame)


@pytest.mark.parametrize("kind", FUZZED)
@given(st.integers(0, 1 << 32))
@settings(max_examples=20, deadline=None)
def test_what_scapy_makes_of_questions_is_answered_or_counted(kind: str, seed: int) -> None:
    """At the agent's entry: all that comes up is counted for its port, and no defect is among it."""
    random.seed(seed)
    responder = Responder(lambda: 0.0)
    frame = bytes(FUZZED[kind]())
    for each in (frame, frame[: random.randrange(14, len(frame) + 1)], frame + random.randbytes(30)):
        made = responder.respond(SNAPSHOT, asked(each))
        assert made is None or made[6:12] == GATEWAY_MAC.to_bytes(6, "big")
        assert made is None or len(made) <= 14 + MTU
    assert sum(responder.counts[UID].values()) == 3 and "failed" not in responder.counts[UID]


def names() -> Packet:
    """Of each part some are whole, so that what is behind it is looked into."""
    head = random.choice((fuzz(DNS()), DNS(rd=1, qdcount=random.randrange(3))))
    asked_for = random.choice(
        (fuzz(DNSQR()), DNSQR(qname="web.acme.internal", qtype=random.randrange(1 << 16)))
    )
    head.qd = asked_for
    if random.random() < 0.5:
        head.ar = random.choice((fuzz(DNSRROPT()), DNSRROPT(rclass=random.randrange(1 << 16)), fuzz(DNSRR())))
    return head


@given(st.integers(0, 1 << 32), st.sampled_from(Transport))
@settings(max_examples=150, deadline=None)
def test_what_scapy_makes_of_names_is_answered_or_counted(seed: int, transport: Transport) -> None:
    random.seed(seed)
    wire = bytes(names())
    for each in (wire, wire[: random.randrange(len(wire) + 1)], wire + random.randbytes(20)):
        made = answer_name(each, WEB, DIRECTORY, Terms(), transport)
        if isinstance(made, Reply):
            dns.message.from_wire(made.wire, ignore_trailing=True, continue_on_error=False)
            assert transport is Transport.TCP or len(made.wire) <= 1232


def test_the_fuzzers_make_some_that_are_whole() -> None:
    """Else they would show nothing but the first look at a question."""
    kinds: Counter[str] = Counter()
    for make in FUZZED.values():
        for seed in range(20):
            random.seed(seed)
            kinds[answer(bytes(make()), CLIENT).outcome.value] += 1
    wanted = {Outcome.ANSWERED, Outcome.MALFORMED, Outcome.FOREIGN, Outcome.ELSEWHERE, Outcome.SERVER}
    assert {one.value for one in wanted} <= kinds.keys(), kinds


def test_starvation_of_dhcp_uses_nothing_up() -> None:
    """As dhcpstarv and yersinia do: discovers of ever new MACs, and of ever new client identifiers."""
    for n in range(64):
        chaddr = bytes((2, 0, 0, 9, 9, n))
        strange = dhcp4(("message-type", "discover"), chaddr=chaddr)
        assert answer(strange, CLIENT).outcome is Outcome.FOREIGN
        disguised = dhcp4(("message-type", "discover"), mac=f"02:00:00:09:09:{n:02x}", chaddr=chaddr)
        assert answer(disguised, CLIENT).outcome is Outcome.FOREIGN
        other = dhcp4(("message-type", "discover"), ("client_id", b"\x01" + chaddr))
        made = answer(other, CLIENT).frame
        assert made is not None and Ether(made)[BOOTP].yiaddr == "10.0.0.5"
        many = answer(dhcp6(DHCP6_Solicit(), own_id(f"02:00:00:09:09:{n:02x}"), association()), CLIENT).frame
        assert many is not None and Ether(many)[DHCP6OptIAAddress].addr == "fd00::5"


def test_nobody_is_given_what_another_released_or_declined() -> None:
    """Nor can anybody release, decline or renew for somebody else."""
    for word in ("release", "decline"):
        other = bytes.fromhex(OTHER.replace(":", ""))
        theirs = dhcp4(("message-type", word), ("requested_addr", "10.0.0.6"), chaddr=other)
        assert answer(theirs, CLIENT).outcome is Outcome.FOREIGN
        assert answer(dhcp4(("message-type", word), mac=OTHER), CLIENT).outcome is Outcome.FOREIGN
    taken = answer(dhcp4(("message-type", "request"), ("requested_addr", "10.0.0.6")), CLIENT)
    assert taken.outcome is Outcome.DENIED


def test_a_question_of_many_associations_gets_no_longer_answer_than_its_network_carries() -> None:
    """Each association of 16 octets is answered with 22; so many that these would not fit are refused."""

    def solicit(count: int) -> bytes:
        many = b"".join(bytes(DHCP6OptIA_NA(iaid=n)) for n in range(count))
        return dhcp6(DHCP6_Solicit(), own_id(), Raw(many))

    assert answer(solicit(100), CLIENT).outcome is Outcome.ANSWERED
    for count in (450, 560, 4000):
        assert answer(solicit(count), CLIENT).outcome is Outcome.LONG


def test_names_amplify_nothing_towards_anybody() -> None:
    """What goes back goes to who asked, by the address that it asked from, and by UDP it is short: of all
    types, with the largest room that EDNS can say."""
    largest = 0.0
    for name in ("web.acme.internal", "rank-0.wide.gang.acme.internal", "acme.internal", "example.com"):
        for rdtype in (*range(1, 70), 249, 250, 251, 252, 253, 254, 255, 256, 257, 65535):
            message = dns.message.make_query(name, dns.rdatatype.RdataType(rdtype), use_edns=0, payload=65535)
            wire = message.to_wire()
            made = answer_name(wire, WEB, DIRECTORY, Terms(), Transport.UDP)
            if isinstance(made, Reply):
                assert len(made.wire) <= 1232
                largest = max(largest, len(made.wire) / len(wire))
    assert 1 < largest < 30
