"""Flows: the rules of one direction as conjunctions, in a table for each tier and world.

Place: the end of the road from policies to a switch; pure. A rule costs the sum of its subjects, peers and
services. Which tables and registers, the caller says. Must not decide what rules mean: decision 0056 does.

A packet comes to `foreseen` (if any rule counts for its port), where all rules hold and none drops; then to
`real`, where only the enforced ones do; and then to `hits`, which counts what the first would have dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from model.errors import Exhausted, Fault
from model.flow import Field, Flow, SetField, Shape
from model.ids import PortKey
from model.policy import WITH_PORTS, Action, Endpoint, PortRange, Protocol, Service, State
from pipelines import cookies
from pipelines.policy import shapes as sh
from pipelines.policy.entries import Entry, Level, Place
from pipelines.policy.masks import FULL, masked, merged
from pipelines.policy.resolve import Directory, Peers, Resolved, resolve

TOP: Final = 60_000
"""Height of the first rule of a table; each next one stands one lower."""

Filled = tuple[Shape, tuple[int, ...]]
"""A shape, and what fills its slots behind the height."""


@dataclass(frozen=True, slots=True)
class Chain:
    """The tables of a direction, one for each Level in either world, all rising: then `hits`, then `allowed`.

    `noted` holds the number of the counting rule that would have dropped the packet, 0 = none; `decided`
    that of the rule that let it through. Both are 0 when a packet enters.
    """

    foreseen: tuple[int, int, int, int]
    real: tuple[int, int, int, int]
    hits: int
    allowed: int
    sides: sh.Sides
    noted: Field
    decided: Field


Numbers = Mapping[Place, int]
"""A number for each rule, below 2^19, which it keeps: registers and cookies name it by that."""


def number(numbers: Numbers, entry: Entry, state: State) -> int:
    """A rule's number in one of its states: odd where it counts."""
    return numbers[entry.place] << 1 | (state is State.COUNT)


def counting(resolved: Iterable[Resolved]) -> frozenset[PortKey]:
    """The ports for which some rule counts: only they have to enter `foreseen`."""
    return frozenset(port.key for one in resolved if one.state is State.COUNT for port in one.subjects)


def compile(
    chain: Chain,
    entries: Sequence[Entry],
    ports: Iterable[Endpoint],
    directory: Directory,
    numbers: Numbers,
) -> tuple[Flow, ...]:
    """All flows of a direction for these local ports."""
    resolved = resolve(entries, ports, directory)
    staged = counting(resolved)
    found: list[Flow] = []
    for level in Level:
        of_level = [one for one in resolved if one.entry.place.level is level]
        real = [one for one in of_level if one.state is State.ENFORCE]
        found.extend(_stage(chain.real[level], chain, real, numbers, _really(chain, level)))
        foreseen = [narrowed for one in of_level if (narrowed := _only(one, staged)).subjects]
        found.extend(_stage(chain.foreseen[level], chain, foreseen, numbers, _as_if(chain, level)))
    found.extend(_hits(chain, resolved, numbers))
    found.extend(_misses(chain))
    return tuple(found)


Ends = Mapping[tuple[Action, State], sh.End]


def _really(chain: Chain, level: Level) -> Ends:
    """Denied is dropped, where it stands."""
    decided = (SetField(chain.decided, sh.NUMBER),)
    beyond = chain.real[level + 1] if level < Level.LAST else chain.hits
    return {
        (Action.ALLOW, State.ENFORCE): sh.End("allow", decided, chain.hits),
        (Action.DENY, State.ENFORCE): sh.End("deny", (), None),
        (Action.PASS, State.ENFORCE): sh.End("pass", (), beyond),
    }


def _as_if(chain: Chain, level: Level) -> Ends:
    """Nothing is dropped: what counts is noted, and nothing is to blame for what is allowed."""
    noted, nothing = (SetField(chain.noted, sh.NUMBER),), (SetField(chain.noted, 0),)
    then = chain.real[0]
    beyond = chain.foreseen[level + 1] if level < Level.LAST else then
    return {
        (Action.ALLOW, State.ENFORCE): sh.End("allow", nothing, then),
        (Action.ALLOW, State.COUNT): sh.End("allow", nothing, then),
        (Action.DENY, State.ENFORCE): sh.End("deny", (), then),
        (Action.DENY, State.COUNT): sh.End("note-deny", noted, then),
        (Action.PASS, State.ENFORCE): sh.End("pass", (), beyond),
        (Action.PASS, State.COUNT): sh.End("note-pass", noted, beyond),
    }


def _only(one: Resolved, ports: frozenset[PortKey]) -> Resolved:
    return replace(one, subjects=tuple(port for port in one.subjects if port.key in ports))


def _stage(
    table: int, chain: Chain, resolved: Sequence[Resolved], numbers: Numbers, ends: Ends
) -> Iterator[Flow]:
    if len(resolved) >= TOP:
        raise _too_many(len(resolved))
    for index, one in enumerate(resolved):
        height, mark = TOP - index, number(numbers, one.entry, one.state)
        end = ends[one.entry.action, one.state]
        for shape, values in _rule(table, chain.sides, one, mark, end):
            yield Flow(shape, cookies.policy(mark), (height, *values))


