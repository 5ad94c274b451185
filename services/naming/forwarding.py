"""Forwarding: a question for somebody outside as octets, what of their answer is believed, and what the port
that asked gets of it.

Place: between `controller.services`, which sends and remembers, and `services.naming.answering`. Chance and
time are handed in. Others outside wrote the answers: nothing in them may raise, and none may lead a port's
programs into its tenant's own networks (DNS rebinding).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

from services.naming.answering import cut, local
from services.naming.directory import Directory, Zone
from services.naming.labels import Labels
from services.naming.outcome import Asker, Forward, Kind, Question, Reply, Transport
from services.naming.reading import PAYLOAD, Asked, lowered, read, respond
from services.naming.rebinding import leads
from services.naming.records import spelled

_LONGEST: Final = 3600
_LONGEST_NEGATIVE: Final = 300
_FAILURE: Final = 5
"""Seconds (RFC 9520 section 3.2: 1 at least, 300 at most)."""
_CHAIN: Final = 16
_CNAME, _SOA, _RRSIG = dns.rdatatype.CNAME, dns.rdatatype.SOA, dns.rdatatype.RRSIG
_CARRIED: Final = frozenset({dns.rcode.NOERROR, dns.rcode.NXDOMAIN})


@dataclass(frozen=True, slots=True)
class Sent:
    """A question as it leaves: what an answer must repeat to be one."""

    question: Question
    identity: int
    name: dns.name.Name
    wire: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """What is believed of an answer. `life`: for how many seconds; 0 = for the port that asked alone.
    `size`: octets that it came in."""

    kind: Kind
    rcode: dns.rcode.Rcode
    answer: tuple[dns.rrset.RRset, ...] = ()
    authority: tuple[dns.rrset.RRset, ...] = ()
    life: int = 0
    flags: int = 0
    size: int = 0


FAILED: Final = Kept(Kind.FAILED, dns.rcode.SERVFAIL, life=_FAILURE)


@dataclass(frozen=True, slots=True)
class Partial:
    """The answer was cut: it has to be asked for by TCP."""


def prepare(question: Question, chance: int) -> Sent:
    """With nothing in it of the port's but what it asks. `chance`: 272 bits: the id, and the case of letters,
    which an answer must repeat too, so that who guesses has more to guess (RFC 5452 section 9)."""
    name = spelled(_cased(question.name, chance >> 16))
    message = dns.message.QueryMessage(id=chance & 0xFFFF)
    message.flags = dns.flags.RD | (dns.flags.CD if question.unchecked else 0)
    message.find_rrset(
        message.question, name, dns.rdataclass.IN, dns.rdatatype.RdataType(question.rdtype), create=True
    )
    message.use_edns(0, dns.flags.DO if question.dnssec else 0, payload=PAYLOAD)
    return Sent(question, message.id, name, message.to_wire())


def accept(sent: Sent, wire: bytes, zone: Zone, directory: Directory) -> Kept | Partial | None:
    """What is believed of octets that came back; None: they are no answer to this, wait for one that is."""
    try:
        message = dns.message.from_wire(wire, ignore_trailing=False)
    except Exception:  # noqa: BLE001  anybody may have sent it: whatever the library says, it is no answer
        return None
    if not _answers(sent, message):
        return None
    if message.flags & dns.flags.TC:
        return Partial()
    if message.rcode() not in _CARRIED:
        return FAILED
    return replace(_believe(sent.question, message, zone, directory.suffix), size=len(wire))


def finish(
    forward: Forward,
    kept: Kept,
    age: int,
    asker: Asker,
    directory: Directory,
    transport: Transport,
) -> Reply | None:
    """The answer for the port, `age` seconds after it was believed.

    None if nothing is to be said. What was remembered is judged again: networks may have come since.
    """
    asked = read(forward.wire, transport)
    zone = directory.zones.get(asker.tenant)
    if not isinstance(asked, Asked) or zone is None:
        return None
    if kept.kind is Kind.FORWARDED and leads(kept.answer, zone):
        kept = _FILTERED
    response = respond(asked.message)
    response.set_rcode(kept.rcode)
    # AD only for who asks for it (RFC 6840 section 5.7).
    if asked.question.dnssec or asked.message.flags & dns.flags.AD:
        response.flags |= kept.flags & dns.flags.AD
    response.flags |= asked.message.flags & dns.flags.CD
    for section, kept_sets in ((response.answer, kept.answer), (response.authority, kept.authority)):
        section.extend(_aged(rrset, age) for rrset in kept_sets)
    if response.answer and lowered(response.answer[0].name) == asked.question.name:
        # As the port wrote it, not as we did.
        _rename(response.answer, asked.message.question[0].name)
    if kept.kind is Kind.FILTERED and asked.message.edns >= 0:
        response.use_edns(0, payload=PAYLOAD, options=[dns.edns.EDEOption(dns.edns.EDECode.FILTERED)])
    return Reply(kept.kind, cut(response, asked))


_FILTERED: Final = Kept(Kind.FILTERED, dns.rcode.NOERROR, life=_FAILURE)


def _cased(name: Labels, bits: int) -> Labels:
    cased = []
    for label in name:
        letters = bytearray(label)
        for place, octet in enumerate(letters):
            if 97 <= octet <= 122 and bits & 1:
                letters[place] = octet - 32
            bits >>= 1
        cased.append(bytes(letters))
    return tuple(cased)


def _answers(sent: Sent, message: dns.message.Message) -> bool:
    """RFC 5452 section 9.1; names octet by octet."""
    if message.id != sent.identity or not message.flags & dns.flags.QR or message.opcode() != 0:
        return False
    if len(message.question) != 1:
        return False
    asked = message.question[0]
    return (
        asked.name.labels == sent.name.labels
        and asked.rdtype == sent.question.rdtype
        and asked.rdclass == dns.rdataclass.IN
    )


def _believe(question: Question, message: dns.message.Message, zone: Zone, suffix: Labels) -> Kept:
    """Only what leads from the name asked for to what was asked for; nothing that came along with it."""
    answer, last = _chain(question, message)
    if any(local(lowered(rrset.name), zone, suffix) for rrset in answer) or local(last, zone, suffix):
        return _FILTERED
    if leads(answer, zone):
        return _FILTERED
    flags = message.flags & dns.flags.AD
    rcode = message.rcode()
    if rcode == dns.rcode.NOERROR and any(rrset.rdtype == question.rdtype for rrset in answer):
        life = min(_LONGEST, *(rrset.ttl for rrset in answer))
        return Kept(Kind.FORWARDED, rcode, answer, (), life, flags)
    above = tuple(
        rrset
        for rrset in _sound(message.authority)
        if rrset.rdtype == _SOA and _above(lowered(rrset.name), last)
    )
    proof = _proof(question, message)
    return Kept(Kind.FORWARDED, rcode, answer, above[:1] + proof, _negative(answer, above), flags)


def _chain(question: Question, message: dns.message.Message) -> tuple[tuple[dns.rrset.RRset, ...], Labels]:
    """The records on the way from the question's name, with their signatures, and the name it ends at."""
    last, way = question.name, []
    for _ in range(_CHAIN):
        here = [rrset for rrset in _sound(message.answer) if lowered(rrset.name) == last]
        found = [rrset for rrset in here if rrset.rdtype == question.rdtype]
        step = found or [rrset for rrset in here if rrset.rdtype == _CNAME]
        if not step:
            break
        way += step[:1]
        if question.dnssec:
            way += [one for one in here if one.rdtype == _RRSIG and one.covers == step[0].rdtype]
        if found:
            break
        last = lowered(step[0][0].target)
    return tuple(way), last


