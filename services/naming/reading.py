"""Reading: octets of a port to one question, or why they are none; and the octets of refusals.

Place: before `services.naming.answering`. A workload wrote the octets: nothing in them may raise. Must not
look at any zone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype

from services.naming.labels import Labels
from services.naming.outcome import Kind, Outcome, Question, Reply, Silence, Transport

PAYLOAD: Final = 1232
"""Octets of UDP that need no fragment on any path of IPv6 (1,280 less headers); none is sent above it."""
PLAIN: Final = 512
"""Octets for who says nothing of EDNS (RFC 1035 section 2.3.4)."""
STREAM: Final = 65_535
_LONGEST: Final = 1232
"""Of a question: a name and EDNS with options are far less."""
_HEADER: Final = struct.Struct("!6H")
_RESPONSE: Final = 0x8000
_META: Final = range(128, 256)
"""Types that are questions or parts of messages, never data (RFC 6895 section 3.1)."""
_TRANSFERS: Final = frozenset({dns.rdatatype.AXFR, dns.rdatatype.IXFR})


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and how its answer has to look. `limit`: octets that the answer may have."""

    question: Question
    message: dns.message.Message
    limit: int


def read(wire: bytes, transport: Transport) -> Asked | Outcome:
    """The question, or what becomes of octets that are none."""
    if len(wire) < _HEADER.size:
        return Silence(Kind.SHORT)
    _, flags, questions, answers, authority, more = _HEADER.unpack_from(wire)
    if flags & _RESPONSE:
        return Silence(Kind.REPLY)
    if len(wire) > _LONGEST:
        return _bare(wire, Kind.LONG, dns.rcode.FORMERR)
    if flags >> 11 & 0xF != dns.opcode.QUERY:
        return _bare(wire, Kind.OPCODE, dns.rcode.NOTIMP)
    if (questions, answers) != (1, 0) or authority > 1 or more > 1:
        return _bare(wire, Kind.COUNTS, dns.rcode.FORMERR)
    try:
        message = dns.message.from_wire(wire)
    except Exception:  # noqa: BLE001  a workload wrote it: whatever the library says of it, it is garbled
        return _bare(wire, Kind.GARBLED, dns.rcode.FORMERR)
    return _judge(message, wire, transport)


def _judge(message: dns.message.Message, wire: bytes, transport: Transport) -> Asked | Outcome:
    if message.edns > 0:
        return refuse(message, Kind.VERSION, dns.rcode.BADVERS)
    if len(message.question) != 1 or message.additional:
        return _bare(wire, Kind.COUNTS, dns.rcode.FORMERR)
    asked = message.question[0]
    if asked.rdtype in _TRANSFERS:
        return refuse(message, Kind.TRANSFER, dns.rcode.REFUSED)
    if message.authority:
        return _bare(wire, Kind.COUNTS, dns.rcode.FORMERR)
    if asked.rdclass != dns.rdataclass.IN:
        return refuse(message, Kind.CLASS, dns.rcode.REFUSED)
    if asked.rdtype != dns.rdatatype.ANY and (
        asked.rdtype in _META or asked.rdtype in (0, dns.rdatatype.OPT)
    ):
        return refuse(message, Kind.TYPE, dns.rcode.REFUSED)
    question = Question(
        lowered(asked.name),
        int(asked.rdtype),
        int(message.ednsflags & dns.flags.DO != 0),
        int(message.flags & dns.flags.CD != 0),
    )
    return Asked(question, message, _limit(message, transport))


def refuse(message: dns.message.Message, kind: Kind, rcode: dns.rcode.Rcode) -> Reply:
    """A response that says no more than the code."""
    response = respond(message)
    response.set_rcode(rcode)
    return Reply(kind, response.to_wire())


def respond(message: dns.message.Message) -> dns.message.Message:
    """An empty response to it, with EDNS if it has that (RFC 6891 section 6.1.1)."""
    return dns.message.make_response(message, recursion_available=True, our_payload=PAYLOAD)


def lowered(name: dns.name.Name) -> Labels:
    """As zones have names; of ASCII letters only, as RFC 4343 has it."""
    return tuple(label.lower() for label in name.labels if label)


def _limit(message: dns.message.Message, transport: Transport) -> int:
    if transport is Transport.TCP:
        return STREAM
    return min(max(message.payload, PLAIN), PAYLOAD) if message.edns >= 0 else PLAIN


def _bare(wire: bytes, kind: Kind, rcode: dns.rcode.Rcode) -> Reply:
    """A header alone: what can't be read can't be repeated."""
    identity, flags, *_ = _HEADER.unpack_from(wire)
    # Opcode and RD as they came (RFC 1035 section 4.1.1).
    said = _RESPONSE | flags & 0x7900 | rcode
    return Reply(kind, _HEADER.pack(identity, said, 0, 0, 0, 0))
