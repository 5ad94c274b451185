"""Frames: Ethernet, IP and UDP around what is asked and answered.

Place: what `services.answer` opens first and what wraps each answer. A workload wrote what is parsed here:
nothing in it may raise. Must not know DHCP.

Sums of UDP are not verified: a guest that leaves them to its NIC hands its virtual switch a part of the sum.
Questions have no VLAN tag, since the pipeline lets no tag in, and are never fragments.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from model.addresses import GATEWAY_MAC
from model.ids import Mac
from services.outcome import Outcome

UDP: Final = 17
ICMPV6: Final = 58
_ETHERNET: Final = struct.Struct("!6s6sH")
_HEADER4: Final = struct.Struct("!BBHHHBBH4s4s")
_HEADER6: Final = struct.Struct("!IHBB16s16s")
_UDP_HEAD: Final = struct.Struct("!HHHH")
_IPV4: Final = 0x0800
_IPV6: Final = 0x86DD
_PIECE: Final = 0x3FFF
"""More fragments, and the offset."""
_DO_NOT_FRAGMENT: Final = 0x4000
_TTL: Final = 64
DISCOVERY_HOPS: Final = 255
"""RFC 4861 section 4.2: proof that no router has forwarded it."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """UDP of a port."""

    mac: Mac
    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    ports: tuple[int, int]
    payload: bytes


@dataclass(frozen=True, slots=True)
class Message6:
    """ICMPv6 of a port, its sum verified."""

    mac: Mac
    source: IPv6Address
    destination: IPv6Address
    hops: int
    payload: bytes


def parse(frame: bytes) -> Datagram | Message6 | Outcome:
    """What a port sent, or why it is nothing to be answered."""
    if len(frame) < _ETHERNET.size:
        return Outcome.MALFORMED
    _, sender, kind = _ETHERNET.unpack_from(frame)
    mac, packet = Mac(int.from_bytes(sender, "big")), frame[_ETHERNET.size :]
    if kind == _IPV4:
        return _parse4(mac, packet)
    return _parse6(mac, packet) if kind == _IPV6 else Outcome.UNKNOWN


def _parse4(mac: Mac, packet: bytes) -> Datagram | Outcome:
    if len(packet) < _HEADER4.size:
        return Outcome.MALFORMED
    first, _, total, _, fragment, _, protocol, _, source, target = _HEADER4.unpack_from(packet)
    head = (first & 0xF) * 4
    # RFC 1812 section 5.2.2: version, lengths and checksum before anything else
    if first >> 4 != 4 or head < _HEADER4.size or not head <= total <= len(packet) or checksum(packet[:head]):
        return Outcome.MALFORMED
    if protocol != UDP:
        return Outcome.UNKNOWN
    if fragment & _PIECE:
        return Outcome.MALFORMED
    return _datagram(mac, IPv4Address(source), IPv4Address(target), packet[head:total])


def _parse6(mac: Mac, packet: bytes) -> Datagram | Message6 | Outcome:
    """Extension headers are not followed: no client sends any, and they could hide what it is."""
    if len(packet) < _HEADER6.size:
        return Outcome.MALFORMED
    first, length, following, hops, raw, target = _HEADER6.unpack_from(packet)
    body = packet[_HEADER6.size : _HEADER6.size + length]
    if first >> 28 != 6 or len(body) < length:
        return Outcome.MALFORMED
    source, destination = IPv6Address(raw), IPv6Address(target)
    if following == UDP:
        return _datagram(mac, source, destination, body)
    if following != ICMPV6:
        return Outcome.UNKNOWN
    if len(body) < 4 or checksum(_pseudo(raw, target, length, ICMPV6) + body):
        return Outcome.MALFORMED
    return Message6(mac, source, destination, hops, body)


def _datagram(
    mac: Mac, source: IPv4Address | IPv6Address, destination: IPv4Address | IPv6Address, body: bytes
) -> Datagram | Outcome:
    if len(body) < _UDP_HEAD.size:
        return Outcome.MALFORMED
    at, to, length, _ = _UDP_HEAD.unpack_from(body)
    if not _UDP_HEAD.size <= length <= len(body):
        return Outcome.MALFORMED
    return Datagram(mac, source, destination, (at, to), body[_UDP_HEAD.size : length])


def wrap4(
    to: Mac, source: IPv4Address, destination: IPv4Address, ports: tuple[int, int], payload: bytes
) -> bytes:
    """A datagram from the gateway's MAC."""
    length = _UDP_HEAD.size + len(payload)
    ends = (source.packed, destination.packed)
    pseudo = ends[0] + ends[1] + struct.pack("!HH", UDP, length)
    body = _UDP_HEAD.pack(*ports, length, _udp_sum(pseudo, ports, payload)) + payload
    # Unfragmented and not to be: its identification means nothing (RFC 6864 section 4.1)
    head = (0x45, 0, _HEADER4.size + length, 0, _DO_NOT_FRAGMENT, _TTL, UDP)
    packet = _HEADER4.pack(*head, checksum(_HEADER4.pack(*head, 0, *ends)), *ends) + body
    return _ethernet(to, _IPV4) + packet


def wrap6(
    to: Mac, source: IPv6Address, destination: IPv6Address, ports: tuple[int, int], payload: bytes
) -> bytes:
    """A datagram from the gateway's MAC."""
    length = _UDP_HEAD.size + len(payload)
    pseudo = _pseudo(source.packed, destination.packed, length, UDP)
    body = _UDP_HEAD.pack(*ports, length, _udp_sum(pseudo, ports, payload)) + payload
    head = _HEADER6.pack(6 << 28, length, UDP, _TTL, source.packed, destination.packed)
    return _ethernet(to, _IPV6) + head + body


def wrap_discovery(to: Mac, source: IPv6Address, destination: IPv6Address, message: bytes) -> bytes:
    """A message of neighbour discovery whose sum is still 0, from the gateway's MAC."""
    sum_ = checksum(_pseudo(source.packed, destination.packed, len(message), ICMPV6) + message)
    body = message[:2] + struct.pack("!H", sum_) + message[4:]
    head = _HEADER6.pack(6 << 28, len(body), ICMPV6, DISCOVERY_HOPS, source.packed, destination.packed)
    return _ethernet(to, _IPV6) + head + body


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + b"\0" if len(data) % 2 else data
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _udp_sum(pseudo: bytes, ports: tuple[int, int], payload: bytes) -> int:
    """RFC 768, RFC 8200 section 8.1: 0 says that there is none, so its complement is sent for it."""
    return checksum(pseudo + _UDP_HEAD.pack(*ports, _UDP_HEAD.size + len(payload), 0) + payload) or 0xFFFF


def _pseudo(source: bytes, destination: bytes, length: int, following: int) -> bytes:
    return source + destination + struct.pack("!II", length, following)


def _ethernet(to: Mac, kind: int) -> bytes:
    return _ETHERNET.pack(to.to_bytes(6, "big"), GATEWAY_MAC.to_bytes(6, "big"), kind)
