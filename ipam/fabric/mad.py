"""MAD: the management datagrams by which a port says who it is and what its partition keys are.

Place: pure; layouts for `survey`, which asks, and `umad`, which carries. Reads only: nothing here can change
a port. Must not take an answer for more than it says: whoever reads one checks who sent it and to what.

Section numbers are those of the InfiniBand Architecture Specification 1.2.1, volume 1.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final

from model.fabric import Guid

SIZE: Final = 256
"""Octets of a datagram (13.4.2)."""
ENTRIES: Final = 32
"""Partition keys in a block of a P_KeyTable (14.2.5.7)."""
LIDS: Final = range(1, 0xC000)
"""Of one port each (4.1.3); 0xc000 and above are groups."""
BUSY: Final = 0x0001
"""Status: ask again (13.4.7)."""

_VERSION: Final = 1
_GET: Final = 0x01
_GET_RESPONSE: Final = 0x81
"""Methods (13.4.5)."""
_TRANSACTIONS: Final = 1 << 32

_HEADER: Final = struct.Struct(">BBBBHHQHHI")
"""Base version, class, its version, method, status, of the class, transaction, attribute, -, modifier
(13.4.3)."""
_NODE_INFO: Final = struct.Struct(">BBBBQQQH")
"""Base version, class version, type, ports, GUIDs of system, node and port, PartitionCap (14.2.5.3)."""
_BLOCK: Final = struct.Struct(f">{ENTRIES}H")
_DATA: Final = 64
"""Where the data of a subnet management packet by LID begin: after M_Key and 32 reserved octets
(14.2.1.1)."""
_SA_MASK: Final = struct.Struct(">Q")
_SA_MASK_AT: Final = 48
_SA_DATA: Final = 56
"""After RMPP's header, SM_Key, offset and component mask (15.2.1.1)."""
_PATH: Final = struct.Struct(">Q16s16sHHIBB")
"""Service, GIDs of destination and source, their LIDs, flow, traffic class, number of paths (15.2.5.16)."""
_BY_GIDS: Final = 1 << 2 | 1 << 3 | 1 << 12
"""Component mask: DGID, SGID, NumbPath (15.2.5.16)."""
_ONE_PATH: Final = 1


class Class(Enum):
    """Management class (13.4.4), and its version: subnet management by LID, and the subnet administrator."""

    SUBNET = (0x01, 1)
    ADMINISTRATION = (0x03, 2)


class Attribute(Enum):
    """Of which class: NodeInfo and P_KeyTable (14.2.5), PathRecord (15.2.5)."""

    NODE_INFO = (Class.SUBNET, 0x0011)
    P_KEY_TABLE = (Class.SUBNET, 0x0016)
    PATH_RECORD = (Class.ADMINISTRATION, 0x0035)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whom. `transaction`: 32 bits; the kernel has the upper half for itself."""

    lid: int
    attribute: Attribute
    modifier: int
    transaction: int
    datagram: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """Who answers at a LID: `capacity` of its table of partition keys, in entries."""

    guid: Guid
    capacity: int


def node_info(lid: int, transaction: int) -> Question:
    """Who are you?"""
    return _asked(lid, Attribute.NODE_INFO, 0, transaction, b"", _DATA)


def p_key_table(lid: int, block: int, transaction: int) -> Question:
    """A block of an end port's table. M_Key is zero: ports at protection level 1 answer who only reads
    (14.2.4.1), and no one at level 2 or 3 would have told us anything before.
    """
    return _asked(lid, Attribute.P_KEY_TABLE, block, transaction, b"", _DATA)


def path_record(lid: int, source: bytes, destination: bytes, transaction: int) -> Question:
    """Where is the port with this GID (16 octets)? Of the subnet administrator at this LID."""
    body = _SA_MASK.pack(_BY_GIDS) + _PATH.pack(0, destination, source, 0, 0, 0, 0, _ONE_PATH)
    return _asked(lid, Attribute.PATH_RECORD, 0, transaction, body, _SA_MASK_AT)


def transaction(datagram: bytes) -> int:
    """The half of it that is ours. ValueError: too short to be a datagram."""
    if len(datagram) < SIZE:
        raise ValueError(f"a management datagram has {SIZE} octets")
    return int(_HEADER.unpack_from(datagram)[6]) % _TRANSACTIONS


def answers(question: Question, lid: int, datagram: bytes) -> bool:
    """Whether this came from whom we asked, as the answer to that. Its status is another matter."""
    kind, number = question.attribute.value
    said = _HEADER.unpack_from(datagram)
    _, known, version, method, _, _, transacted, attribute, _, modifier = said
    return (
        lid == question.lid
        and (known, version) == kind.value
        and method == _GET_RESPONSE
        and transacted % _TRANSACTIONS == question.transaction
        and (attribute, modifier) == (number, question.modifier)
    )


def status(datagram: bytes) -> int:
    """0 = it was done (13.4.7); else the answer's data mean nothing."""
    return int(_HEADER.unpack_from(datagram)[4])


def identity(datagram: bytes) -> Identity:
    """From an answer with NodeInfo."""
    *_, guid, capacity = _NODE_INFO.unpack_from(datagram, _DATA)
    return Identity(Guid(guid), capacity)


def block(datagram: bytes) -> tuple[int, ...]:
    """From an answer with a block of a P_KeyTable: 32 entries of 16 bits."""
    return _BLOCK.unpack_from(datagram, _DATA)


def place(datagram: bytes) -> tuple[bytes, int]:
    """From an answer with a PathRecord: the destination's GID, and its LID."""
    _, destination, _, lid, *_ = _PATH.unpack_from(datagram, _SA_DATA)
    return destination, lid


def _asked(lid: int, attribute: Attribute, modifier: int, transaction: int, body: bytes, at: int) -> Question:
    kind, number = attribute.value
    known, version = kind.value
    head = _HEADER.pack(_VERSION, known, version, _GET, 0, 0, transaction, number, 0, modifier)
    datagram = (head.ljust(at, b"\0") + body).ljust(SIZE, b"\0")
    return Question(lid, attribute, modifier, transaction, datagram)
