"""Shapes of policy: subjects, peers and services as clauses of conjunctions, and what concludes them.

Place: filled by the compiler of policy; one set of shapes for each table. Tables and registers are given,
since they are not among the pipeline's yet. Must not know rules.

A shape with a masked slot is never filled with a mask of all ones or zero: such flows have shapes of their
own (pipelines.shapes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from model.flow import Action, Conjunction, Field, Match, Shape, Slot
from model.policy import Protocol
from pipelines import fields as f

CONJ_ID: Final = Field("conj_id", 32)
TCP_DST: Final = Field("tcp_dst", 16)
SCTP_DST: Final = Field("sctp_dst", 16)

HEIGHT: Final = Slot("height", 16)
NUMBER: Final = Slot("number", 32)
SUBJECT: Final = Slot("subject", 32)
SCOPE: Final = Slot("scope", 32)
IP4: Final = Slot("ip4", 32)
IP6: Final = Slot("ip6", 128)
MASK4: Final = Slot("mask4", 32)
MASK6: Final = Slot("mask6", 128)
PORTS: Final = Slot("ports", 16)
MASK16: Final = Slot("mask16", 16)
PROTOCOL: Final = Slot("protocol", 8)
KIND: Final = Slot("kind", 8)
CODE: Final = Slot("code", 8)

DESTINATIONS: Final = {Protocol.TCP: TCP_DST, Protocol.UDP: f.UDP_DST, Protocol.SCTP: SCTP_DST}
_TYPES: Final = {4: f.IPV4, 6: f.IPV6}
_ICMP: Final = {
    4: (Protocol.ICMP, f.ICMP_TYPE, f.ICMP_CODE),
    6: (Protocol.ICMPV6, f.ICMPV6_TYPE, f.ICMPV6_CODE),
}


@dataclass(frozen=True, slots=True)
class Clause:
    """Which one of how many."""

    number: int
    of: int


@dataclass(frozen=True, slots=True)
class End:
    """What a rule's match leads to. Its actions may use NUMBER, and only that."""

    name: str
    actions: tuple[Action, ...]
    goto: int | None


@dataclass(frozen=True, slots=True)
class Sides:
    """Where a stage finds the subject's key, the scope of the other end, and that end's address."""

    subject: Field
    scope: Field
    address4: Field
    address6: Field


@cache
def subject(table: int, sides: Sides, clause: Clause) -> Shape:
    """One port as a subject."""
    return _clause(table, "subject", clause, (Match(sides.subject, SUBJECT),), (SUBJECT,))


@cache
def peer(table: int, sides: Sides, clause: Clause, family: int) -> Shape:
    """An address in a scope."""
    match = (Match(sides.scope, SCOPE), _type(family), Match(*_address(sides, family)))
    return _clause(table, f"peer{family}", clause, match, (SCOPE, _address(sides, family)[1]))


@cache
def block(table: int, sides: Sides, clause: Clause, family: int, length: int) -> Shape:
    """A prefix, wherever its addresses are; of the lengths that have shapes of their own, one flow is all
    addresses and one is a single one."""
    field, slot = _address(sides, family)
    if length == 0:
        return _clause(table, f"all{family}", clause, (_type(family),), ())
    if length == field.bits:
        return _clause(table, f"address{family}", clause, (_type(family), Match(field, slot)), (slot,))
    mask = MASK4 if family == 4 else MASK6
    match = (_type(family), Match(field, slot, mask))
    return _clause(table, f"block{family}", clause, match, (slot, mask))


@cache
def service(table: int, clause: Clause, family: int, protocol: Protocol, mask: int) -> Shape:
    """Destination ports of a protocol that has some: one, a masked set of them, or, with mask 0, all."""
    head = (_type(family), Match(f.IP_PROTO, int(protocol)))
    name = f"{protocol.name.lower()}{family}"
    field = DESTINATIONS[protocol]
    if mask == 0:
        return _clause(table, f"{name}-all", clause, head, ())
    if mask == (1 << field.bits) - 1:
        return _clause(table, f"{name}-one", clause, (*head, Match(field, PORTS)), (PORTS,))
    return _clause(table, name, clause, (*head, Match(field, PORTS, MASK16)), (PORTS, MASK16))


@cache
def other_protocol(table: int, clause: Clause, family: int) -> Shape:
    """Any protocol, whatever it carries."""
    return _clause(
        table, f"protocol{family}", clause, (_type(family), Match(f.IP_PROTO, PROTOCOL)), (PROTOCOL,)
    )


@cache
def icmp(table: int, clause: Clause, family: int, slots: tuple[Slot, ...]) -> Shape:
    """Messages of ICMP by what `slots` say: KIND, CODE, both or none."""
    protocol, kind, code = _ICMP[family]
    named = {KIND: kind, CODE: code}
    match = (
        _type(family),
        Match(f.IP_PROTO, int(protocol)),
        *(Match(named[slot], slot) for slot in slots),
    )
    words = "-".join(slot.name for slot in slots)
    return _clause(table, f"icmp{family}-{words}", clause, match, slots)


@cache
def concluded(table: int, end: End) -> Shape:
    """What becomes of a packet that met all clauses of a rule."""
    return _shape(table, f"then-{end.name}", (Match(CONJ_ID, NUMBER),), (NUMBER,), end.actions, end.goto)


@cache
def alone(table: int, sides: Sides, end: End) -> Shape:
    """What becomes of all packets of a subject."""
    slots = (SUBJECT, NUMBER) if end.actions else (SUBJECT,)
    return _shape(table, f"alone-{end.name}", (Match(sides.subject, SUBJECT),), slots, end.actions, end.goto)


@cache
def hit(table: int, sides: Sides, noted: Field, goto: int) -> Shape:
    """What is let through, and is noted as what a counting rule would have dropped at a port."""
    match = (Match(noted, NUMBER), Match(sides.subject, SUBJECT))
    return _shape(table, "hit", match, (NUMBER, SUBJECT), (), goto)


def miss(table: int, actions: tuple[Action, ...], goto: int) -> Shape:
    """What no rule of a table takes."""
    return Shape(f"policy{table}-miss", table, 0, (), actions, goto)


def _clause(
    table: int, name: str, clause: Clause, match: tuple[Match, ...], slots: tuple[Slot, ...]
) -> Shape:
    full = f"{name}-{clause.number + 1}of{clause.of}"
    part = Conjunction(NUMBER, clause.number, clause.of)
    return _shape(table, full, match, (*slots, NUMBER), (part,), None)


def _shape(
    table: int,
    name: str,
    match: tuple[Match, ...],
    slots: tuple[Slot, ...],
    actions: tuple[Action, ...],
    goto: int | None,
) -> Shape:
    return Shape(f"policy{table}-{name}", table, HEIGHT, match, actions, goto, (HEIGHT, *slots))


def _type(family: int) -> Match:
    return Match(f.ETH_TYPE, _TYPES[family])


def _address(sides: Sides, family: int) -> tuple[Field, Slot]:
    return (sides.address4, IP4) if family == 4 else (sides.address6, IP6)
