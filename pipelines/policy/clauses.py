"""Clauses: one rule as flows of one table: its subjects, its peers, its services, and what concludes it.

Place: between rules and a switch; pure. The pipeline makes the parts one by one, as they change, the whole of
a chain is made by `pipelines.policy.flows`: both of these pieces. Must not decide what rules mean.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from model.addresses import Prefix
from model.entries import Entry, Level
from model.flow import Field, Flow, SetField, Shape
from model.masks import FULL, masked, merged, prefixes
from model.policy import WITH_PORTS, Action, Block, PortRange, Protocol, Selection, Service, State
from pipelines import cookies
from pipelines.policy import shapes as sh
from pipelines.policy.seated import Located, of_operator

Filled = tuple[Shape, tuple[int, ...]]
"""A shape, and what fills its slots behind the height."""
Ends = Mapping[tuple[Action, State], sh.End]
_BOTH: Final = frozenset((4, 6))


@dataclass(frozen=True, slots=True)
class Chain:
    """The tables of a direction, one for each Level in either world, all rising: then `done`.

    `noted` holds the number of the counting rule that would have dropped the packet, 0 = none; `decided`
    that of the rule that let it through. Both are 0 when a packet enters. `sides`: with the register of the
    subject's owner, which the tables of tenants need.
    """

    foreseen: tuple[int, int, int, int]
    real: tuple[int, int, int, int]
    done: int
    sides: sh.Sides
    noted: Field
    decided: Field

    def really(self, level: Level) -> Ends:
        """Denied is dropped, where it stands."""
        decided = (SetField(self.decided, sh.NUMBER),)
        beyond = self.real[level + 1] if level < Level.LAST else self.done
        return {
            (Action.ALLOW, State.ENFORCE): sh.End("allow", decided, self.done),
            (Action.DENY, State.ENFORCE): sh.End("deny", (), None),
            (Action.PASS, State.ENFORCE): sh.End("pass", (), beyond),
        }

    def as_if(self, level: Level) -> Ends:
        """Nothing is dropped: what counts is noted, and nothing is to blame for what is allowed."""
        noted, nothing = (SetField(self.noted, sh.NUMBER),), (SetField(self.noted, 0),)
        then = self.real[0]
        beyond = self.foreseen[level + 1] if level < Level.LAST else then
        return {
            (Action.ALLOW, State.ENFORCE): sh.End("allow", nothing, then),
            (Action.ALLOW, State.COUNT): sh.End("allow", nothing, then),
            (Action.DENY, State.ENFORCE): sh.End("deny", (), then),
            (Action.DENY, State.COUNT): sh.End("note-deny", noted, then),
            (Action.PASS, State.ENFORCE): sh.End("pass", (), beyond),
            (Action.PASS, State.COUNT): sh.End("note-pass", noted, beyond),
        }

    def misses(self) -> Iterator[Shape]:
        """What nobody decides goes on; what would be let through at the end has nothing to blame."""
        nothing = (SetField(self.noted, 0),)
        for table, beyond in zip(self.foreseen, (*self.foreseen[1:], self.real[0]), strict=True):
            yield sh.miss(table, nothing if beyond == self.real[0] else (), beyond)
        for table, beyond in zip(self.real, (*self.real[1:], self.done), strict=True):
            yield sh.miss(table, (), beyond)


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one rule stands: a table, a height, and the states that it has there, with their numbers."""

    table: int
    sides: sh.Sides
    ends: Ends
    entry: Entry
    height: int
    marks: Mapping[State, int]
    owner: int

    def clauses(self) -> int:
        return 1 + bool(self.entry.peers) + bool(self.entry.services)

    def _clause(self, number: int) -> sh.Clause:
        return sh.Clause(number, self.clauses(), len(self.marks))

    def subject(self, group: int, state: State) -> Flow:
        """A group of ports that the rule judges, in this state."""
        mark = self.marks[state]
        if self.clauses() == 1:
            end = self.ends[self.entry.action, state]
            shape = sh.alone(self.table, self.sides, end)
            return self._flow(mark, shape, (group, mark) if end.actions else (group,))
        shape = sh.subject(self.table, self.sides, sh.Clause(0, self.clauses()))
        return self._flow(mark, shape, (group, mark))

    def peers(self, places: Iterable[Located]) -> Iterator[Flow]:
        """Who may be at the other end, as ports."""
        for scope, address in places:
            shape = sh.peer(self.table, self.sides, self._clause(1), address.version)
            yield self._both(shape, (scope, int(address)))

    def rest(self) -> Iterator[Flow]:
        """All that does not follow from ports: prefixes of peers, services, and the ends."""
        if self.clauses() == 1:
            return
        for prefix in blocks(self.entry):
            shape = sh.block(self.table, self.sides, self._clause(1), prefix.version, prefix.prefixlen)
            yield self._owned(shape, (int(prefix.network_address), int(prefix.netmask)))
        clause = self._clause(self.clauses() - 1)
        for family in sorted(families(self.entry)) if self.entry.services else ():
            for shape, values in _services(self.table, self.sides, clause, family, self.entry.services):
                yield self._owned(shape, values)
        for state, mark in self.marks.items():
            shape = sh.concluded(self.table, self.ends[self.entry.action, state])
            yield self._flow(mark, shape, (mark,))

    def _owned(self, shape: Shape, values: tuple[int, ...]) -> Flow:
        """`values`: at least as many as the shape has room for."""
        head = () if self.sides.domain is None else (self.owner,)
        room = len(shape.slots) - 1 - len(head) - len(self.marks)
        return self._both(shape, (*head, *values[:room]))

    def _both(self, shape: Shape, values: tuple[int, ...]) -> Flow:
        marks = tuple(self.marks.values())
        return self._flow(marks[0], shape, (*values, *marks))

    def _flow(self, mark: int, shape: Shape, values: tuple[int, ...]) -> Flow:
        return Flow(shape, cookies.policy(mark), (self.height, *values))


