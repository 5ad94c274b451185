"""Any flow that a switch lists, from its bytes to fields and actions: for people who look at it.

Place: under `ringfence flows`; made from what `dump` gives. Knows what flows of ours and of others commonly
hold; the rest is shown as hexadecimal. Must not decide anything, and is not part of any audit.
Sources: OpenFlow 1.4.1 sections 7.2.3 to 7.2.5; for the Nicira extensions Open vSwitch's nicira-ext.h and
ovs-actions(7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controller.southbound.openflow.dump import Observed
from controller.southbound.openflow.fields import ACTION_ONLY, MATCH_ORDER, NXM_NX, NXM_OF

_TLV: Final = struct.Struct("!HBB")
_HEAD: Final = struct.Struct("!HH")
_U32: Final = struct.Struct("!I")
_VENDOR: Final = struct.Struct("!IH")
_MOVE: Final = struct.Struct("!HHHII")
_LOAD: Final = struct.Struct("!HIQ")
_OUTPUT_REG: Final = struct.Struct("!HI")
_RESUBMIT: Final = struct.Struct("!HB")
_CT: Final = struct.Struct("!HIHB")
_NICIRA: Final = 0x00002320
_GOTO, _APPLY, _METER = 1, 4, 6
_OUTPUT, _GROUP, _DEC_TTL, _SET_FIELD, _EXPERIMENTER = 0, 22, 24, 25, 0xFFFF
_CONTROLLER: Final = 0xFFFFFFFD
_RESERVED: Final = {
    0xFFFFFFF8: "IN_PORT",
    0xFFFFFFF9: "TABLE",
    0xFFFFFFFA: "NORMAL",
    0xFFFFFFFB: "FLOOD",
    0xFFFFFFFC: "ALL",
    _CONTROLLER: "CONTROLLER",
    0xFFFFFFFE: "LOCAL",
}
_PLAIN: Final = {
    11: "copy_ttl_out", 12: "copy_ttl_in", 17: "push_vlan", 18: "pop_vlan", 19: "push_mpls",
    20: "pop_mpls", 26: "push_pbb",
}  # fmt: skip
_NX_PLAIN: Final = {
    18: "dec_ttl", 21: "dec_ttl", 34: "conjunction", 36: "nat", 42: "clone", 43: "ct_clear",
    46: "encap", 47: "decap", 49: "check_pkt_larger",
}  # fmt: skip
_NXM_OF_NAMES: Final = (
    "in_port", "eth_dst", "eth_src", "eth_type", "vlan_tci", "nw_tos", "ip_proto", "ip_src", "ip_dst",
    "tcp_src", "tcp_dst", "udp_src", "udp_dst", "icmp_type", "icmp_code", "arp_op", "arp_spa", "arp_tpa",
)  # fmt: skip
_NXM_NX_NAMES: Final = {
    16: "tun_id", 17: "arp_sha", 18: "arp_tha", 19: "ipv6_src", 20: "ipv6_dst", 21: "icmpv6_type",
    22: "icmpv6_code", 23: "nd_target", 24: "nd_sll", 25: "nd_tll",
}  # fmt: skip
_OURS: Final = {"nw_proto": "ip_proto", "vlan_vid": "vlan_tci"}
"""Names that pipelines give to the same fields."""
_NAMES: Final = {
    **{NXM_OF << 7 | number: name for number, name in enumerate(_NXM_OF_NAMES)},
    **{NXM_NX << 7 | number: name for number, name in _NXM_NX_NAMES.items()},
    **{field.type: _OURS.get(field.name, field.name) for field in (*MATCH_ORDER, *ACTION_ONLY)},
}


@dataclass(frozen=True, slots=True)
class Matched:
    """A field of a match; `mask` None = all bits."""

    field: str
    value: int
    mask: int | None


@dataclass(frozen=True, slots=True)
class Done:
    """An action. `verb`: set_field, move, output, output_field, goto, group, meter, resubmit, ct, or its
    name.

    `field`: what is written or read; `source`: of a move, or the zone of a ct; `number`: value, port, table
    (255 = none) or id.
    """

    verb: str
    field: str = ""
    number: int = 0
    source: str = ""


def matched(flow: Observed) -> tuple[Matched, ...]:
    """The fields of its match, in the switch's order; ValueError for bytes that make no sense."""
    end = _unpack(_HEAD, flow.match, 0)[1]
    return tuple(_terms(flow.match[4:end]))


