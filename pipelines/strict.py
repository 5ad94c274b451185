"""Strict: which local ports some rule or default forbids to send, and in which networks they are.

Place: a part of `pipelines.policed`, kept as that is; read by views and touch. Such ports send to addresses
only, not to MACs that have others (docs/decisions/0067). Must not ask whether a rule is enforced or counts:
the view of a port does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from immutables import Map

from model.ids import NetworkKey, PortKey
from model.policy import Action, Direction
from model.snapshot import Snapshot
from pipelines.grouped import Grouped
from pipelines.policy.seated import Ruling, RulingKey


@dataclass(frozen=True, slots=True)
class Strict:
    """`ports`: with their networks. `networks`: with the number of these ports, never 0."""

    ports: Map[PortKey, NetworkKey] = Map()
    networks: Map[NetworkKey, int] = Map()


NOBODY: Final = Strict()


def forbids(ruling: Ruling) -> bool:
    """Whether it may have something not sent."""
    return ruling.entry.direction is Direction.OUT and ruling.entry.action is Action.DENY


def follow(
    before: Strict,
    snapshot: Snapshot,
    rules: Map[RulingKey, Ruling],
    grouped: Grouped,
    concerned: Iterable[PortKey],
) -> Strict:
    """`concerned`: ports for which it may be different. That by which a port is judged may be the same, and a
    rule deny now."""
    known: dict[int, bool] = {0: False}
    ports, networks = before.ports, before.networks
    for port in concerned:
        name = grouped.judged.get(port, 0)
        if name not in known:
            known[name] = any(forbids(rules[key]) for key in grouped.groups[name].states)
        was, here = ports.get(port), snapshot.ports[port].network if known[name] else None
        if was == here:
            continue
        if was is not None:
            ports, networks = ports.delete(port), _less(networks, was)
        if here is not None:
            ports, networks = ports.set(port, here), networks.set(here, networks.get(here, 0) + 1)
    return before if ports is before.ports else Strict(ports, networks)


def _less(networks: Map[NetworkKey, int], key: NetworkKey) -> Map[NetworkKey, int]:
    left = networks[key] - 1
    return networks.set(key, left) if left else networks.delete(key)
