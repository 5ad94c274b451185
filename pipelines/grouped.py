"""Grouped: the local ports under policy by what judges them. Those that the very same rules judge, in the
same states, are one group.

Place: a part of `pipelines.policed`, kept as that is; read by views and touch. What follows from the rules
alone is held, and worked out, once for a group: a thousand rules that judge a thousand ports are a thousand
entries, not a million. Must not ask what rules mean: `pipelines.sentence` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from immutables import Map, MapMutation

from model.ids import PortKey
from model.policy import State
from pipelines.policy.seated import RulingKey

States = Map[RulingKey, State]
NO_STATES: Final[States] = Map()
_NO_NAMES: Final[Map[int, None]] = Map()


@dataclass(frozen=True, slots=True)
class Group:
    """`states`: of the rules that judge it. `ports`: with their tenants, never empty."""

    states: States
    ports: Map[PortKey, str]


@dataclass(frozen=True, slots=True)
class Grouped:
    """`judged`: the name of the group of each local port under policy. `groups`: by name. `bearing`: the
    names of the groups that each rule judges. What is empty has no key."""

    judged: Map[PortKey, int] = Map()
    groups: Map[int, Group] = Map()
    bearing: Map[RulingKey, Map[int, None]] = Map()

    def of_rule(self, key: RulingKey) -> Iterator[tuple[int, Group]]:
        """The groups that a rule judges."""
        for name in self.bearing.get(key, _NO_NAMES):
            yield name, self.groups[name]


class Drawn(NamedTuple):
    """What judges a port: `name` 0 = nothing."""

    port: PortKey
    tenant: str
    name: int
    states: States


NOBODY: Final = Grouped()


def follow(before: Grouped, drawn: Iterable[Drawn]) -> tuple[Grouped, set[RulingKey]]:
    """With these ports where they belong now; and the rules to which any of it makes a difference."""
    judged = before.judged.mutate()
    opened: dict[int, tuple[States, MapMutation[PortKey, str]]] = {}
    for one in drawn:
        was = before.judged.get(one.port, 0)
        if was == one.name and (not was or before.groups[was].ports[one.port] == one.tenant):
            continue
        if was:
            _opened(opened, before, was, NO_STATES).pop(one.port, None)
        if one.name:
            judged[one.port] = one.name
            _opened(opened, before, one.name, one.states)[one.port] = one.tenant
        else:
            judged.pop(one.port, None)
    if not opened:
        return before, set()
    groups, bearing = before.groups.mutate(), before.bearing
    for name, (states, members) in opened.items():
        ports = members.finish()
        if ports:
            groups[name] = Group(states, ports)
        else:
            groups.pop(name, None)
        if bool(ports) != (name in before.groups):
            bearing = _borne(bearing, name, states)
    affected = {key for states, _ in opened.values() for key in states}
    return Grouped(judged.finish(), groups.finish(), bearing), affected


def _opened(
    opened: dict[int, tuple[States, MapMutation[PortKey, str]]], before: Grouped, name: int, states: States
) -> MapMutation[PortKey, str]:
    """The members of a group, to be changed."""
    if name not in opened:
        held = before.groups.get(name, Group(states, Map()))
        opened[name] = held.states, held.ports.mutate()
    return opened[name][1]


def _borne(
    bearing: Map[RulingKey, Map[int, None]], name: int, states: States
) -> Map[RulingKey, Map[int, None]]:
    """With a group that came, or without one that went."""
    made = bearing.mutate()
    for key in states:
        names = made.get(key, _NO_NAMES)
        names = names.delete(name) if name in names else names.set(name, None)
        if names:
            made[key] = names
        else:
            del made[key]
    return made.finish()
