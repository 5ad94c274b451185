"""Shapes of policy: subjects, peers and services as clauses of conjunctions, and what concludes them.

Place: filled by `pipelines.policy.clauses`; one set of shapes for each table of a chain. Must not know rules.

All of them look at what began the connection, as conntrack says it, so that replies are judged by the same
flows. A shape with a masked slot is never filled with a mask of all ones or zero: such flows have shapes of
their own (pipelines.shapes).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Final

from model.flow import Action, Conjunction, Field, Match, Shape, Slot
from model.policy import Protocol
from pipelines import fields as f

HEIGHT: Final = Slot("height", 16)
NUMBER: Final = Slot("number", 32)
OTHER: Final = Slot("other", 32)
"""The number of the same rule in its other state."""
GROUP: Final = Slot("group", 64)
SUBJECT: Final = Slot("subject", 32)
SCOPE: Final = Slot("scope", 32)
DOMAIN: Final = Slot("domain", 32)
IP4: Final = Slot("ip4", 32)
IP6: Final = Slot("ip6", 128)
MASK4: Final = Slot("mask4", 32)
MASK6: Final = Slot("mask6", 128)
PORTS: Final = Slot("ports", 16)
MASK16: Final = Slot("mask16", 16)
PROTOCOL: Final = Slot("protocol", 8)
KIND: Final = Slot("kind", 16)
CODE: Final = Slot("code", 16)

_TYPES: Final = {4: f.IPV4, 6: f.IPV6}
_ICMP: Final = {4: Protocol.ICMP, 6: Protocol.ICMPV6}
_SAID: Final = {KIND: f.CT_SPORT, CODE: f.CT_DPORT}
"""Where conntrack keeps the type and the code of an ICMP message that began a connection."""
_KNOWN: Final = f.CT_TRACKED | f.CT_INVALID
_IS_TRACKED: Final = Match(f.CT_STATE, f.CT_TRACKED, _KNOWN)
_ASKED: Final = Match(f.CT_STATE, f.CT_TRACKED, _KNOWN | f.CT_REPLY)
_ANSWERED: Final = Match(f.CT_STATE, f.CT_TRACKED | f.CT_REPLY, _KNOWN | f.CT_REPLY)
_OF_SCTP: Final = (("asked", _ASKED, f.SCTP_DST), ("answered", _ANSWERED, f.SCTP_SRC))
"""The userspace data path knows no ports of SCTP: they are looked for in the packet, of either direction."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Which one of how many, of the conjunctions of so many states of a rule."""

    number: int
    of: int
    states: int = 1


@dataclass(frozen=True, slots=True)
class End:
    """What a rule's match leads to. Its actions may use NUMBER, and only that."""

    name: str
    actions: tuple[Action, ...]
    goto: int | None


@dataclass(frozen=True, slots=True)
class Sides:
    """Where a stage finds the name of the subject's group, the scope of the other end, and its address.
    `domain`: whose the subject is, where several tenants have rules at one height; None = all rules have one
    owner."""

    group: Field
    scope: Field
    address4: Field
    address6: Field
    domain: Field | None = None


@cache
def subject(table: int, sides: Sides, clause: Clause) -> Shape:
    """A group as subjects."""
    return _clause(table, "subject", clause, (Match(sides.group, GROUP),), (GROUP,))


@cache
def peer(table: int, sides: Sides, clause: Clause, family: int) -> Shape:
    """An address in a scope."""
    match = (Match(sides.scope, SCOPE), _type(family), _IS_TRACKED, Match(*_address(sides, family)))
    return _clause(table, f"peer{family}", clause, match, (SCOPE, _address(sides, family)[1]))


@cache
def block(table: int, sides: Sides, clause: Clause, family: int, length: int) -> Shape:
    """A prefix, wherever its addresses are; of the lengths that have shapes of their own, one flow is all
    addresses and one is a single one."""
    field, slot = _address(sides, family)
    if length == 0:
        return _of_owner(table, f"all{family}", sides, clause, (_type(family),), ())
    head = (_type(family), _IS_TRACKED)
    if length == field.bits:
        return _of_owner(table, f"address{family}", sides, clause, (*head, Match(field, slot)), (slot,))
    mask = MASK4 if family == 4 else MASK6
    match = (*head, Match(field, slot, mask))
    return _of_owner(table, f"block{family}", sides, clause, match, (slot, mask))


