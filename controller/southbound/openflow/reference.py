"""One flow, the slow and certain way: os-ken serialises it, in the order and form in which OVS dumps it.

Place: `templates` learns each shape's bytes here and proves its fast copies against it. Must not be called
per flow.
Fields that os-ken lacks go through its generic form for unknown OXMs; for them OVS itself is the reference
(tests/contract).
"""

from __future__ import annotations

import base64
import ipaddress
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from os_ken.ofproto import ofproto_v1_4, ofproto_v1_4_parser
from os_ken.ofproto.nicira_ext import NX_CT_F_COMMIT, NXAST_REG_MOVE, ofs_nbits
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.southbound.openflow.fields import IN_PORT, WireField, find, rank
from model.flow import (
    Action,
    Back,
    CheckLarger,
    Conjunction,
    Copy,
    Ct,
    DecTtl,
    End,
    Field,
    Flow,
    Group,
    Match,
    Metered,
    Move,
    Nat,
    Output,
    OutputField,
    Recirculate,
    SetField,
    Slot,
    Special,
    Value,
)
from model.ids import ANSWERING, COOKIE_MARK

VERSION: Final = ofproto_v1_4.OFP_VERSION
MARKED: Final = COOKIE_MARK << 48
MARK_MASK: Final = 0xFFFF << 48
RESERVED_PORTS: Final = 0xFF00
"""16-bit port numbers from here on are reserved; OpenFlow 1.1+ writes them with 32 bits set (7.2.1)."""
_NAT_SRC: Final = 1
"""NX_NAT_F_SRC of Open vSwitch's openflow/nicira-ext.h, which os-ken does not name; so the next."""
_NAT_DST: Final = 2
NICIRA: Final = 0x2320
"""Experimenter id of the extensions of Open vSwitch."""
_CONTROLLER: Final = 20
_CLONE: Final = 42
_CHECK_LARGER: Final = 49
_MPLS: Final = 0x8847
_POPPED: Final = 0x0800
"""Any EtherType but MPLS would do: the next pass reads the packet itself, which was never changed."""
WHOLE_PACKET: Final = ofproto_v1_4.OFPCML_NO_BUFFER

_of: Final = ofproto_v1_4
_parser: Final = ofproto_v1_4_parser
_MACS: Final = frozenset({"eth_src", "eth_dst", "arp_sha", "arp_tha", "nd_sll", "nd_tll"})
_IPV4: Final = frozenset({"ip_src", "ip_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst"})
_IPV6: Final = frozenset({"ipv6_src", "ipv6_dst", "nd_target", "tun_ipv6_src", "tun_ipv6_dst"})


class Command(Enum):
    """What a flow_mod does (OpenFlow 1.4.1 section 7.3.4.2)."""

    ADD = ofproto_v1_4.OFPFC_ADD
    MODIFY_STRICT = ofproto_v1_4.OFPFC_MODIFY_STRICT
    DELETE_STRICT = ofproto_v1_4.OFPFC_DELETE_STRICT


class MaskForm(Enum):
    """How OVS dumps a masked field: without the mask, not at all, or with it."""

    EXACT = "exact"
    ABSENT = "absent"
    MASKED = "masked"


@dataclass(frozen=True, slots=True)
class Term:
    """One field of a match with its numbers filled in."""

    field: WireField
    value: int
    mask: int | None


def wide_port(number: int) -> int:
    """A port number as OpenFlow 1.4 writes it."""
    return number | 0xFFFF0000 if RESERVED_PORTS <= number <= 0xFFFF else number


def mask_form(mask: int | None, bits: int) -> MaskForm:
    """Which form OVS gives to this mask of a field of `bits` bits."""
    if mask is None or mask == (1 << bits) - 1:
        return MaskForm.EXACT
    return MaskForm.MASKED if mask else MaskForm.ABSENT


def order(matches: Sequence[Match]) -> list[Match]:
    """The matches as OVS would list them."""
    return sorted(matches, key=lambda m: rank(m.field.name))


def _terms(flow: Flow) -> list[Term]:
    found = []
    for match in order(flow.shape.match):
        field = find(match.field.name)
        value = flow.fill(match.value)
        mask = None if match.mask is None else flow.fill(match.mask)
        form = mask_form(mask, match.field.bits)
        if match.field.low is not None:  # a part is a masked match of the whole
            form = MaskForm.ABSENT if form is MaskForm.ABSENT else MaskForm.MASKED
            mask = ((1 << match.field.bits) - 1 if mask is None else mask) << match.field.shift
            value <<= match.field.shift
        if match.field.name == "vlan_tci" and (match.value != 0 or mask is not None):
            raise ValueError(f"{flow.shape.name}: vlan_tci can only be matched as 0, the untagged frame")
        if form is MaskForm.ABSENT:
            continue
        if form is MaskForm.EXACT:
            mask = None
        elif mask is not None:
            value &= mask
        if field is IN_PORT and isinstance(match.value, int):
            value = wide_port(value)
        found.append(Term(field, value, mask))
    if len({term.field.name for term in found}) < len(found):
        raise ValueError(f"{flow.shape.name}: a field is matched twice")
    return found


