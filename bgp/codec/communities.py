"""Extended communities: the 8-octet values that EVPN hangs on its routes.

Place: inside the attribute codec. Must not decide what a community means for a route: guard and learn do.
RFC 4360 (route targets), RFC 7432 sections 7.5 to 7.8, RFC 9012 section 4.1, RFC 9135 section 8.1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bgp.codec.malformed import Malformed
from model.ids import Mac, Vni

VXLAN: Final = 8
"""Tunnel type of the encapsulation community (RFC 8365 section 5.1.3)."""

_SIZE: Final = 8
_TARGET_TYPES: Final = (0x00, 0x01, 0x02)
"""Two-octet AS, IPv4 address, four-octet AS: transitive, each with subtype 2 for a route target."""
_TARGET: Final = 0x02
_MOBILITY: Final = bytes((0x06, 0x00))
_ROUTER_MAC: Final = bytes((0x06, 0x03))
_ENCAPSULATION: Final = bytes((0x03, 0x0C))
_GATEWAY: Final = bytes((0x03, 0x0D))
_STICKY: Final = 0x01


@dataclass(frozen=True, slots=True)
class Communities:
    """The communities that anything of ours consumes; see `model.route.Attributes` for the fields."""

    route_targets: tuple[bytes, ...] = ()
    sequence: int | None = None
    sticky: bool = False
    router_mac: Mac | None = None
    default_gateway: bool = False
    encapsulations: tuple[int, ...] = ()


def route_target(asn: int, vni: Vni) -> bytes:
    """`asn:vni` as a two-octet-AS route target (RFC 4360 sections 3.1 and 4).

    The plain VNI stands in the four-octet number, as FRR and GoBGP derive it, not the bit layout of RFC 8365
    section 5.1.2.1 (which sets a type in the upper octet). Of a four-octet AS the lower half is used, as
    FRR does.
    """
    return bytes((0x00, _TARGET)) + (asn & 0xFFFF).to_bytes(2, "big") + vni.to_bytes(4, "big")


def target_vni(target: bytes) -> Vni | None:
    """The VNI that a two-octet-AS route target carries; None for another form, 0 or more than 24 bits."""
    number = int.from_bytes(target[4:8], "big")
    if target[:2] != bytes((0x00, _TARGET)) or not 0 < number < 1 << 24:
        return None
    return Vni(number)


def target_text(target: bytes) -> str:
    """A route target for people: `65000:10100`, or hex for the rarer forms."""
    if target[:1] == b"\x00":
        return f"{int.from_bytes(target[2:4], 'big')}:{int.from_bytes(target[4:8], 'big')}"
    return target.hex()


def decode(value: bytes) -> Communities:
    """The value of an EXTENDED COMMUNITIES attribute. Its length must be a multiple of 8 (RFC 7606 section
    7.14).
    """
    if not value or len(value) % _SIZE:
        raise Malformed(
            "communities-length", f"extended communities of {len(value)} octets; must be a multiple of 8"
        )
    targets: set[bytes] = set()
    tunnels: set[int] = set()
    sequence: int | None = None
    router_mac: Mac | None = None
    sticky = gateway = False
    for at in range(0, len(value), _SIZE):
        one = value[at : at + _SIZE]
        head = one[:2]
        if one[0] in _TARGET_TYPES and one[1] == _TARGET:
            targets.add(one)
        elif head == _MOBILITY:
            sequence = max(int.from_bytes(one[4:8], "big"), sequence or 0)
            sticky = sticky or bool(one[2] & _STICKY)
        elif head == _ENCAPSULATION:
            tunnels.add(int.from_bytes(one[6:8], "big"))
        elif head == _ROUTER_MAC:
            router_mac = Mac(int.from_bytes(one[2:8], "big"))
        elif head == _GATEWAY:
            gateway = True
    return Communities(tuple(sorted(targets)), sequence, sticky, router_mac, gateway, tuple(sorted(tunnels)))


def encode(values: Communities) -> bytes:
    """The value of an EXTENDED COMMUNITIES attribute, in a fixed order; empty for none."""
    parts = list(values.route_targets)
    parts.extend(_ENCAPSULATION + bytes(4) + tunnel.to_bytes(2, "big") for tunnel in values.encapsulations)
    if values.default_gateway:
        parts.append(_GATEWAY + bytes(6))
    if values.sequence is not None:
        flags = _STICKY if values.sticky else 0
        parts.append(_MOBILITY + bytes((flags, 0)) + values.sequence.to_bytes(4, "big"))
    if values.router_mac is not None:
        parts.append(_ROUTER_MAC + values.router_mac.to_bytes(6, "big"))
    return b"".join(parts)
