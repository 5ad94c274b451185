"""Time exceeded: what may be answered, and that the answer is what other stacks understand."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.agent import icmp
from model.addresses import GATEWAY_MAC

SENDER = 0x020000000001
V4, V6 = ip_address("10.0.0.11"), ip_address("fd00:10::11")
TO4, TO6 = ip_address("10.1.0.12"), ip_address("fd00:11::12")
GATEWAY4, GATEWAY6 = ip_address("10.0.0.1"), ip_address("fd00:10::1")
PROBE = struct.pack("!HHHH", 40000, 33434, 12, 0) + b"prob"
HEAD4 = struct.Struct("!BBHHHBBH4s4s")


def framed(kind: int, packet: bytes) -> bytes:
    return GATEWAY_MAC.to_bytes(6, "big") + SENDER.to_bytes(6, "big") + kind.to_bytes(2, "big") + packet


def packet4(payload: bytes = PROBE, protocol: int = 17, source=V4, target=TO4, fragment: int = 0) -> bytes:
    def head(sum_: int) -> bytes:
        ends = (source.packed, target.packed)
        return HEAD4.pack(0x45, 0, 20 + len(payload), 7, fragment, 1, protocol, sum_, *ends)

    return head(icmp.checksum(head(0))) + payload


def packet6(payload: bytes = PROBE, following: int = 17, source=V6, target=TO6) -> bytes:
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 1) + source.packed + target.packed + payload


def test_an_ipv4_answer_is_of_the_gateway_and_quotes_the_packet() -> None:
    packet = packet4()
    invoking = icmp.parse(framed(0x0800, packet + bytes(6)))  # a frame may be padded
    assert isinstance(invoking, icmp.Invoking)
    answer = icmp.error(invoking, GATEWAY4, icmp.TIME_EXCEEDED)
    assert answer[:14] == SENDER.to_bytes(6, "big") + GATEWAY_MAC.to_bytes(6, "big") + b"\x08\x00"
    head, body = answer[14:34], answer[34:]
    fields = HEAD4.unpack(head)
    assert fields[0] == 0x45 and fields[2] == len(answer) - 14 and fields[5] == 64 and fields[6] == 1
    assert head[12:] == GATEWAY4.packed + V4.packed
    assert icmp.checksum(head) == 0 and icmp.checksum(body) == 0
    assert body[:2] == b"\x0b\x00" and body[4:8] == bytes(4)  # RFC 792
    assert body[8:] == packet


def test_an_ipv6_answer_is_of_the_gateway_and_quotes_the_packet() -> None:
    packet = packet6()
    invoking = icmp.parse(framed(0x86DD, packet))
    assert isinstance(invoking, icmp.Invoking)
    answer = icmp.error(invoking, GATEWAY6, icmp.TIME_EXCEEDED)
    assert answer[12:14] == b"\x86\xdd"
    first, length, following, hops = struct.unpack_from("!IHBB", answer, 14)
    body = answer[54:]
    assert first >> 28 == 6 and length == len(body) and following == 58 and hops == 64
    assert answer[22:54] == GATEWAY6.packed + V6.packed
    pseudo = answer[22:54] + struct.pack("!II", length, 58)
    assert icmp.checksum(pseudo + body) == 0  # RFC 8200 section 8.1
    assert body[:2] == b"\x03\x00" and body[4:8] == bytes(4)  # RFC 4443 section 3.3
    assert body[8:] == packet


@pytest.mark.parametrize(
    ("frame", "gateway", "longest"),
    [
        (framed(0x0800, packet4(bytes(1400))), GATEWAY4, 576),
        (framed(0x86DD, packet6(bytes(1400))), GATEWAY6, 1280),
    ],
)
def test_as_much_is_quoted_as_may_be(frame: bytes, gateway, longest: int) -> None:
    invoking = icmp.parse(frame)
    assert isinstance(invoking, icmp.Invoking)
    answer = icmp.error(invoking, gateway, icmp.TIME_EXCEEDED)
    assert len(answer) == 14 + longest
    heads = 28 if longest == 576 else 48
    assert frame[14:].startswith(answer[14 + heads :])


ERROR4 = b"\x0b\x00" + bytes(10)
HOP_BY_HOP = bytes((58, 0)) + bytes(6)


@pytest.mark.parametrize(
    "packet",
    [
        *(packet4(bytes((kind, 0)) + bytes(6), 1) for kind in (3, 4, 5, 11, 12)),
        packet4(fragment=0x2001),
        *(
            packet4(source=ip_address(a))
            for a in ("0.0.0.0", "0.1.2.3", "127.0.0.1", "224.0.0.1", "240.0.0.1")
        ),
        packet4(source=ip_address("255.255.255.255")),
        packet4(target=ip_address("224.0.0.5")),
        packet6(b"\x01\x00" + bytes(6), 58),
        packet6(bytes((137, 0)) + bytes(6), 58),
        packet6(HOP_BY_HOP + b"\x03\x00" + bytes(6), 0),
        packet6(bytes((17, 0)) + b"\x00\x08" + bytes(4) + PROBE, 44),  # not its first fragment
        packet6(bytes(8) * 20, 0),  # headers without end
        *(packet6(source=ip_address(a)) for a in ("::", "::1", "ff02::1")),
        packet6(target=ip_address("ff02::1")),
    ],
)
def test_what_no_error_may_answer(packet: bytes) -> None:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    assert icmp.parse(framed(kind, packet)) is icmp.Silence.FORBIDDEN


@pytest.mark.parametrize(
    "packet",
    [
        packet4(b"\x08\x00" + bytes(6), 1),
        packet4(fragment=0x2000),
        packet6(bytes((128, 0)) + bytes(6), 58),
        packet6(HOP_BY_HOP + bytes((128, 0)) + bytes(6), 0),
        packet6(bytes((17, 0)) + b"\x00\x01" + bytes(4) + PROBE, 44),
        packet6(bytes((17, 4)) + bytes(22) + PROBE, 51),
    ],
)
def test_what_may_be_answered(packet: bytes) -> None:
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    invoking = icmp.parse(framed(kind, packet))
    assert isinstance(invoking, icmp.Invoking)
    assert invoking.packet == packet and invoking.mac == SENDER


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        framed(0x0806, bytes(28)),
        framed(0x0800, packet4()[:19]),
        framed(0x0800, b"\x44" + packet4()[1:]),
        framed(0x0800, b"\x65" + packet4()[1:]),
        framed(0x0800, packet4()[:10] + b"\xff\xff" + packet4()[12:]),
        framed(0x0800, packet4(b"", 1)),
        framed(0x86DD, packet6()[:39]),
        framed(0x86DD, packet4() + bytes(40)),
        framed(0x86DD, packet6(b"", 58)),
        framed(0x86DD, packet6(b"\x3a", 0)),
    ],
)
def test_what_is_malformed(frame: bytes) -> None:
    assert icmp.parse(frame) is icmp.Silence.MALFORMED


KINDS = st.sampled_from((0x0800, 0x86DD, 0x8100, 0))


@st.composite
def damaged(draw) -> bytes:
    """A good packet, cut, extended, with bytes written over; or anything at all."""
    good = draw(st.sampled_from((packet4(), packet4(ERROR4, 1), packet6(), packet6(HOP_BY_HOP + ERROR4, 0))))
    raw = bytearray(good[: draw(st.integers(0, len(good)))] + draw(st.binary(max_size=8)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=6)):
        if at < len(raw):
            raw[at] = value
    return bytes(raw)


@given(KINDS, damaged() | st.binary(max_size=1600))
def test_nothing_that_a_workload_writes_raises(kind: int, packet: bytes) -> None:
    for frame in (framed(kind, packet), packet):
        found = icmp.parse(frame)
        if isinstance(found, icmp.Invoking):
            answer = icmp.error(
                found, GATEWAY4 if found.source.version == 4 else GATEWAY6, icmp.TIME_EXCEEDED
            )
            assert len(answer) <= 14 + icmp.LONGEST6
            assert isinstance(icmp.parse(answer), icmp.Silence)  # no error answers an error