def _sound(rrsets: list[dns.rrset.RRset]) -> list[dns.rrset.RRset]:
    return [rrset for rrset in rrsets if rrset.rdclass == dns.rdataclass.IN and len(rrset)]


def _proof(question: Question, message: dns.message.Message) -> tuple[dns.rrset.RRset, ...]:
    """What shows a validating port that there is nothing (RFC 4035 section 3.1.3)."""
    if not question.dnssec:
        return ()
    kinds = (dns.rdatatype.NSEC, dns.rdatatype.NSEC3, _RRSIG)
    return tuple(rrset for rrset in _sound(message.authority) if rrset.rdtype in kinds)


def _negative(answer: tuple[dns.rrset.RRset, ...], above: tuple[dns.rrset.RRset, ...]) -> int:
    """RFC 2308 section 5: without an SOA, not at all."""
    if not above:
        return 0
    least = min(above[0].ttl, above[0][0].minimum, *(rrset.ttl for rrset in answer))
    return int(min(least, _LONGEST_NEGATIVE))


def _above(origin: Labels, name: Labels) -> bool:
    return not origin or name[-len(origin) :] == origin


def _aged(rrset: dns.rrset.RRset, age: int) -> dns.rrset.RRset:
    """With what is left of its TTL, which is never more than what we keep ourselves."""
    left = max(0, min(rrset.ttl, _LONGEST) - age)
    return dns.rrset.from_rdata_list(rrset.name, left, list(rrset))


def _rename(rrsets: list[dns.rrset.RRset], name: dns.name.Name) -> None:
    for rrset in rrsets:
        if rrset.name == name:
            rrset.name = name