def _rule(table: int, sides: sh.Sides, one: Resolved, mark: int, end: sh.End) -> Iterator[Filled]:
    """The clauses of a rule, as many as it has parts, and what concludes them."""
    families = one.peers.families() if one.peers is not None else frozenset((4, 6))
    clauses = 1 + (one.peers is not None) + bool(one.entry.services)
    if clauses == 1:
        shape = sh.alone(table, sides, end)
        for port in one.subjects:
            yield shape, ((port.key, mark) if end.actions else (port.key,))
        return
    first = sh.subject(table, sides, sh.Clause(0, clauses))
    yield from ((first, (port.key, mark)) for port in one.subjects)
    if one.peers is not None:
        clause = sh.Clause(1, clauses)
        yield from ((s, (*v, mark)) for s, v in _peers(table, sides, clause, one.peers))
    if one.entry.services:
        clause = sh.Clause(clauses - 1, clauses)
        for family in sorted(families):
            yield from ((s, (*v, mark)) for s, v in _services(table, clause, family, one.entry.services))
    yield sh.concluded(table, end), (mark,)


def _peers(table: int, sides: sh.Sides, clause: sh.Clause, peers: Peers) -> Iterator[Filled]:
    for scope, address in peers.located:
        yield sh.peer(table, sides, clause, address.version), (scope, int(address))
    for prefix in peers.blocks:
        shape = sh.block(table, sides, clause, prefix.version, prefix.prefixlen)
        values = (int(prefix.network_address), int(prefix.netmask))
        yield shape, values[: len(shape.slots) - 2]


def _services(table: int, clause: sh.Clause, family: int, services: Sequence[Service]) -> Iterator[Filled]:
    for protocol in sorted({service.protocol for service in services}):
        of_it = [service for service in services if service.protocol == protocol]
        if protocol in WITH_PORTS:
            yield from _ports(table, clause, family, Protocol(protocol), of_it)
        elif protocol == (Protocol.ICMP if family == 4 else Protocol.ICMPV6):
            yield from _messages(table, clause, family, of_it)
        elif protocol not in (Protocol.ICMP, Protocol.ICMPV6):
            yield sh.other_protocol(table, clause, family), (protocol,)


def _ports(
    table: int, clause: sh.Clause, family: int, protocol: Protocol, services: Sequence[Service]
) -> Iterator[Filled]:
    for ports in merged(service.ports or PortRange(0, FULL) for service in services):
        for value, mask in masked(ports):
            shape = sh.service(table, clause, family, protocol, mask)
            yield shape, (value, mask)[: len(shape.slots) - 2]


def _messages(table: int, clause: sh.Clause, family: int, services: Sequence[Service]) -> Iterator[Filled]:
    """One flow for each that is asked for; with a wider one beside it, that may be more than need be."""
    for kind, code in sorted({(s.kind, s.code) for s in services}, key=lambda pair: tuple(map(_known, pair))):
        given = ((sh.KIND, kind), (sh.CODE, code))
        said = [(slot, value) for slot, value in given if value is not None]
        shape = sh.icmp(table, clause, family, tuple(slot for slot, _ in said))
        yield shape, tuple(value for _, value in said)


def _known(value: int | None) -> int:
    return -1 if value is None else value


def _hits(chain: Chain, resolved: Iterable[Resolved], numbers: Numbers) -> Iterator[Flow]:
    """A counter for each counting rule and port. An allow that counts has none: it drops nothing."""
    shape = sh.hit(chain.hits, chain.sides, chain.noted, chain.allowed)
    for one in resolved:
        if one.state is State.COUNT and one.entry.action is not Action.ALLOW:
            mark = number(numbers, one.entry, one.state)
            for port in one.subjects:
                yield Flow(shape, cookies.policy(mark, port.key), (TOP, mark, port.key))


def _misses(chain: Chain) -> Iterator[Flow]:
    """What nobody decides goes on; what would be let through at the end has nothing to blame."""
    nothing = (SetField(chain.noted, 0),)
    for table, beyond in zip(chain.foreseen, (*chain.foreseen[1:], chain.real[0]), strict=True):
        actions = nothing if beyond == chain.real[0] else ()
        yield Flow(sh.miss(table, actions, beyond), cookies.host(table))
    for table, beyond in zip(chain.real, (*chain.real[1:], chain.hits), strict=True):
        yield Flow(sh.miss(table, (), beyond), cookies.host(table))
    yield Flow(sh.miss(chain.hits, (), chain.allowed), cookies.host(chain.hits))


def _too_many(count: int) -> Exhausted:
    return Exhausted(
        Fault(
            "this host's policies",
            "too-many-rules",
            f"{count} rules concern its ports in one tier and direction, {TOP - 1} have a place",
            "write rules with several peers and services instead of one for each",
        )
    )
