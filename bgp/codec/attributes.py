"""Path attributes: bytes <-> `model.route.Attributes`.

Place: called by `bgp.codec.update` and by the client when routes leave. Must not touch MP_REACH_NLRI or
MP_UNREACH_NLRI: they carry the NLRI and belong to `bgp.codec.update`. RFC 4271 section 4.3, RFC 6514
section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bgp.codec import communities
from bgp.codec.addresses import address
from bgp.codec.malformed import Malformed
from model.addresses import Address
from model.ids import Vni
from model.route import Attributes

ORIGIN: Final = 1
AS_PATH: Final = 2
LOCAL_PREF: Final = 5
MP_REACH: Final = 14
MP_UNREACH: Final = 15
EXTENDED_COMMUNITIES: Final = 16
PMSI_TUNNEL: Final = 22

_WELL_KNOWN: Final = 0x40
_OPTIONAL: Final = 0x80
_OPTIONAL_TRANSITIVE: Final = 0xC0
_EXTENDED_LENGTH: Final = 0x10
_INGRESS_REPLICATION: Final = 6
_DEFAULT_PREFERENCE: Final = 100


@dataclass(frozen=True, slots=True)
class Field:
    """One path attribute as it stands on the wire; `raw` is the whole of it, header included."""

    code: int
    value: bytes
    raw: bytes


def split(data: bytes) -> tuple[Field, ...]:
    """Cut the path attributes of an UPDATE; an overrun is malformed (RFC 7606 section 4)."""
    found: list[Field] = []
    at = 0
    while at < len(data):
        long = bool(data[at] & _EXTENDED_LENGTH)
        head = at + (4 if long else 3)
        if head > len(data):
            raise Malformed("attribute-truncated", "a path attribute ends inside its header")
        end = head + int.from_bytes(data[at + 2 : head], "big")
        if end > len(data):
            raise Malformed(
                "attribute-truncated", f"path attribute {data[at + 1]} runs over the end of the field"
            )
        found.append(Field(data[at + 1], data[head:end], data[at:end]))
        at = end
    return tuple(found)


def field(flags: int, code: int, value: bytes) -> bytes:
    """One path attribute with its header."""
    if len(value) > 0xFF:
        return bytes((flags | _EXTENDED_LENGTH, code)) + len(value).to_bytes(2, "big") + value
    return bytes((flags, code, len(value))) + value


def decode(fields: tuple[Field, ...], next_hop: Address) -> Attributes:
    """The attributes that we consume; unknown ones are skipped. Of repeated ones the first counts
    (RFC 7606 section 3 item g).
    """
    seen: dict[int, bytes] = {}
    for one in fields:
        seen.setdefault(one.code, one.value)
    return _decode(seen.get(EXTENDED_COMMUNITIES), seen.get(LOCAL_PREF), seen.get(PMSI_TUNNEL), next_hop)


@lru_cache(maxsize=4096)
def _decode(
    extended: bytes | None, preference: bytes | None, pmsi: bytes | None, next_hop: Address
) -> Attributes:
    """A memo: the routes of a host to a network share their attributes, and then one value of ours."""
    hung = communities.Communities() if extended is None else communities.decode(extended)
    if preference is not None and len(preference) != 4:
        raise Malformed(
            "local-preference-length", f"LOCAL_PREF of {len(preference)} octets; RFC 7606 section 7.5: 4"
        )
    vni, endpoint = _decode_pmsi(pmsi)
    return Attributes(
        next_hop=next_hop,
        route_targets=hung.route_targets,
        sequence=hung.sequence,
        sticky=hung.sticky,
        router_mac=hung.router_mac,
        default_gateway=hung.default_gateway,
        pmsi_vni=vni,
        pmsi_endpoint=endpoint,
        local_preference=_DEFAULT_PREFERENCE if preference is None else int.from_bytes(preference, "big"),
        encapsulations=hung.encapsulations,
    )


def encode(values: Attributes) -> bytes:
    """All attributes of an iBGP announcement but MP_REACH_NLRI, in the order of their codes.

    ORIGIN is IGP, AS_PATH empty (RFC 4271 section 5.1.2: an internal peer's routes of our own).
    """
    parts = [
        field(_WELL_KNOWN, ORIGIN, b"\x00"),
        field(_WELL_KNOWN, AS_PATH, b""),
        field(_WELL_KNOWN, LOCAL_PREF, values.local_preference.to_bytes(4, "big")),
    ]
    hung = communities.encode(
        communities.Communities(
            route_targets=values.route_targets,
            sequence=values.sequence,
            sticky=values.sticky,
            router_mac=values.router_mac,
            default_gateway=values.default_gateway,
            encapsulations=values.encapsulations,
        )
    )
    if hung:
        parts.append(field(_OPTIONAL_TRANSITIVE, EXTENDED_COMMUNITIES, hung))
    if values.pmsi_vni is not None and values.pmsi_endpoint is not None:
        tunnel = bytes((0, _INGRESS_REPLICATION)) + values.pmsi_vni.to_bytes(3, "big")
        parts.append(field(_OPTIONAL_TRANSITIVE, PMSI_TUNNEL, tunnel + values.pmsi_endpoint.packed))
    return b"".join(parts)


def optional(code: int, value: bytes) -> bytes:
    """An optional non-transitive attribute: MP_REACH_NLRI, MP_UNREACH_NLRI (RFC 4760 sections 3 and 4)."""
    return field(_OPTIONAL, code, value)


def _decode_pmsi(value: bytes | None) -> tuple[Vni | None, Address | None]:
    """PMSI tunnel: flags, type, label, identifier (RFC 6514 section 5). Only ingress replication is read; its
    label is a VNI (RFC 8365 section 5.1.3).
    """
    if value is None:
        return None, None
    if len(value) < 5:
        raise Malformed("pmsi-length", f"PMSI tunnel attribute of {len(value)} octets; the shortest has 5")
    if value[1] != _INGRESS_REPLICATION:
        return None, None
    return Vni(int.from_bytes(value[2:5], "big")), address(value[5:], "endpoint of the PMSI tunnel")
