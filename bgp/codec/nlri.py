"""EVPN NLRI: bytes <-> the route values of `model.route`, and the route key of each type.

Place: called by `bgp.codec.update` on what arrives and by `bgp.originate` on what leaves. Must not look at
path attributes. RFC 7432 section 7 (types 1 to 4), RFC 9136 section 3.1 (type 5); labels are 24-bit VNIs
(RFC 8365 section 5.1.3).
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from bgp.codec.addresses import address
from bgp.codec.malformed import Malformed
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
    found: list[bytes] = []
    at = 0
    while at < len(data):
        if at + 2 > len(data):
            raise Malformed(
                "nlri-truncated", "one octet is left where an EVPN NLRI needs a type and a length"
            )
        end = at + 2 + data[at + 1]
        if end > len(data):
            raise Malformed("nlri-truncated", f"EVPN NLRI of {data[at + 1]} octets has {len(data) - at - 2}")
        found.append(data[at:end])
        at = end
    return tuple(found)


def decode(raw: bytes) -> Nlri:
    """One NLRI, header included. An unknown type is kept as it is (RFC 7432 section 7: types may be
    added).
    """
    if len(raw) < 2 or raw[1] != len(raw) - 2:
        raise Malformed("nlri-length", f"{len(raw)} octets are not one EVPN NLRI")
    kind, body = raw[0], raw[2:]
    if kind == DISCOVERY:
        return _decode_discovery(body)
    if kind == MAC_ADVERTISEMENT:
        return _decode_mac(body)
    if kind == MULTICAST:
        return _decode_multicast(body)
    if kind == SEGMENT:
        return _decode_segment(body)
    if kind == PREFIX:
        return _decode_prefix(body)
    return OpaqueRoute(kind, raw)


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


def _expect(body: bytes, lengths: tuple[int, ...], what: str) -> None:
    if len(body) not in lengths:
        allowed = " or ".join(str(n) for n in lengths)
        raise Malformed("nlri-length", f"{what} of {len(body)} octets; allowed is {allowed}")


def _decode_discovery(body: bytes) -> DiscoveryRoute:
    _expect(body, (25,), "RT-1")
    return DiscoveryRoute(
        body[:8], body[8:18], int.from_bytes(body[18:22], "big"), int.from_bytes(body[22:], "big")
    )


def _decode_mac(body: bytes) -> MacRoute:
    if len(body) < 33:
        raise Malformed("nlri-length", f"RT-2 of {len(body)} octets; the shortest has 33")
    if body[22] != _MAC_BITS:
        raise Malformed("mac-length", f"RT-2 with a MAC of {body[22]} bits; RFC 7432 section 9.2.1 allows 48")
    bits = body[29]
    if bits not in (0, 32, 128):
        raise Malformed("address-length", f"RT-2 with an address of {bits} bits; allowed is 0, 32 or 128")
    labels = 30 + bits // 8
    _expect(body, (labels + 3, labels + 6), "RT-2")
    return MacRoute(
        rd=_shared(body[:8]),
        esi=_shared(body[8:18]),
        etag=int.from_bytes(body[18:22], "big"),
        mac=Mac(int.from_bytes(body[23:29], "big")),
        address=address(body[30:labels], "address of RT-2") if bits else None,
        vni=_label(body[labels : labels + 3]),
        vni2=_label(body[labels + 3 :]) if len(body) == labels + 6 else None,
    )


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
    return b"".join(
        (
            route.rd,
            route.esi,
            route.etag.to_bytes(4, "big"),
            bytes([_MAC_BITS]),
            route.mac.to_bytes(6, "big"),
            bytes([len(packed) * 8]),
            packed,
            route.vni.to_bytes(3, "big"),
            second,
        )
    )


def _decode_multicast(body: bytes) -> MulticastRoute:
    _expect(body, (17, 29), "RT-3")
    if body[12] != (len(body) - 13) * 8:
        raise Malformed(
            "address-length", f"RT-3 says {body[12]} bits for an address of {len(body) - 13} octets"
        )
    return MulticastRoute(
        body[:8], address(body[13:], "originator of RT-3"), int.from_bytes(body[8:12], "big")
    )


def _decode_segment(body: bytes) -> SegmentRoute:
    _expect(body, (23, 35), "RT-4")
    if body[18] != (len(body) - 19) * 8:
        raise Malformed(
            "address-length", f"RT-4 says {body[18]} bits for an address of {len(body) - 19} octets"
        )
    return SegmentRoute(body[:8], body[8:18], address(body[19:], "originator of RT-4"))


def _decode_prefix(body: bytes) -> PrefixRoute:
    _expect(body, (34, 58), "RT-5")
    octets = (len(body) - 26) // 2
    bits = body[22]
    if bits > octets * 8:
        raise Malformed("prefix-length", f"RT-5 with a prefix of {bits} bits in {octets} octets")
    network = address(body[23 : 23 + octets], "prefix of RT-5")
    gateway = address(body[23 + octets : 23 + 2 * octets], "gateway of RT-5")
    try:
        prefix = ip_network((network.packed, bits))
    except ValueError:
        raise Malformed("prefix-host-bits", f"RT-5 with host bits set: {network}/{bits}") from None
    return PrefixRoute(
        rd=body[:8],
        esi=body[8:18],
        etag=int.from_bytes(body[18:22], "big"),
        prefix=prefix,
        gateway=gateway if int(gateway) else None,
        vni=int.from_bytes(body[-3:], "big"),
    )


def _encode_prefix(route: PrefixRoute) -> bytes:
    network = route.prefix.network_address.packed
    gateway = bytes(len(network)) if route.gateway is None else route.gateway.packed
    head = route.rd + route.esi + route.etag.to_bytes(4, "big") + bytes([route.prefix.prefixlen])
    return head + network + gateway + route.vni.to_bytes(3, "big")
