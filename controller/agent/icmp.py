"""ICMP errors of a gateway: which packets may be answered, and the message that answers one.

Place: pure; `controller.agent.telling` feeds it what the switch hands up, which a workload wrote: nothing in
it may raise. Must not know ports, rates or the switch.

RFC 792 and RFC 1812 section 4.3 (ICMP), RFC 4443 (ICMPv6). Packets are without VLAN tag: the pipeline lets no
other in.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import GATEWAY_MAC, Address
from model.ids import Mac

TTL: Final = 64
LONGEST4: Final = 576
"""Octets of an ICMP error with its IPv4 header (RFC 1812 section 4.3.2.3)."""
LONGEST6: Final = 1280
"""Octets of an ICMPv6 error with its IPv6 header: the least MTU (RFC 4443 section 3.3)."""
_ETHERNET: Final = struct.Struct("!6s6sH")
_HEADER4: Final = struct.Struct("!BBHHHBBH4s4s")
_HEADER6: Final = struct.Struct("!IHBB16s16s")
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_ICMP: Final = 1
_ICMPV6: Final = 58
_CONTROL: Final = 0xC0
"""Precedence 6, internetwork control (RFC 1812 section 4.3.2.5)."""
_DO_NOT_FRAGMENT: Final = 0x4000
_OFFSET: Final = 0x1FFF
_ERRORS4: Final = frozenset((3, 4, 5, 11, 12))
"""Types of ICMP errors, which no error answers (RFC 1122 section 3.2.2)."""
_FIRST_INFORMATION6: Final = 128
"""ICMPv6 types below are errors (RFC 4443 section 2.1)."""
_REDIRECT6: Final = 137
_EXTENSIONS: Final = frozenset((0, 43, 60))
"""Hop-by-hop, routing, destination options: length in 8 octets behind the first (RFC 8200 section 4)."""
_FRAGMENT: Final = 44
_AUTHENTICATION: Final = 51
_MOST_EXTENSIONS: Final = 8


class Silence(Enum):
    """Why a packet gets no answer."""

    MALFORMED = "malformed"
    FORBIDDEN = "forbidden"
    """By RFC 1122 section 3.2.2 or RFC 4443 section 2.4 (e): errors, groups, fragments, odd sources."""


@dataclass(frozen=True, slots=True)
class Message:
    """(type, code) over IPv4 and over IPv6, and the 32 bits behind the checksum, which most leave unused."""

    over4: tuple[int, int]
    over6: tuple[int, int]
    rest: int = 0


TIME_EXCEEDED: Final = Message((11, 0), (3, 0))
"""RFC 792, RFC 4443 section 3.3: in transit."""
NO_NETWORK: Final = Message((3, 0), (1, 0))
"""RFC 1812 section 5.2.7.1, RFC 4443 section 3.1: no route to the destination."""
NO_HOST: Final = Message((3, 1), (1, 3))
"""The same: the last router knows that nobody there has the address."""


@dataclass(frozen=True, slots=True)
class Invoking:
    """A packet that may be answered. `packet`: from its IP header on, as far as it is there."""

    mac: Mac
    source: Address
    destination: Address
    packet: bytes


def too_big(mtu: int) -> Message:
    """RFC 1191 section 4 (fragmentation needed, the MTU of the next hop), RFC 4443 section 3.2."""
    return Message((3, 4), (2, 0), mtu)


def parse(frame: bytes) -> Invoking | Silence:
    """An Ethernet frame of a workload as what an ICMP error may answer."""
    if len(frame) < _ETHERNET.size:
        return Silence.MALFORMED
    _, sender, kind = _ETHERNET.unpack_from(frame)
    mac, packet = Mac(int.from_bytes(sender, "big")), frame[_ETHERNET.size :]
    if kind == _IPV4:
        return _parse4(mac, packet)
    return _parse6(mac, packet) if kind == _IPV6 else Silence.MALFORMED


def error(invoking: Invoking, gateway: Address, message: Message) -> bytes:
    """The frame in which a gateway tells the sender what became of its packet (RFC 792, RFC 4443 section 3).

    `gateway` is of the family of the packet; ValueError otherwise.
    """
    if isinstance(gateway, IPv4Address) and isinstance(invoking.source, IPv4Address):
        kind, packet = _IPV4, _error4(gateway, invoking.source, message, invoking.packet)
    elif isinstance(gateway, IPv6Address) and isinstance(invoking.source, IPv6Address):
        kind, packet = _IPV6, _error6(gateway, invoking.source, message, invoking.packet)
    else:
        raise ValueError(f"gateway {gateway} is not of the family of {invoking.source}")
    head = _ETHERNET.pack(invoking.mac.to_bytes(6, "big"), GATEWAY_MAC.to_bytes(6, "big"), kind)
    return head + packet


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" if len(data) % 2 else data
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _parse4(mac: Mac, packet: bytes) -> Invoking | Silence:
    if len(packet) < _HEADER4.size:
        return Silence.MALFORMED
    first, _, total, _, fragment, _, protocol, _, raw, target = _HEADER4.unpack_from(packet)
    head = (first & 0xF) * 4
    whole = packet[:total]  # what follows is padding of the frame
    # RFC 1812 section 5.2.2: version, lengths and checksum are verified before anything else
    if first >> 4 != 4 or head < _HEADER4.size or total < head or len(whole) < head or checksum(whole[:head]):
        return Silence.MALFORMED
    source, destination = IPv4Address(raw), IPv4Address(target)
    if fragment & _OFFSET or _is_odd4(source) or destination.is_multicast:
        return Silence.FORBIDDEN
    if protocol == _ICMP:
        if len(whole) == head:
            return Silence.MALFORMED
        if whole[head] in _ERRORS4:
            return Silence.FORBIDDEN
    return Invoking(mac, source, destination, whole)


def _is_odd4(source: IPv4Address) -> bool:
    """RFC 1122 section 3.2.2: no single host: zero, loopback, broadcast, multicast, class E."""
    return int(source) >> 24 == 0 or source.is_loopback or int(source) >= 0xE0000000


def _parse6(mac: Mac, packet: bytes) -> Invoking | Silence:
    if len(packet) < _HEADER6.size:
        return Silence.MALFORMED
    first, length, following, _, raw, target = _HEADER6.unpack_from(packet)
    if first >> 28 != 6:
        return Silence.MALFORMED
    whole = packet[: _HEADER6.size + length]
    source, destination = IPv6Address(raw), IPv6Address(target)
    if source.is_unspecified or source.is_multicast or source.is_loopback or destination.is_multicast:
        return Silence.FORBIDDEN
    refusal = _walk(whole, following)
    return Invoking(mac, source, destination, whole) if refusal is None else refusal


def _walk(whole: bytes, following: int) -> Silence | None:
    """Past the extension headers (RFC 8200 section 4) to what says whether it is an error itself."""
    at = _HEADER6.size
    for _ in range(_MOST_EXTENSIONS):
        if following not in _EXTENSIONS | {_FRAGMENT, _AUTHENTICATION}:
            return _judge6(whole[at:]) if following == _ICMPV6 else None
        if len(whole) < at + 8:
            return Silence.MALFORMED
        size = 8 * (whole[at + 1] + 1)
        if following == _FRAGMENT:
            if int.from_bytes(whole[at + 2 : at + 4], "big") >> 3:
                return Silence.FORBIDDEN  # what it is stands in the first fragment only
            size = 8
        elif following == _AUTHENTICATION:
            size = 4 * (whole[at + 1] + 2)  # RFC 4302 section 2.2
        following, at = whole[at], at + size
    return Silence.FORBIDDEN


def _judge6(message: bytes) -> Silence | None:
    if not message:
        return Silence.MALFORMED
    return Silence.FORBIDDEN if message[0] < _FIRST_INFORMATION6 or message[0] == _REDIRECT6 else None


def _error4(gateway: IPv4Address, target: IPv4Address, message: Message, packet: bytes) -> bytes:
    quoted = packet[: LONGEST4 - _HEADER4.size - 8]
    sum_ = checksum(struct.pack("!BBHI", *message.over4, 0, message.rest) + quoted)
    body = struct.pack("!BBHI", *message.over4, sum_, message.rest) + quoted
    # Unfragmented and not to be: its identification means nothing (RFC 6864 section 4.1)
    head = (0x45, _CONTROL, _HEADER4.size + len(body), 0, _DO_NOT_FRAGMENT, TTL, _ICMP)
    ends = (gateway.packed, target.packed)
    return _HEADER4.pack(*head, checksum(_HEADER4.pack(*head, 0, *ends)), *ends) + body


def _error6(gateway: IPv6Address, target: IPv6Address, message: Message, packet: bytes) -> bytes:
    quoted = packet[: LONGEST6 - _HEADER6.size - 8]
    length = 8 + len(quoted)
    # RFC 8200 section 8.1: the sum covers a pseudo-header
    pseudo = gateway.packed + target.packed + struct.pack("!II", length, _ICMPV6)
    sum_ = checksum(pseudo + struct.pack("!BBHI", *message.over6, 0, message.rest) + quoted)
    body = struct.pack("!BBHI", *message.over6, sum_, message.rest) + quoted
    first = 6 << 28 | _CONTROL << 20
    return _HEADER6.pack(first, length, _ICMPV6, TTL, gateway.packed, target.packed) + body