def _user(field: WireField, value: int) -> Any:
    """A number as os-ken wants it for this field; os-ken itself would cut it without a word."""
    if value.bit_length() > 8 * field.octets or value < 0:
        raise ValueError(f"{value} does not fit into the {field.octets} octets of {field.name}")
    if not field.known:
        return base64.b64encode(value.to_bytes(field.octets, "big")).decode()
    if field.name in _MACS:
        return value.to_bytes(6, "big").hex(":")
    if field.name in _IPV4:
        return str(ipaddress.IPv4Address(value))
    if field.name in _IPV6:
        return str(ipaddress.IPv6Address(value))
    return value


def _key(field: WireField) -> str:
    return field.known or f"field_{field.type}"


def _match(terms: Sequence[Term]) -> Any:
    # os-ken sorts by OXM number; a dump is in OVS's order, so the fields are handed over ordered
    fields: list[tuple[str, Any]] = []
    for term in terms:
        value = _user(term.field, term.value)
        masked = value if term.mask is None else (value, _user(term.field, term.mask))
        fields.append((_key(term.field), masked))
    return _parser.OFPMatch(_ordered_fields=fields)


def _set_field(action: SetField, value: int) -> Any:
    field = find(action.field.name)
    if action.field.low is not None:
        return _parser.NXActionRegLoad(ofs_nbits=_span(action.field), dst=field.moved, value=value)
    if field is IN_PORT:
        # OpenFlow 1.3+ refuses set_field in_port; OVS takes and dumps a load of the 16-bit NXM field
        if value > 0xFFFF:
            raise ValueError(f"{value} is no 16-bit port")
        return _parser.NXActionRegLoad(ofs_nbits=ofs_nbits(0, 15), dst="in_port_nxm", value=value)
    return _parser.OFPActionSetField(**{_key(field): _user(field, value)})


def _span(field: Field) -> int:
    """Its bits, as a load names them."""
    return int(ofs_nbits(field.shift, field.shift + field.bits - 1))


def _move(action: Move) -> Any:
    source, target = find(action.source.name), find(action.target.name)
    bits, places = action.target.bits, (action.source.shift, action.target.shift)
    if source.known and target.known:
        return _parser.NXActionRegMove(source.moved, target.moved, bits, *places)
    # os-ken would give a field that it does not know a header without its length
    headers = (field.type << 9 | field.octets for field in (source, target))
    body = struct.pack("!HHHII", bits, *places, *headers)
    return _parser.NXActionUnknown(NXAST_REG_MOVE, body)


def _track(flow: Flow, action: Ct) -> Any:
    """ovs-actions(7): ct(...,nat(...)); an immediate zone stands where the zone's field and bits would."""
    zone = flow.fill(action.zone)
    if zone > 0xFFFF:
        raise ValueError(f"{zone} is no 16-bit zone")
    inner = [_action(flow, each) for each in action.remember]
    if action.commit is not None:
        inner.insert(0, _translate(flow, action.commit))
    return _parser.NXActionCT(
        flags=NX_CT_F_COMMIT if inner else 0,
        zone_src="",
        zone_ofs_nbits=zone,
        recirc_table=action.table,
        alg=0,
        actions=inner or [_parser.NXActionNAT(0)],
    )


def _translate(flow: Flow, nat: Nat) -> Any:
    """A range of one address: only its lower end is given."""
    flags = _NAT_SRC if nat.end is End.SOURCE else _NAT_DST
    number = flow.fill(nat.address)
    if _wide(nat.address):
        return _parser.NXActionNAT(flags, range_ipv6_min=str(ipaddress.IPv6Address(number)))
    return _parser.NXActionNAT(flags, range_ipv4_min=str(ipaddress.IPv4Address(number)))


def _wide(address: Value) -> bool:
    """Whether it is an IPv6 address; a constant IPv6 address below 2^32 does not exist."""
    return address.bits > 32 if isinstance(address, Slot) else address >> 32 > 0


def _nicira(subtype: int, body: bytes) -> Any:
    """A Nicira extension (ovs-actions(7)) by its bytes, padded as all actions are."""
    data = struct.pack("!H", subtype) + body
    return _parser.OFPActionExperimenterUnknown(NICIRA, data + bytes(-(8 + len(data)) % 8))


