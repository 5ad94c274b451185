"""Patches cut into bundles: at most 1,000 flows each, a group never split, deletes before puts. What judges
is one bundle, of however many groups, up to 20,000 flows: half of a change of policy is no policy.

Place: pure, before `channel` sends. Must not encode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from model.change import WHOLE, Patch
from model.flow import Flow

BUNDLE_FLOWS: Final = 1000
"""Measured: bundles of 1,000 block the switch for 4 ms, of 2,000 for 8 ms, one of 100,000 for 400 ms."""

Group = tuple[tuple[Flow, ...], tuple[Flow, ...]]
"""(put, drop) of one object."""
Judging = Callable[[Flow], bool]
"""Whether a flow is a part of what judges."""


@dataclass(frozen=True, slots=True)
class Portion:
    """What goes into one bundle: `groups` whole, sent as all drops, then all puts."""

    groups: tuple[Group, ...]

    def drops(self) -> tuple[tuple[int, Flow], ...]:
        """(index of group, flow) of every delete."""
        return tuple((i, flow) for i, (_, drop) in enumerate(self.groups) for flow in drop)

    def puts(self) -> tuple[tuple[int, Flow], ...]:
        """(index of group, flow) of every add."""
        return tuple((i, flow) for i, (put, _) in enumerate(self.groups) for flow in put)

    def without(self, indices: Iterable[int]) -> Portion:
        """The same less some groups."""
        gone = frozenset(indices)
        return Portion(tuple(g for i, g in enumerate(self.groups) if i not in gone))


def settle(patch: Patch) -> tuple[Group, ...]:
    """The groups, less deletes of a key that the same patch puts.

    An address that moves from one port to another is dropped by one group and put by another: the put
    replaces it, and a delete in a later bundle would take the new flow away.
    """
    groups = tuple(g for g in patch.groups if g[0] or g[1])
    if not any(drop for _, drop in groups):
        return groups
    dropped = {flow.key() for _, drop in groups for flow in drop}
    replaced = {key for put, _ in groups for flow in put if (key := flow.key()) in dropped}
    if not replaced:
        return groups
    return tuple((put, tuple(f for f in drop if f.key() not in replaced)) for put, drop in groups)


def nothing(_: Flow) -> bool:
    """None of the flows judges."""
    return False


def divide(groups: Iterable[Group], judging: Judging = nothing) -> Iterator[Portion]:
    """Fill bundles in order. A group larger than a bundle gets one of its own size: it must stay atomic.

    Groups in a row of which all flows are `judging` stay together, unless they are more than WHOLE flows: who
    made them has seen to it then (pipelines.turns).
    """
    pending: list[Group] = []
    size = 0
    for some in _units(groups, judging):
        weight = sum(len(put) + len(drop) for put, drop in some)
        if pending and size + weight > BUNDLE_FLOWS:
            yield Portion(tuple(pending))
            pending, size = [], 0
        pending += some
        size += weight
    if pending:
        yield Portion(tuple(pending))


def _units(groups: Iterable[Group], judging: Judging) -> Iterator[list[Group]]:
    """The groups in their order, those together that must not be parted."""

    def judges(group: Group) -> bool:
        return all(judging(flow) for flows in group for flow in flows)

    for together, some in groupby(groups, judges):
        run = list(some)
        if together and sum(len(put) + len(drop) for put, drop in run) <= WHOLE:
            yield run
        else:
            yield from ([group] for group in run)