def stage(
    chain: Chain, table: int, entry: Entry, height: int, marks: Mapping[State, int], owner: int = 0
) -> Stage:
    """The stage of a rule in a table of a chain; `marks` in the order of State."""
    level = entry.place.level
    sides = replace(chain.sides, domain=None) if of_operator(level) else chain.sides
    ends = chain.really(level) if table in chain.real else chain.as_if(level)
    return Stage(table, sides, ends, entry, height, marks, owner)


def mark(number: int, state: State) -> int:
    """A rule's number in one of its states: odd where it counts."""
    return number << 1 | (state is State.COUNT)


def blocks(entry: Entry) -> tuple[Prefix, ...]:
    """The prefixes of its peers, disjoint."""
    return prefixes(peer for peer in entry.peers if isinstance(peer, Block))


def families(entry: Entry) -> frozenset[int]:
    """In which IP versions it could match: ports have both."""
    if not entry.peers or any(isinstance(peer, Selection) for peer in entry.peers):
        return _BOTH
    return frozenset(prefix.version for prefix in blocks(entry))


def _services(
    table: int, sides: sh.Sides, clause: sh.Clause, family: int, services: Sequence[Service]
) -> Iterator[Filled]:
    for protocol in sorted({service.protocol for service in services}):
        of_it = [service for service in services if service.protocol == protocol]
        if protocol in WITH_PORTS:
            yield from _ports(table, sides, clause, family, Protocol(protocol), of_it)
        elif protocol == (Protocol.ICMP if family == 4 else Protocol.ICMPV6):
            yield from _messages(table, sides, clause, family, of_it)
        elif protocol not in (Protocol.ICMP, Protocol.ICMPV6):
            yield sh.other_protocol(table, sides, clause, family), (protocol,)


def _ports(
    table: int,
    sides: sh.Sides,
    clause: sh.Clause,
    family: int,
    protocol: Protocol,
    services: Sequence[Service],
) -> Iterator[Filled]:
    for ports in merged(service.ports or PortRange(0, FULL) for service in services):
        for value, mask in masked(ports):
            for shape in sh.service(table, sides, clause, family, protocol, mask):
                yield shape, (value, mask)


def _messages(
    table: int, sides: sh.Sides, clause: sh.Clause, family: int, services: Sequence[Service]
) -> Iterator[Filled]:
    """One flow for each that is asked for; with a wider one beside it, that may be more than need be."""
    for kind, code in sorted({(s.kind, s.code) for s in services}, key=lambda pair: tuple(map(_known, pair))):
        given = ((sh.KIND, kind), (sh.CODE, code))
        said = [(slot, value) for slot, value in given if value is not None]
        shape = sh.icmp(table, sides, clause, family, tuple(slot for slot, _ in said))
        yield shape, tuple(value for _, value in said)


def _known(value: int | None) -> int:
    return -1 if value is None else value
