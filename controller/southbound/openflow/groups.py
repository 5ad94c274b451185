"""Groups on the wire: the few select groups of the pipeline, made before all flows and held as declared.

Place: used by `channel`, at the start of each connection and with each audit: a flow whose group is missing
would be refused, and a group that somebody deletes takes its flows along. Must not touch another group.

In OpenFlow 1.5 (sections 7.3.4.3 and 7.3.5.10), since before it nobody can say by what a group chooses: left
to itself Open vSwitch takes a hash that knows no UDP ports. The property that names the method is Netronome's
extension (ovs-ofctl(8), `selection_method`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from os_ken.ofproto import ofproto_v1_4_parser

from controller.southbound.openflow.conversation import Conversation, Refusal
from controller.southbound.openflow.fields import find
from controller.southbound.openflow.stream import HEADER
from model.flow import Group

VERSION: Final = 6
_GROUP_MOD: Final = 15
_GROUP_DESC: Final = 7
_ADD, _MODIFY = 0, 1
_SELECT: Final = 1
_ALL_GROUPS: Final = 0xFFFFFFFC
_ALL_BUCKETS: Final = 0xFFFFFFFF
_MOD: Final = struct.Struct("!HBxIH2xI")
_REQUEST: Final = struct.Struct("!I4x")
_ENTRY: Final = struct.Struct("!HBxIH6x")
_BUCKET: Final = struct.Struct("!HHI")
_WEIGHT: Final = struct.pack("!HHH2x", 0, 8, 1)
"""All weigh the same."""
_METHOD: Final = struct.pack("!HHII4x16sQ", 0xFFFF, 40, 0x0000154D, 1, b"dp_hash", 0)
"""By the hash of the data path over addresses, protocol and ports (parameter 0: OVS_HASH_ALG_L4)."""
_EXISTS: Final = Refusal(6, 0)
"""OFPET_GROUP_MOD_FAILED, OFPGMFC_GROUP_EXISTS."""
_parser: Final = ofproto_v1_4_parser


@dataclass(frozen=True, slots=True)
class Righted:
    """A group that was made or corrected. `stood`: the switch had one of that number."""

    number: int
    stood: bool


def ensure(conversation: Conversation, wanted: Iterable[Group]) -> tuple[Righted, ...]:
    """Make or correct what is not as declared, and say which. ValueError if the switch refuses.

    `conversation`: of OpenFlow 1.5.
    """
    found = dict(_entries(b"".join(conversation.multipart(_GROUP_DESC, _REQUEST.pack(_ALL_GROUPS)))))
    amiss = tuple(group for group in wanted if found.get(group.number) != (_SELECT, _body(group)))
    for group in amiss:
        refusal = _send(conversation, group, _ADD)
        if refusal == _EXISTS:
            refusal = _send(conversation, group, _MODIFY)
        if refusal is not None:
            raise ValueError(f"group {group.number:#x} refused: {refusal}")
    return tuple(Righted(group.number, group.number in found) for group in amiss)


def _entries(body: bytes) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """(number, (type, buckets and properties)) of each group of the switch."""
    at = 0
    while at + _ENTRY.size <= len(body):
        length, kind, number, _ = _ENTRY.unpack_from(body, at)
        if length < _ENTRY.size or at + length > len(body):
            raise ValueError(f"group of {length} octets at {at} of {len(body)}")
        yield number, (kind, body[at + _ENTRY.size : at + length])
        at += length


def _send(conversation: Conversation, group: Group, command: int) -> Refusal | None:
    xid = conversation.take(1)
    barrier, closing = conversation.barrier()
    conversation.write(message(group, command, xid) + closing)
    conversation.wait(barrier)
    return conversation.errors(xid, 1).get(xid)


def message(group: Group, command: int, xid: int) -> bytes:
    """One ofp_group_mod; `command`: 0 makes, 1 replaces."""
    body = _body(group)
    head = _MOD.pack(command, _SELECT, group.number, len(body) - len(_METHOD), _ALL_BUCKETS)
    size = HEADER.size + len(head) + len(body)
    return HEADER.pack(VERSION, _GROUP_MOD, size, xid) + head + body


def _body(group: Group) -> bytes:
    """Buckets and properties, as they are sent and as Open vSwitch lists them."""
    return b"".join(_bucket(group, number) for number in range(group.buckets)) + _METHOD


def _bucket(group: Group, number: int) -> bytes:
    """Writes its number, and goes on. Actions are the same in OpenFlow 1.4 and 1.5."""
    actions = bytearray()
    for action in (
        _parser.OFPActionSetField(**{find(group.field.name).known: number}),
        _parser.NXActionResubmitTable(table_id=group.table),
    ):
        part = bytearray()
        action.serialize(part, 0)
        actions += part
    size = _BUCKET.size + len(actions) + len(_WEIGHT)
    return _BUCKET.pack(size, len(actions), number) + bytes(actions) + _WEIGHT
