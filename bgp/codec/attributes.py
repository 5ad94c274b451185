"""Path attributes: bytes <-> `model.route.Attributes`.

Place: called by `bgp.codec.update` and by the client when routes leave. Must not touch MP_REACH_NLRI or
MP_UNREACH_NLRI: they carry the NLRI and belong to `bgp.codec.update`. RFC 4271 section 4.3, RFC 4456 section
8, RFC 1997, RFC 8092; tunnels: `bgp.codec.tunnels`. What is wrong in which way, and that it costs the route
and not the session: RFC 7606 section 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bgp.codec import communities, tunnels
from bgp.codec.malformed import Malformed
from model.addresses import Address
from model.route import Attributes
from model.targets import LargeCommunity

ORIGIN: Final = 1
AS_PATH: Final = 2
MED: Final = 4
LOCAL_PREF: Final = 5
COMMUNITIES: Final = 8
ORIGINATOR_ID: Final = 9
CLUSTER_LIST: Final = 10
MP_REACH: Final = 14
MP_UNREACH: Final = 15
EXTENDED_COMMUNITIES: Final = 16
PMSI_TUNNEL: Final = 22
LARGE_COMMUNITIES: Final = 32

_WELL_KNOWN: Final = 0x40
_OPTIONAL: Final = 0x80
_OPTIONAL_TRANSITIVE: Final = 0xC0
_CLASS: Final = 0xC0
_EXTENDED_LENGTH: Final = 0x10
_DEFAULT_PREFERENCE: Final = 100
_LARGE: Final = 12

FLAGS: Final = {
    ORIGIN: _WELL_KNOWN,
    AS_PATH: _WELL_KNOWN,
    MED: _OPTIONAL,
    LOCAL_PREF: _WELL_KNOWN,
    COMMUNITIES: _OPTIONAL_TRANSITIVE,
    ORIGINATOR_ID: _OPTIONAL,
    CLUSTER_LIST: _OPTIONAL,
    EXTENDED_COMMUNITIES: _OPTIONAL_TRANSITIVE,
    PMSI_TUNNEL: _OPTIONAL_TRANSITIVE,
    LARGE_COMMUNITIES: _OPTIONAL_TRANSITIVE,
}
"""The optional and transitive bits that each attribute must have."""
_MANDATORY: Final = (ORIGIN, AS_PATH)
"""Well-known and mandatory; NEXT_HOP is not, beside MP_REACH_NLRI."""


@dataclass(frozen=True, slots=True)
class Field:
    """One path attribute as it stands on the wire; `raw` is the whole of it, header included."""

    code: int
    value: bytes
    raw: bytes


def split(data: bytes) -> tuple[Field, ...]:
    """Cut the path attributes of an UPDATE; an overrun is malformed (RFC 7606 section 4)."""
    found, fault = cut(data)
    if fault is not None:
        raise fault
    return found


def cut(data: bytes) -> tuple[tuple[Field, ...], Malformed | None]:
    """The attributes before the first that overruns, and why that one does, if there is one."""
    found: list[Field] = []
    at = 0
    while at < len(data):
        head = at + (4 if data[at] & _EXTENDED_LENGTH else 3)
        if head > len(data):
            return tuple(found), Malformed("attribute-truncated", "a path attribute ends inside its header")
        end = head + int.from_bytes(data[at + 2 : head], "big")
        if end > len(data):
            text = f"path attribute {data[at + 1]} runs over the end of the field"
            return tuple(found), Malformed("attribute-truncated", text)
        found.append(Field(data[at + 1], data[head:end], data[at:end]))
        at = end
    return tuple(found), None


def field(flags: int, code: int, value: bytes) -> bytes:
    """One path attribute with its header."""
    if len(value) > 0xFF:
        return bytes((flags | _EXTENDED_LENGTH, code)) + len(value).to_bytes(2, "big") + value
    return bytes((flags, code, len(value))) + value


def decode(fields: tuple[Field, ...], next_hop: Address) -> Attributes:
    """`read` of attributes that were cut already."""
    return read(b"".join(one.raw for one in fields), next_hop)


@lru_cache(maxsize=4096)
def read(raw: bytes, next_hop: Address) -> Attributes:
    """All that `Attributes` has room for; unknown ones are skipped. Of repeated ones the first counts (RFC
    7606 section 3 item g); a wrong flag (item c), and the lack of a mandatory one (item d), is malformed.

    A memo: the routes of a host to a network share their attributes, and then one value of ours.
    """
    seen: dict[int, bytes] = {}
    for one in split(raw):
        expected = FLAGS.get(one.code)
        if expected is not None and one.raw[0] & _CLASS != expected:
            text = f"path attribute {one.code} with flags 0x{one.raw[0]:02x}; RFC 7606 section 3 item c"
            raise Malformed("attribute-flags", text)
        seen.setdefault(one.code, one.value)
    extended = seen.get(EXTENDED_COMMUNITIES)
    hung = communities.Communities() if extended is None else communities.decode(extended)
    pmsi = tunnels.decode(seen.get(PMSI_TUNNEL))
    preference = _number(seen, LOCAL_PREF, "local-preference-length", "LOCAL_PREF")
    made = Attributes(
        next_hop=next_hop,
        route_targets=hung.route_targets,
        sequence=hung.sequence,
        sticky=hung.sticky,
        router_mac=hung.router_mac,
        default_gateway=hung.default_gateway,
        pmsi_vni=pmsi.vni,
        pmsi_endpoint=pmsi.endpoint,
        local_preference=_DEFAULT_PREFERENCE if preference is None else preference,
        encapsulations=hung.encapsulations,
        segment_label=hung.segment_label,
        segment_imports=hung.segment_imports,
        neighbor_flags=hung.neighbor_flags,
        extended=hung.extended,
        communities=tuple(sorted(set(_numbers(seen, COMMUNITIES, "COMMUNITIES")))),
        large_communities=_large(seen.get(LARGE_COMMUNITIES)),
        pmsi_other=pmsi.other,
        origin=_origin(seen.get(ORIGIN)),
        as_path=_path(seen.get(AS_PATH, b"")),
        med=_number(seen, MED, "med-length", "MULTI_EXIT_DISC"),
        originator=_number(seen, ORIGINATOR_ID, "originator-length", "ORIGINATOR_ID"),
        clusters=_numbers(seen, CLUSTER_LIST, "CLUSTER_LIST"),
    )
    lacking = [str(code) for code in _MANDATORY if code not in seen]
    if lacking:
        text = f"no path attribute {' and '.join(lacking)}; RFC 7606 section 3 item d"
        raise Malformed("attribute-missing", text)
    return made


def encode(values: Attributes) -> bytes:
    """All attributes of an iBGP announcement but MP_REACH_NLRI, in the order of their codes."""
    parts = [
        field(_WELL_KNOWN, ORIGIN, bytes((values.origin,))),
        field(_WELL_KNOWN, AS_PATH, values.as_path),
    ]
    if values.med is not None:
        parts.append(field(_OPTIONAL, MED, values.med.to_bytes(4, "big")))
    parts.append(field(_WELL_KNOWN, LOCAL_PREF, values.local_preference.to_bytes(4, "big")))
    if values.communities:
        parts.append(field(_OPTIONAL_TRANSITIVE, COMMUNITIES, _quads(values.communities)))
    if values.originator is not None:
        parts.append(field(_OPTIONAL, ORIGINATOR_ID, _quads((values.originator,))))
    if values.clusters:
        parts.append(field(_OPTIONAL, CLUSTER_LIST, _quads(values.clusters)))
    hung = communities.encode(
        communities.Communities(
            route_targets=values.route_targets,
            sequence=values.sequence,
            sticky=values.sticky,
            router_mac=values.router_mac,
            default_gateway=values.default_gateway,
            encapsulations=values.encapsulations,
            segment_label=values.segment_label,
            segment_imports=values.segment_imports,
            neighbor_flags=values.neighbor_flags,
            extended=values.extended,
        )
    )
    if hung:
        parts.append(field(_OPTIONAL_TRANSITIVE, EXTENDED_COMMUNITIES, hung))
    tunnel = tunnels.encode(tunnels.Pmsi(values.pmsi_vni, values.pmsi_endpoint, values.pmsi_other))
    if tunnel:
        parts.append(field(_OPTIONAL_TRANSITIVE, PMSI_TUNNEL, tunnel))
    if values.large_communities:
        large = b"".join(_quads(one) for one in values.large_communities)
        parts.append(field(_OPTIONAL_TRANSITIVE, LARGE_COMMUNITIES, large))
    return b"".join(parts)


def optional(code: int, value: bytes) -> bytes:
    """An optional non-transitive attribute: MP_REACH_NLRI, MP_UNREACH_NLRI (RFC 4760 sections 3 and 4)."""
    return field(_OPTIONAL, code, value)


def _quads(values: tuple[int, ...]) -> bytes:
    return b"".join(value.to_bytes(4, "big") for value in values)


def _number(seen: dict[int, bytes], code: int, rule: str, name: str) -> int | None:
    """An attribute of four octets (RFC 7606 sections 7.4, 7.5 and 7.9)."""
    value = seen.get(code)
    if value is None:
        return None
    if len(value) != 4:
        raise Malformed(rule, f"{name} of {len(value)} octets; RFC 7606 section 7: 4")
    return int.from_bytes(value, "big")


def _numbers(seen: dict[int, bytes], code: int, name: str) -> tuple[int, ...]:
    """An attribute of a multiple of four octets (RFC 7606 sections 7.8 and 7.10), none of them if it is not
    there."""
    value = seen.get(code)
    if value is None:
        return ()
    if not value or len(value) % 4:
        raise Malformed("communities-length", f"{name} of {len(value)} octets; must be a multiple of 4")
    return tuple(int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4))


def _large(value: bytes | None) -> tuple[LargeCommunity, ...]:
    """Large communities (RFC 8092 section 6: a length that is no multiple of 12 withdraws the route)."""
    if value is None:
        return ()
    if not value or len(value) % _LARGE:
        raise Malformed(
            "communities-length", f"LARGE_COMMUNITY of {len(value)} octets; must be a multiple of 12"
        )
    words = [int.from_bytes(value[at : at + 4], "big") for at in range(0, len(value), 4)]
    return tuple(sorted(set(zip(words[::3], words[1::3], words[2::3], strict=True))))


def _origin(value: bytes | None) -> int:
    """ORIGIN: one octet, 0 to 2 (RFC 7606 section 7.1)."""
    if value is None:
        return 0
    if len(value) != 1 or value[0] > 2:
        raise Malformed("origin", f"ORIGIN {value.hex() or 'of no octet'}; RFC 7606 section 7.1: 0, 1 or 2")
    return value[0]


def _path(value: bytes) -> bytes:
    """AS_PATH: segments of a type (1 to 4, RFC 5065 section 3), a count that is not 0, and as many AS numbers
    of four octets (RFC 6793; RFC 7606 section 7.2)."""
    at = 0
    while at < len(value):
        end = at + 2 + 4 * (value[at + 1] if at + 1 < len(value) else 0)
        if not 1 <= value[at] <= 4 or end == at + 2 or end > len(value):
            raise Malformed("as-path", "AS_PATH is not a row of whole segments (RFC 7606 section 7.2)")
        at = end
    return value
