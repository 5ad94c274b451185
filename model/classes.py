"""Classes in force: which version of each egress class holds at a moment, and who has which relation.

Place: read by the compilers, by the agent when time passes, and by the planner. Must not read a clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_network
from typing import Final

from immutables import Map

from model.addresses import Prefix
from model.ids import ClassId
from model.intent import EgressClass, Relation

PUBLIC: Final[tuple[Prefix, ...]] = (ip_network("0.0.0.0/0"), ip_network("2000::/3"))
"""Where public addresses are: all of IPv4, but for NOT_PUBLIC, and what IANA gives out of IPv6 (RFC 4291
section 2.4)."""
NOT_PUBLIC: Final[tuple[Prefix, ...]] = tuple(
    ip_network(text)
    for text in (
        "0.0.0.0/8",  # this network (RFC 791 section 3.2)
        "10.0.0.0/8",  # private (RFC 1918), as the next two of 172 and 192.168
        "100.64.0.0/10",  # shared by carriers (RFC 6598)
        "127.0.0.0/8",  # loopback (RFC 1122 section 3.2.1.3)
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments (RFC 6890)
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "240.0.0.0/4",  # reserved (RFC 1112 section 4)
    )
)
"""Disjoint. Link-local and group addresses are not here: they never leave their network."""


def in_force(value: EgressClass, moment: int) -> EgressClass:
    """The class as it holds at `moment` (Unix ms), without what was or is to be."""
    if moment >= value.since:
        return replace(value, since=0, former=(), former_relations=())
    return replace(
        value,
        prefixes=value.former,
        relations=value.former_relations,
        since=0,
        former=(),
        former_relations=(),
    )


def relations_at(value: EgressClass, moment: int) -> tuple[Relation, ...]:
    """Those that the class has at `moment`."""
    return value.relations if moment >= value.since else value.former_relations


def holders(classes: Iterable[EgressClass], moment: int) -> Map[Relation, ClassId]:
    """Who has each relation at `moment`: of two, the lower id. The planner lets no two have one."""
    found: dict[Relation, ClassId] = {}
    for value in classes:
        for relation in relations_at(value, moment):
            found[relation] = min(value.id, found.get(relation, value.id))
    return Map(found)


def turned(classes: Iterable[EgressClass], before: int, now: int) -> tuple[ClassId, ...]:
    """The classes of which another version is in force `now` than `before`: their clock may go back, too."""
    low, high = sorted((before, now))
    return tuple(sorted(value.id for value in classes if low < value.since <= high))


def reborn(before: Map[ClassId, EgressClass], now: Map[ClassId, EgressClass]) -> tuple[ClassId, ...]:
    """Ids that were one class's and are another's: the counters of the first must be closed before."""
    return tuple(sorted(i for i, value in now.items() if i in before and before[i].uid != value.uid))
