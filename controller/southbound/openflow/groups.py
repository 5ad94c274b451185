"""Groups on the wire: the few select groups of the pipeline, made before all flows and held as declared.

Place: used by `channel`, at the start of each connection and with each audit: a flow whose group is missing
would be refused, and a group that somebody deletes takes its flows along. Must not touch another group.
Source: OpenFlow 1.4.1 sections 7.3.4.3 and 7.3.5.9.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final

from os_ken.ofproto import ofproto_v1_4, ofproto_v1_4_parser
from os_ken.ofproto.ofproto_protocol import ProtocolDesc

from controller.southbound.openflow.conversation import Conversation, Refusal
from controller.southbound.openflow.fields import find
from controller.southbound.openflow.stream import HEADER, VERSION
from model.flow import Group

GROUP_DESC: Final = 7
_ENTRY: Final = struct.Struct("!HBxI")
_EXISTS: Final = Refusal(6, 0)
"""OFPET_GROUP_MOD_FAILED, OFPGMFC_GROUP_EXISTS."""
_of: Final = ofproto_v1_4
_parser: Final = ofproto_v1_4_parser


def ensure(conversation: Conversation, wanted: Iterable[Group]) -> tuple[int, ...]:
    """Make or correct what is not as declared; the numbers of these. ValueError if the switch refuses."""
    found = _read(conversation)
    amiss = tuple(group for group in wanted if found.get(group.number) != _declared(group))
    for group in amiss:
        refusal = _send(conversation, group, _of.OFPGC_ADD)
        if refusal == _EXISTS:
            refusal = _send(conversation, group, _of.OFPGC_MODIFY)
        if refusal is not None:
            raise ValueError(f"group {group.number:#x} refused: {refusal}")
    return tuple(group.number for group in amiss)


def _read(conversation: Conversation) -> dict[int, bytes]:
    """What the switch has: number to type and buckets."""
    return dict(_entries(b"".join(conversation.multipart(GROUP_DESC, b""))))


def _entries(body: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _ENTRY.size <= len(body):
        length, kind, number = _ENTRY.unpack_from(body, at)
        if length < _ENTRY.size or at + length > len(body):
            raise ValueError(f"group of {length} octets at {at} of {len(body)}")
        yield number, bytes([kind]) + body[at + _ENTRY.size : at + length]
        at += length


def _send(conversation: Conversation, group: Group, command: int) -> Refusal | None:
    xid = conversation.take(1)
    barrier, closing = conversation.barrier()
    conversation.write(message(group, command, xid) + closing)
    conversation.wait(barrier)
    return conversation.errors(xid, 1).get(xid)


def message(group: Group, command: int, xid: int) -> bytes:
    """One ofp_group_mod. All buckets weigh the same; none watches a port."""
    buckets = [_bucket(group, number) for number in range(group.buckets)]
    made = _parser.OFPGroupMod(
        ProtocolDesc(version=VERSION), command, _of.OFPGT_SELECT, group.number, buckets
    )
    made.set_xid(xid)
    made.serialize()
    return bytes(made.buf)


def _bucket(group: Group, number: int) -> object:
    load = _parser.OFPActionSetField(**{find(group.field.name).known: number})
    resubmit = _parser.NXActionResubmitTable(table_id=group.table)
    return _parser.OFPBucket(1, _of.OFPP_ANY, _of.OFPG_ANY, [load, resubmit])


def _declared(group: Group) -> bytes:
    """As `_read` gives it."""
    body = message(group, _of.OFPGC_ADD, 0)[HEADER.size :]
    return body[2:3] + body[8:]
