"""EVPN NLRI: bytes <-> the route values of `model.route`, and the route key of each type.

Place: called by `bgp.codec.update` on what arrives and by `bgp.originate` on what leaves. Must not look at
path attributes. RFC 7432 section 7 (types 1 to 4), RFC 9136 section 3.1 (type 5); labels are 24-bit VNIs
(RFC 8365 section 5.1.3).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_network
from struct import Struct
from typing import Final

from bgp.codec.addresses import address
from bgp.codec.malformed import Malformed
from model.addresses import Address
from model.ids import Mac, Vni
from model.route import (
    DiscoveryRoute,
    Distinguisher,
    MacRoute,
    MulticastRoute,
    Nlri,
    OpaqueRoute,
    PrefixRoute,
    SegmentRoute,
)

DISCOVERY: Final = 1
MAC_ADVERTISEMENT: Final = 2
MULTICAST: Final = 3
SEGMENT: Final = 4
PREFIX: Final = 5

_MAC_BITS: Final = 48
_MAC_HEAD: Final = Struct(">8s10sIB6sB")
"""Of an RT-2: RD, ESI, Ethernet tag, bits of the MAC, MAC, bits of the address."""
_MAC_END: Final = 2 + _MAC_HEAD.size
"""Where the address begins, header included."""
_RD_TYPE_ADDRESS: Final = 1


def distinguisher(value: Distinguisher) -> bytes:
    """Type 1 route distinguisher: 32-bit router id, 16-bit number (RFC 4364 section 4.2)."""
    return (
        _RD_TYPE_ADDRESS.to_bytes(2, "big")
        + value.router_id.to_bytes(4, "big")
        + value.local_id.to_bytes(2, "big")
    )


def parse_distinguisher(raw: bytes) -> Distinguisher | None:
    """The type 1 distinguisher in 8 octets; None for another type."""
    if raw[:2] != _RD_TYPE_ADDRESS.to_bytes(2, "big"):
        return None
    return Distinguisher(int.from_bytes(raw[2:6], "big"), int.from_bytes(raw[6:8], "big"))


def split(data: bytes) -> tuple[bytes, ...]:
    """Cut a field of NLRIs (type, length, value each) into single ones, header included."""
    found, fault = cut(data)
    if fault is not None:
        raise fault
    return found


def cut(data: bytes) -> tuple[tuple[bytes, ...], Malformed | None]:
    """The NLRIs before the first that overruns, and why that one does, if there is one."""
    found: list[bytes] = []
    at, size = 0, len(data)
    while at < size:
        if at + 2 > size:
            text = "one octet is left where an EVPN NLRI needs a type and a length"
            return tuple(found), Malformed("nlri-truncated", text)
        end = at + 2 + data[at + 1]
        if end > size:
            text = f"EVPN NLRI of {data[at + 1]} octets has {size - at - 2}"
            return tuple(found), Malformed("nlri-truncated", text)
        found.append(data[at:end])
        at = end
    return tuple(found), None


def decode(raw: bytes) -> Nlri:
    """One NLRI, header included. An unknown type is kept as it is (RFC 7432 section 7: types may be
    added).
    """
    check(raw)
    kind = raw[0]
    if kind == MAC_ADVERTISEMENT:
        return _decode_mac(raw)
    body = raw[2:]
    if kind == DISCOVERY:
        tag, label = int.from_bytes(body[18:22], "big"), int.from_bytes(body[22:], "big")
        return DiscoveryRoute(body[:8], body[8:18], tag, label)
    if kind == MULTICAST:
        tag = int.from_bytes(body[8:12], "big")
        return MulticastRoute(body[:8], address(body[13:], "originator of RT-3"), tag)
    if kind == SEGMENT:
        return SegmentRoute(body[:8], body[8:18], address(body[19:], "originator of RT-4"))
    if kind == PREFIX:
        return _decode_prefix(body)
    return OpaqueRoute(kind, raw)


def check(raw: bytes) -> None:
    """Raise `Malformed` for what is not one whole NLRI, header included; makes no value."""
    if len(raw) < 2 or raw[1] != len(raw) - 2:
        raise Malformed("nlri-length", f"{len(raw)} octets are not one EVPN NLRI")
    kind = raw[0]
    if kind == MAC_ADVERTISEMENT:
        _check_mac(raw)
    elif kind == DISCOVERY:
        _expect(raw, (25,), "RT-1")
    elif kind == MULTICAST:
        _expect(raw, (17, 29), "RT-3")
        _expect_bits(raw, 14, "RT-3")
    elif kind == SEGMENT:
        _expect(raw, (23, 35), "RT-4")
        _expect_bits(raw, 20, "RT-4")
    elif kind == PREFIX:
        _check_prefix(raw)


def label(raw: bytes) -> bytes:
    """The three octets of the first label of a well-formed RT-1, RT-2 or RT-5; empty for others."""
    kind = raw[0]
    if kind == MAC_ADVERTISEMENT:
        at = _MAC_END + raw[_MAC_END - 1] // 8
        return raw[at : at + 3]
    return raw[-3:] if kind in (DISCOVERY, PREFIX) else b""


def encode(route: Nlri) -> bytes:
    """One NLRI, header included: the inverse of `decode`."""
    if isinstance(route, OpaqueRoute):
        return route.raw
    if isinstance(route, MacRoute):
        kind, body = MAC_ADVERTISEMENT, _encode_mac(route)
    elif isinstance(route, MulticastRoute):
        packed = route.originator.packed
        kind = MULTICAST
        body = route.rd + route.etag.to_bytes(4, "big") + bytes([len(packed) * 8]) + packed
    elif isinstance(route, DiscoveryRoute):
        kind = DISCOVERY
        body = route.rd + route.esi + route.etag.to_bytes(4, "big") + route.vni.to_bytes(3, "big")
    elif isinstance(route, SegmentRoute):
        packed = route.originator.packed
        kind, body = SEGMENT, route.rd + route.esi + bytes([len(packed) * 8]) + packed
    else:
        kind, body = PREFIX, _encode_prefix(route)
    return bytes([kind, len(body)]) + body


def key(raw: bytes) -> bytes:
    """What tells two routes apart: the NLRI less its ESI, labels and gateway, which are attributes of the
    route.

    RFC 7432 section 7.1 to 7.4 and RFC 9136 section 3.1: a new announcement with the same key replaces the
    old. Takes one well-formed NLRI (see `decode`).
    """
    kind, body = raw[0], raw[2:]
    if kind == DISCOVERY:
        return raw[:1] + body[:22]
    if kind == MAC_ADVERTISEMENT:
        return raw[:1] + body[:8] + body[18 : 30 + body[29] // 8]
    if kind == PREFIX:
        return raw[:1] + body[:8] + body[18 : 23 + (len(body) - 26) // 2]
    return raw[:1] + body


def _expect(raw: bytes, lengths: tuple[int, ...], what: str) -> None:
    size = len(raw) - 2
    if size not in lengths:
        allowed = " or ".join(str(n) for n in lengths)
        raise Malformed("nlri-length", f"{what} of {size} octets; allowed is {allowed}")


def _expect_bits(raw: bytes, at: int, what: str) -> None:
    """The address after octet `at` fills the rest; that octet says its bits."""
    size = len(raw) - at - 1
    if raw[at] != size * 8:
        raise Malformed("address-length", f"{what} says {raw[at]} bits for an address of {size} octets")


def _check_mac(raw: bytes) -> None:
    size = len(raw) - 2
    if size < 33:
        raise Malformed("nlri-length", f"RT-2 of {size} octets; the shortest has 33")
    if raw[24] != _MAC_BITS:
        raise Malformed("mac-length", f"RT-2 with a MAC of {raw[24]} bits; RFC 7432 section 9.2.1 allows 48")
    bits = raw[_MAC_END - 1]
    if bits not in (0, 32, 128):
        raise Malformed("address-length", f"RT-2 with an address of {bits} bits; allowed is 0, 32 or 128")
    one = 33 + bits // 8
    if size not in (one, one + 3):
        raise Malformed("nlri-length", f"RT-2 of {size} octets; allowed is {one} or {one + 3}")


def _decode_mac(raw: bytes) -> MacRoute:
    """Unpacked at once: these are most of all routes."""
    rd, esi, tag, _, mac, bits = _MAC_HEAD.unpack_from(raw, 2)
    end = _MAC_END + bits // 8
    found: Address | None = None
    if bits == 32:
        found = IPv4Address(int.from_bytes(raw[_MAC_END:end], "big"))
    elif bits:
        found = IPv6Address(int.from_bytes(raw[_MAC_END:end], "big"))
    second = _label(raw[end + 3 :]) if len(raw) > end + 3 else None
    first = _label(raw[end : end + 3])
    return MacRoute(_shared(rd), Mac(int.from_bytes(mac, "big")), found, first, second, tag, _shared(esi))


@lru_cache(maxsize=4096)
def _shared(raw: bytes) -> bytes:
    """A memo: distinguishers and segments are the same in thousands of routes, and need be there but once."""
    return raw


@lru_cache(maxsize=4096)
def _label(raw: bytes) -> Vni:
    """A memo, for the same reason."""
    return Vni(int.from_bytes(raw, "big"))


def _encode_mac(route: MacRoute) -> bytes:
    packed = b"" if route.address is None else route.address.packed
    second = b"" if route.vni2 is None else route.vni2.to_bytes(3, "big")
    mac = route.mac.to_bytes(6, "big")
    head = _MAC_HEAD.pack(route.rd, route.esi, route.etag, _MAC_BITS, mac, len(packed) * 8)
    return b"".join((head, packed, route.vni.to_bytes(3, "big"), second))


def _check_prefix(raw: bytes) -> None:
    _expect(raw, (34, 58), "RT-5")
    octets = (len(raw) - 28) // 2
    bits = raw[24]
    if bits > octets * 8:
        raise Malformed("prefix-length", f"RT-5 with a prefix of {bits} bits in {octets} octets")
    network = int.from_bytes(raw[25 : 25 + octets], "big")
    if network & ((1 << octets * 8 - bits) - 1):
        text = f"RT-5 with host bits set: {raw[25 : 25 + octets].hex()}/{bits}"
        raise Malformed("prefix-host-bits", text)


def _decode_prefix(body: bytes) -> PrefixRoute:
    octets = (len(body) - 26) // 2
    gateway = address(body[23 + octets : 23 + 2 * octets], "gateway of RT-5")
    return PrefixRoute(
        rd=body[:8],
        esi=body[8:18],
        etag=int.from_bytes(body[18:22], "big"),
        prefix=ip_network((body[23 : 23 + octets], body[22])),
        gateway=gateway if int(gateway) else None,
        vni=int.from_bytes(body[-3:], "big"),
    )


def _encode_prefix(route: PrefixRoute) -> bytes:
    network = route.prefix.network_address.packed
    gateway = bytes(len(network)) if route.gateway is None else route.gateway.packed
    head = route.rd + route.esi + route.etag.to_bytes(4, "big") + bytes([route.prefix.prefixlen])
    return head + network + gateway + route.vni.to_bytes(3, "big")
