"""Flows: the rules of one direction as conjunctions, in a table for each tier and world, all at once.

Place: how a whole chain looks for some ports; held against the slow verdict and a real switch. The pipeline
makes the same clauses, one object at a time (`pipelines.features.policy`). Must not decide what rules mean:
decision 0056 does.

A packet comes to `foreseen` (if any rule counts for its port), where all rules hold and none drops; then to
`real`, where only the enforced ones do; and then to `hits`, which counts what the first would have dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from model.entries import Entry, Level, Place
from model.errors import Exhausted, Fault
from model.flow import Field, Flow
from model.ids import PortKey, Uid
from model.policy import Action, Endpoint, State
from pipelines import cookies
from pipelines.policy import shapes as sh
from pipelines.policy.clauses import Chain, mark, stage
from pipelines.policy.entries import concerns
from pipelines.policy.grouping import name
from pipelines.policy.resolve import Directory, Resolved, resolve

TOP: Final = 60_000
"""Height of the first rule of a table; each next one stands one lower."""

Numbers = Mapping[Place, int]
"""A number for each rule, below 2^19, which it keeps: registers and cookies name it by that."""


@dataclass(frozen=True, slots=True)
class Counted:
    """A chain, whose end counts hits of the port in `subject`, in a table of its own, before `allowed`."""

    chain: Chain
    subject: Field
    allowed: int

    @property
    def hits(self) -> int:
        return self.chain.done


def number(numbers: Numbers, entry: Entry, state: State) -> int:
    """A rule's number in one of its states: odd where it counts."""
    return mark(numbers[entry.place], state)


def groups(entries: Sequence[Entry], ports: Iterable[Endpoint], numbers: Numbers) -> dict[PortKey, int]:
    """The name of the group of each port: of those that the same rules judge."""
    return {
        port.key: name(
            ((numbers[entry.place], Uid("")), entry.at(port.uid))
            for entry in entries
            if concerns(entry, port)
        )
        for port in ports
    }


def counting(resolved: Iterable[Resolved]) -> frozenset[PortKey]:
    """The ports for which some rule counts: only they have to enter `foreseen`."""
    return frozenset(port.key for one in resolved if one.state is State.COUNT for port in one.subjects)


def compile(
    counted: Counted,
    entries: Sequence[Entry],
    ports: Iterable[Endpoint],
    directory: Directory,
    numbers: Numbers,
) -> tuple[Flow, ...]:
    """All flows of a direction for these local ports."""
    chain, local = counted.chain, tuple(ports)
    names = groups(entries, local, numbers)
    resolved = resolve(entries, local, directory)
    staged = counting(resolved)
    found: list[Flow] = []
    for level in Level:
        of_level = [one for one in resolved if one.entry.place.level is level]
        real = [one for one in of_level if one.state is State.ENFORCE]
        found.extend(_stage(chain, chain.real[level], real, numbers, names))
        foreseen = [narrowed for one in of_level if (narrowed := _only(one, staged)).subjects]
        found.extend(_stage(chain, chain.foreseen[level], foreseen, numbers, names))
    found.extend(_hits(counted, resolved, numbers))
    found.extend(Flow(shape, cookies.host(shape.table)) for shape in chain.misses())
    found.append(Flow(sh.miss(counted.hits, (), counted.allowed), cookies.host(counted.hits)))
    return tuple(found)


def _only(one: Resolved, ports: frozenset[PortKey]) -> Resolved:
    return replace(one, subjects=tuple(port for port in one.subjects if port.key in ports))


def _stage(
    chain: Chain,
    table: int,
    resolved: Sequence[Resolved],
    numbers: Numbers,
    names: Mapping[PortKey, int],
) -> Iterator[Flow]:
    if len(resolved) >= TOP:
        raise _too_many(len(resolved))
    for index, one in enumerate(resolved):
        marks = {one.state: number(numbers, one.entry, one.state)}
        here = stage(chain, table, one.entry, TOP - index, marks)
        for group in sorted({names[port.key] for port in one.subjects}):
            yield here.subject(group, one.state)
        if one.peers is not None:
            yield from here.peers(one.peers.located)
        yield from here.rest()


def _hits(counted: Counted, resolved: Iterable[Resolved], numbers: Numbers) -> Iterator[Flow]:
    """A counter for each counting rule and port. An allow that counts has none: it drops nothing."""
    shape = sh.hit(counted.hits, counted.subject, counted.chain.noted, counted.allowed)
    for one in resolved:
        if one.state is State.COUNT and one.entry.action is not Action.ALLOW:
            found = number(numbers, one.entry, one.state)
            for port in one.subjects:
                yield Flow(shape, cookies.policy(found, port.key), (TOP, found, port.key))


def _too_many(count: int) -> Exhausted:
    return Exhausted(
        Fault(
            "this host's policies",
            "too-many-rules",
            f"{count} rules concern its ports in one tier and direction, {TOP - 1} have a place",
            "write rules with several peers and services instead of one for each",
        )
    )
