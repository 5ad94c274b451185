"""Extended communities: the 8-octet values that EVPN hangs on its routes.

Place: inside the attribute codec. Must not decide what a community means for a route: guard and learn do.
RFC 4360 and RFC 5668 (route targets), RFC 7432 sections 7.5 to 7.8, RFC 9012 section 4.1, RFC 9047 section 2,
RFC 9135 section 8.1. What is none of these is kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bgp.codec.malformed import Malformed
from model import targets
from model.ids import Mac, Vni
from model.route import SegmentLabel

VXLAN: Final = 8
"""Tunnel type of the encapsulation community (RFC 8365 section 5.1.3)."""

SIZE: Final = 8
_MOBILITY: Final = bytes((0x06, 0x00))
_SEGMENT_LABEL: Final = bytes((0x06, 0x01))
_SEGMENT_IMPORT: Final = bytes((0x06, 0x02))
_ROUTER_MAC: Final = bytes((0x06, 0x03))
_NEIGHBOR: Final = bytes((0x06, 0x08))
_ENCAPSULATION: Final = bytes((0x03, 0x0C))
_GATEWAY: Final = bytes((0x03, 0x0D))
_STICKY: Final = 0x01
_SINGLE_ACTIVE: Final = 0x01


@dataclass(frozen=True, slots=True)
class Communities:
    """See `model.route.Attributes` for the fields."""

    route_targets: tuple[bytes, ...] = ()
    sequence: int | None = None
    sticky: bool = False
    router_mac: Mac | None = None
    default_gateway: bool = False
    encapsulations: tuple[int, ...] = ()
    segment_label: SegmentLabel | None = None
    segment_imports: tuple[Mac, ...] = ()
    neighbor_flags: int | None = None
    extended: tuple[bytes, ...] = ()


def route_target(asn: int, vni: Vni) -> bytes:
    """`asn:vni`, the one that is derived (see `model.targets.derived`)."""
    return targets.derived(asn, vni)


def target_vni(target: bytes) -> Vni | None:
    """The VNI that a two-octet-AS route target carries; None for another form, 0 or more than 24 bits."""
    return targets.derived_vni(target)


def target_text(target: bytes) -> str:
    """A route target for people: `65000:10100`."""
    return targets.target_text(target)


def decode(value: bytes) -> Communities:
    """The value of an EXTENDED COMMUNITIES attribute. Its length must be a multiple of 8 (RFC 7606 section
    7.14).

    Of what a route can bear once only, the highest counts, in whatever order they came: the sequence (RFC
    7432 section 7.7), the MACs, the ESI label.
    """
    if not value or len(value) % SIZE:
        raise Malformed(
            "communities-length", f"extended communities of {len(value)} octets; must be a multiple of 8"
        )
    route_targets: list[bytes] = []
    found: dict[bytes, list[bytes]] = {}
    for at in range(0, len(value), SIZE):
        one = value[at : at + SIZE]
        if targets.is_target(one):
            route_targets.append(one)
        else:
            found.setdefault(one[:2], []).append(one)
    moves = found.pop(_MOBILITY, ())
    return Communities(
        route_targets=tuple(sorted(set(route_targets))),
        sequence=max((int.from_bytes(one[4:8], "big") for one in moves), default=None),
        sticky=any(one[2] & _STICKY for one in moves),
        router_mac=max(_macs(found.pop(_ROUTER_MAC, ())), default=None),
        default_gateway=bool(found.pop(_GATEWAY, ())),
        encapsulations=tuple(
            sorted({int.from_bytes(one[6:8], "big") for one in found.pop(_ENCAPSULATION, ())})
        ),
        segment_label=_label(found.pop(_SEGMENT_LABEL, ())),
        segment_imports=tuple(sorted(set(_macs(found.pop(_SEGMENT_IMPORT, ()))))),
        neighbor_flags=max((one[2] for one in found.pop(_NEIGHBOR, ())), default=None),
        extended=tuple(sorted({one for some in found.values() for one in some})),
    )


def encode(values: Communities) -> bytes:
    """The value of an EXTENDED COMMUNITIES attribute, in a fixed order; empty for none."""
    parts = list(values.route_targets)
    parts.extend(_ENCAPSULATION + bytes(4) + tunnel.to_bytes(2, "big") for tunnel in values.encapsulations)
    if values.default_gateway:
        parts.append(_GATEWAY + bytes(6))
    if values.sequence is not None:
        flags = _STICKY if values.sticky else 0
        parts.append(_MOBILITY + bytes((flags, 0)) + values.sequence.to_bytes(4, "big"))
    if values.segment_label is not None:
        flags = _SINGLE_ACTIVE if values.segment_label.single_active else 0
        label = values.segment_label.label.to_bytes(3, "big")
        parts.append(_SEGMENT_LABEL + bytes((flags, 0, 0)) + label)
    parts.extend(_SEGMENT_IMPORT + mac.to_bytes(6, "big") for mac in values.segment_imports)
    if values.router_mac is not None:
        parts.append(_ROUTER_MAC + values.router_mac.to_bytes(6, "big"))
    if values.neighbor_flags is not None:
        parts.append(_NEIGHBOR + bytes((values.neighbor_flags,)) + bytes(5))
    return b"".join((*parts, *values.extended))


def segment_import(esi: bytes) -> Mac:
    """The ES-Import route target that follows from a segment: the six octets after its type (RFC 7432
    section 7.6)."""
    return Mac(int.from_bytes(esi[1:7], "big"))


def _macs(some: list[bytes] | tuple[()]) -> list[Mac]:
    return [Mac(int.from_bytes(one[2:8], "big")) for one in some]


def _label(some: list[bytes] | tuple[()]) -> SegmentLabel | None:
    """Flags (bit 0: single-active), two reserved octets, label (RFC 7432 section 7.5; a VNI: RFC 8365 section
    8.1)."""
    if not some:
        return None
    one = max(some)
    return SegmentLabel(bool(one[2] & _SINGLE_ACTIVE), int.from_bytes(one[5:8], "big"))