@cache
def service(
    table: int, sides: Sides, clause: Clause, family: int, protocol: Protocol, mask: int
) -> tuple[Shape, ...]:
    """Destination ports of a protocol that has some: one, a masked set of them, or, with mask 0, all."""
    name = f"{protocol.name.lower()}{family}"
    head = (_type(family), _IS_TRACKED, Match(f.CT_PROTO, int(protocol)))
    if mask == 0:
        return (_of_owner(table, f"{name}-all", sides, clause, head, ()),)
    if protocol is not Protocol.SCTP:
        return (_of_ports(table, name, sides, clause, head, f.CT_DPORT, mask),)
    carried = Match(f.IP_PROTO, int(protocol))
    return tuple(
        _of_ports(table, f"{name}-{way}", sides, clause, (_type(family), state, carried), field, mask)
        for way, state, field in _OF_SCTP
    )


@cache
def other_protocol(table: int, sides: Sides, clause: Clause, family: int) -> Shape:
    """Any protocol, whatever it carries."""
    match = (_type(family), _IS_TRACKED, Match(f.CT_PROTO, PROTOCOL))
    return _of_owner(table, f"protocol{family}", sides, clause, match, (PROTOCOL,))


@cache
def icmp(table: int, sides: Sides, clause: Clause, family: int, slots: tuple[Slot, ...]) -> Shape:
    """Messages of ICMP by what `slots` say: KIND, CODE, both or none."""
    head = (_type(family), _IS_TRACKED, Match(f.CT_PROTO, int(_ICMP[family])))
    match = (*head, *(Match(_SAID[slot], slot) for slot in slots))
    words = "-".join(slot.name for slot in slots)
    return _of_owner(table, f"icmp{family}-{words}", sides, clause, match, slots)


@cache
def concluded(table: int, end: End) -> Shape:
    """What becomes of a packet that met all clauses of a rule."""
    return _shape(table, f"then-{end.name}", (Match(f.CONJ_ID, NUMBER),), (NUMBER,), end.actions, end.goto)


@cache
def alone(table: int, sides: Sides, end: End) -> Shape:
    """What becomes of all packets of a group."""
    slots = (GROUP, NUMBER) if end.actions else (GROUP,)
    return _shape(table, f"alone-{end.name}", (Match(sides.group, GROUP),), slots, end.actions, end.goto)


@cache
def hit(table: int, subject: Field, noted: Field, goto: int) -> Shape:
    """What is let through, and is noted as what a counting rule would have dropped at a port."""
    match = (Match(noted, NUMBER), Match(subject, SUBJECT))
    return _shape(table, "hit", match, (NUMBER, SUBJECT), (), goto)


def miss(table: int, actions: tuple[Action, ...], goto: int) -> Shape:
    """What no rule of a table takes."""
    return Shape(f"policy{table}-miss", table, 0, (), actions, goto)


def _of_ports(
    table: int, name: str, sides: Sides, clause: Clause, head: tuple[Match, ...], field: Field, mask: int
) -> Shape:
    if mask == (1 << field.bits) - 1:
        return _of_owner(table, f"{name}-one", sides, clause, (*head, Match(field, PORTS)), (PORTS,))
    return _of_owner(table, name, sides, clause, (*head, Match(field, PORTS, MASK16)), (PORTS, MASK16))


def _of_owner(
    table: int, name: str, sides: Sides, clause: Clause, match: tuple[Match, ...], slots: tuple[Slot, ...]
) -> Shape:
    """A clause that says nothing of subjects: another tenant's rule may have the same at this height."""
    if sides.domain is None:
        return _clause(table, name, clause, match, slots)
    return _clause(table, name, clause, (Match(sides.domain, DOMAIN), *match), (DOMAIN, *slots))


def _clause(
    table: int, name: str, clause: Clause, match: tuple[Match, ...], slots: tuple[Slot, ...]
) -> Shape:
    numbers = (NUMBER, OTHER)[: clause.states]
    full = f"{name}-{clause.number + 1}of{clause.of}" + ("-both" if clause.states > 1 else "")
    parts = tuple(Conjunction(number, clause.number, clause.of) for number in numbers)
    return _shape(table, full, match, (*slots, *numbers), parts, None)


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