def done(flow: Observed) -> tuple[Done, ...]:
    """Its actions in order, with where it goes; none = drop. ValueError for bytes that make no sense."""
    found: list[Done] = []
    for kind, body in _blocks(flow.instructions):
        if kind == _GOTO:
            found.append(Done("goto", number=body[0] if body else 0))
        elif kind == _APPLY:
            found.extend(_action(k, b) for k, b in _blocks(body[4:]))
        elif kind == _METER:
            found.append(Done("meter", number=_unpack(_U32, body, 0)[0]))
        else:
            found.append(Done(f"instruction {kind}"))
    return tuple(found)


def _terms(data: bytes) -> Iterator[Matched]:
    at = 0
    while at < len(data):
        term, size = _term(data, at)
        yield term
        at += size


def _term(data: bytes, at: int) -> tuple[Matched, int]:
    oxm_class, field, length = _unpack(_TLV, data, at)
    body = data[at + 4 : at + 4 + length]
    if len(body) != length:
        raise ValueError("a field is cut short")
    name = _name(oxm_class << 7 | field >> 1)
    if not field & 1:
        return Matched(name, int.from_bytes(body, "big"), None), 4 + length
    half = length // 2
    value, mask = int.from_bytes(body[:half], "big"), int.from_bytes(body[half:], "big")
    return Matched(name, value, mask), 4 + length


def _name(kind: int) -> str:
    return _NAMES.get(kind, f"field {kind >> 7:#x}:{kind & 0x7F}")


def _header(header: int) -> str:
    """The field of an OXM header inside an action."""
    return _name(header >> 9)


def _span(header: int, low: int, bits: int) -> str:
    """The same, with its bits if they are not all."""
    name = _header(header)
    return name if bits == 8 * (header & 0xFF) else f"{name}[{low}..{low + bits - 1}]"


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(type, what follows type and length) of instructions or actions."""
    at = 0
    while at < len(data):
        kind, length = _unpack(_HEAD, data, at)
        if length < _HEAD.size or at + length > len(data):
            raise ValueError(f"{length} octets of {len(data) - at}")
        yield kind, data[at + _HEAD.size : at + length]
        at += length


def _action(kind: int, body: bytes) -> Done:
    if kind == _OUTPUT:
        port = _unpack(_U32, body, 0)[0]
        return Done(_RESERVED.get(port, "output"), number=port)
    if kind == _SET_FIELD:
        term = _term(body, 0)[0]
        return Done("set_field", term.field, term.value)
    if kind == _GROUP:
        return Done("group", number=_unpack(_U32, body, 0)[0])
    if kind == _DEC_TTL:
        return Done("dec_ttl")
    if kind == _EXPERIMENTER and len(body) >= _VENDOR.size and _VENDOR.unpack_from(body)[0] == _NICIRA:
        return _nicira(_VENDOR.unpack_from(body)[1], body[_VENDOR.size :])
    return Done(_PLAIN.get(kind, f"action {kind} ({body.hex()[:80]})"))


def _nicira(kind: int, body: bytes) -> Done:
    match kind:
        case 1 | 14:
            return Done("resubmit", number=_unpack(_RESUBMIT, body, 0)[1])
        case 6:
            bits, low, at, source, target = _unpack(_MOVE, body, 0)
            return Done("move", _span(target, at, bits), source=_span(source, low, bits))
        case 7:
            place, target, value = _unpack(_LOAD, body, 0)
            return Done("set_field", _span(target, place >> 6, (place & 0x3F) + 1), value)
        case 15 | 32:
            return Done("output_field", _header(_unpack(_OUTPUT_REG, body, 0)[1]))
        case 33:
            term = _term(body, 6)[0]
            return Done("set_field", term.field, term.value)
        case 20:
            return Done("CONTROLLER", number=_CONTROLLER)
        case 35:
            _, _, zone, table = _unpack(_CT, body, 0)
            return Done("ct", number=table, source=str(zone))
    return Done(_NX_PLAIN.get(kind, f"Nicira action {kind} ({body.hex()[:80]})"))


def _unpack(form: struct.Struct, data: bytes, at: int) -> tuple[int, ...]:
    if at + form.size > len(data):
        raise ValueError("the bytes end too early")
    return form.unpack_from(data, at)