def _recirculation() -> tuple[Any, ...]:
    """A label pushed and popped again (docs/decisions/0016): the packet as it was, in a new pass."""
    return (_parser.OFPActionPushMpls(_MPLS), _parser.OFPActionPopMpls(_POPPED))


def _check_larger(flow: Flow, action: CheckLarger) -> Any:
    header = find(action.field.name).type << 9 | 4
    return _nicira(_CHECK_LARGER, struct.pack("!HHI6x", flow.fill(action.octets), 0, header))


def _copy(flow: Flow, action: Copy) -> Any:
    load = _set_field(SetField(action.field, action.value), flow.fill(action.value))
    resubmit = _parser.NXActionResubmitTable(table_id=action.table)
    body = bytearray(6)
    for each in (load, *_recirculation(), resubmit):
        part = bytearray()
        each.serialize(part, 0)
        body += part
    return _nicira(_CLONE, bytes(body))


def _actions(flow: Flow) -> list[Any]:
    """All but the meter, which is an instruction in OpenFlow 1.4 (section 5.9)."""
    found: list[Any] = []
    for action in flow.shape.actions:
        match action:
            case Metered():
                continue
            case Recirculate():
                found.extend(_recirculation())
            case _:
                found.append(_action(flow, action))
    return found


def _action(flow: Flow, action: Action) -> Any:
    match action:
        case SetField():
            return _set_field(action, flow.fill(action.value))
        case Move():
            return _move(action)
        case Output():
            port = flow.fill(action.port)
            return _parser.OFPActionOutput(wide_port(port) if isinstance(action.port, int) else port, 0)
        case OutputField():
            bits = ofs_nbits(0, action.field.bits - 1)
            return _parser.NXActionOutputReg(
                ofs_nbits=bits, src=find(action.field.name).moved, max_len=WHOLE_PACKET
            )
        case DecTtl():
            return _parser.OFPActionDecNwTtl()
        case Back():
            return _parser.NXActionResubmitTable(table_id=action.table)
        case Group():
            return _parser.OFPActionGroup(action.number)
        case Ct():
            return _track(flow, action)
        case CheckLarger():
            return _check_larger(flow, action)
        case Copy():
            return _copy(flow, action)
        case Conjunction():
            return _parser.NXActionConjunction(action.clause, action.clauses, flow.fill(action.number))
        case Special.IN_PORT:
            return _parser.OFPActionOutput(_of.OFPP_IN_PORT, 0)
        case Special.CONTROLLER:
            return _parser.OFPActionOutput(_of.OFPP_CONTROLLER, WHOLE_PACKET)
        case Special.CONTROLLER_APART:
            # OVS has a queue for table misses, of which there are none here, and one for all else
            return _nicira(_CONTROLLER, struct.pack("!HHBx", WHOLE_PACKET, 0, _of.OFPR_TABLE_MISS))
        case Special.CONTROLLER_ASKED:
            # its id keeps it from all connections but the one that took that id
            return _nicira(_CONTROLLER, struct.pack("!HHBx", WHOLE_PACKET, ANSWERING, _of.OFPR_APPLY_ACTION))
    raise TypeError(f"{flow.shape.name}: no wire form for {action!r}")


def _instructions(flow: Flow) -> list[Any]:
    found = []
    first, actions = flow.shape.actions[:1], _actions(flow)
    if any(isinstance(action, Metered) for action in flow.shape.actions[1:]):
        raise ValueError(f"{flow.shape.name}: a meter stands before all other actions")
    if first and isinstance(first[0], Metered):
        found.append(_parser.OFPInstructionMeter(flow.fill(first[0].meter)))
    if actions:
        found.append(_parser.OFPInstructionActions(_of.OFPIT_APPLY_ACTIONS, actions))
    if flow.shape.goto is not None:
        found.append(_parser.OFPInstructionGotoTable(flow.shape.goto))
    return found


def serialise(flow: Flow, command: Command) -> bytes:
    """The flow_mod of `flow` with transaction id 0.

    A delete carries no instructions and takes only a flow that bears our cookie mark.
    """
    deletes = command is Command.DELETE_STRICT
    message = _parser.OFPFlowMod(
        ProtocolDesc(version=VERSION),
        cookie=MARKED if deletes else flow.cookie,
        cookie_mask=MARK_MASK if deletes else 0,
        table_id=flow.shape.table,
        command=command.value,
        priority=flow.fill(flow.shape.priority),
        buffer_id=_of.OFP_NO_BUFFER,
        out_port=_of.OFPP_ANY,
        out_group=_of.OFPG_ANY,
        match=_match(_terms(flow)),
        instructions=[] if deletes else _instructions(flow),
    )
    message.set_xid(0)
    message.serialize()
    return bytes(message.buf)
