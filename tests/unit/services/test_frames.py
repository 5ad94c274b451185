"""Frames: what is opened and what is not, and sums as scapy makes them."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from scapy.layers.inet import IP, UDP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6ND_RS, IPv6, IPv6ExtHdrHopByHop
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet

from model.ids import Mac
from services.frames import Datagram, checksum, parse, wrap4, wrap6
from services.outcome import Outcome
from tests.fakes.askers import LINK, MAC

ENDS4 = {"src": "0.0.0.0", "dst": "255.255.255.255"}
ENDS6 = {"src": LINK, "dst": "ff02::1:2"}
ASKED = UDP(sport=68, dport=67) / b"what?"


def _over4(payload: Packet = ASKED, **head: object) -> bytes:
    return bytes(Ether(src=MAC) / IP(**(ENDS4 | head)) / payload)


def _over6(payload: Packet = ASKED, **head: object) -> bytes:
    return bytes(Ether(src=MAC, dst="33:33:00:01:00:02") / IPv6(**(ENDS6 | head)) / payload)


def test_a_datagram_is_opened_over_both() -> None:
    for frame, ends in ((_over4(), ENDS4), (_over6(), ENDS6)):
        read = parse(frame)
        assert isinstance(read, Datagram)
        assert {"src": str(read.source), "dst": str(read.destination)} == ends
        assert (read.mac, read.ports, read.payload) == (0x020000000001, (68, 67), b"what?")


@pytest.mark.parametrize("frame", [_over4() + bytes(9), _over6() + bytes(9)])
def test_padding_is_no_part_of_it(frame: bytes) -> None:
    read = parse(frame)
    assert isinstance(read, Datagram)
    assert read.payload == b"what?"


def test_options_of_ipv4_are_stepped_over() -> None:
    read = parse(_over4(options=[IPOption_NOP()] * 4))
    assert isinstance(read, Datagram)
    assert read.payload == b"what?"


def test_a_sum_of_udp_that_the_guest_left_to_its_nic_is_no_reason() -> None:
    assert isinstance(parse(_over4(UDP(sport=68, dport=67, chksum=0x1234) / b"what?")), Datagram)


REFUSED = {
    "nothing": (b"", Outcome.MALFORMED),
    "half a header": (_over4()[:13], Outcome.MALFORMED),
    "no packet": (_over4()[:14], Outcome.MALFORMED),
    "no packet of IPv6": (_over6()[:14], Outcome.MALFORMED),
    "cut short": (_over4()[:-1], Outcome.MALFORMED),
    "IPv6 cut short": (_over6()[:-1], Outcome.MALFORMED),
    "IPv4 that is not": (_over4(version=5), Outcome.MALFORMED),
    "IPv6 that is not": (_over6(version=5), Outcome.MALFORMED),
    "a header that is too short": (_over4(ihl=4), Outcome.MALFORMED),
    "a wrong sum": (_over4(chksum=1), Outcome.MALFORMED),
    "shorter than its header": (_over4(len=19), Outcome.MALFORMED),
    "longer than its frame": (_over4(len=2000), Outcome.MALFORMED),
    "a first fragment": (_over4(flags="MF"), Outcome.MALFORMED),
    "a later fragment": (_over4(frag=1), Outcome.MALFORMED),
    "no room for UDP": (_over4(b"1234567", proto=17), Outcome.MALFORMED),
    "longer than it is": (_over4(UDP(sport=68, dport=67, len=14) / b"what?"), Outcome.MALFORMED),
    "shorter than UDP's header": (_over4(UDP(sport=68, dport=67, len=7) / b"what?"), Outcome.MALFORMED),
    "not UDP": (_over4(b"what?", proto=6), Outcome.UNKNOWN),
    "not UDP over IPv6": (_over6(b"what?", nh=6), Outcome.UNKNOWN),
    "half of ICMPv6": (_over6(b"\x85", nh=58), Outcome.MALFORMED),
    "hidden behind options": (_over6(IPv6ExtHdrHopByHop() / ICMPv6ND_RS()), Outcome.UNKNOWN),
    "ARP": (bytes(Ether(src=MAC) / ARP()), Outcome.UNKNOWN),
    "tagged": (bytes(Ether(src=MAC) / Dot1Q(vlan=1) / IP(**ENDS4) / ASKED), Outcome.UNKNOWN),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_not_opened(case: str) -> None:
    frame, outcome = REFUSED[case]
    assert parse(frame) is outcome


def test_half_of_icmpv6_is_refused_whatever_its_sum() -> None:
    """Of one octet whose sum is right there is no code, and no sum to speak of."""
    ends = IPv6Address(LINK).packed + IPv6Address("ff02::2").packed
    sum_ = checksum(ends + bytes((0, 0, 0, 2, 0, 0, 0, 58)) + bytes(2))
    assert parse(_over6(sum_.to_bytes(2, "big"), nh=58, dst="ff02::2")) is Outcome.MALFORMED


def test_a_sum_of_nothing_is_sent_as_its_complement() -> None:
    """RFC 768: 0 would say that there is none, and over IPv6 nobody takes that."""
    four = (Mac(1), IPv4Address("10.0.0.1"), IPv4Address("10.0.0.5"), (67, 68))
    six = (Mac(1), IPv6Address("fe80::1"), IPv6Address("fe80::2"), (547, 546))
    rest = Ether(wrap4(*four, bytes(2)))[UDP].chksum.to_bytes(2, "big")
    assert Ether(wrap4(*four, rest))[UDP].chksum == 0xFFFF
    rest = Ether(wrap6(*six, bytes(2)))[UDP].chksum.to_bytes(2, "big")
    assert Ether(wrap6(*six, rest))[UDP].chksum == 0xFFFF
