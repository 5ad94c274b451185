"""State: pure steps from one snapshot to the next.

Place: the agent's loop feeds store batches, inventory and learned routes in; the compilers take the
snapshot and
the changes out. Must not do I/O and must not decide what is safe (see `controller.agent.brake`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

from immutables import Map

from model.change import Change, Part
from model.classes import reborn, turned
from model.ids import Uid
from model.inventory import Interface, Switch
from model.snapshot import Snapshot, with_port, without_port

_FRESH: Final = 60_000
"""Milliseconds for which a snapshot keeps its moment: a new one each second would be looked at all over."""
Item = tuple[Part, Hashable, Any]
"""(part, key, value) of something that is now so."""


@dataclass(frozen=True, slots=True)
class Step:
    """A snapshot and what differs from the one before."""

    snapshot: Snapshot
    changes: frozenset[Change]


class Whole(Enum):
    """Whether a batch of the store is everything that it holds, or what changed."""

    YES = "yes"
    NO = "no"


class Synced(Enum):
    """Whether the speaker has heard every peer out (End-of-RIB)."""

    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the local switch database holds: the bridge (None = not there) and interfaces with an iface-id."""

    switch: Switch | None
    interfaces: Mapping[Uid, Interface]


STORED: tuple[Part, ...] = (
    Part.TENANT,
    Part.NETWORK,
    Part.PORT,
    Part.CLASS,
    Part.HYPERVISOR,
    Part.BINDING,
    Part.STATIC_ROUTE,
    Part.PEERING,
    Part.EXTERNAL,
    Part.FLOATING,
    Part.POLICY,
    Part.GANG,
    Part.SEED,
)
"""The maps that the store fills (the cluster row apart)."""


def _unchanged(snapshot: Snapshot) -> Step:
    return Step(snapshot, frozenset())


def upsert(snapshot: Snapshot, items: Iterable[Item]) -> Step:
    """Add or replace each item; equal values are no change."""
    changes: set[Change] = set()
    for part, key, value in items:
        if part is Part.CLUSTER:
            if snapshot.cluster != value:
                snapshot = replace(snapshot, cluster=value)
                changes.add(Change(part, None))
            continue
        if getattr(snapshot, part.value).get(key) == value:
            continue
        if part is Part.PORT:
            snapshot = with_port(snapshot, value)
        else:
            snapshot = _with(snapshot, part, getattr(snapshot, part.value).set(key, value))
        changes.add(Change(part, key))
    return Step(snapshot, frozenset(changes))


def remove(snapshot: Snapshot, keys: Iterable[tuple[Part, Hashable]]) -> Step:
    """Remove each key; unknown keys are no change."""
    changes: set[Change] = set()
    for part, key in keys:
        current: Map[Any, Any] = getattr(snapshot, part.value)
        if key not in current:
            continue
        if part is Part.PORT:
            snapshot = without_port(snapshot, current[key].key)
        else:
            snapshot = _with(snapshot, part, current.delete(key))
        changes.add(Change(part, key))
    return Step(snapshot, frozenset(changes))


def replace_stored(snapshot: Snapshot, items: Iterable[Item]) -> Step:
    """Level-triggered: after this, the stored maps hold exactly `items`."""
    listed = list(items)
    wanted: dict[Part, set[Hashable]] = {part: set() for part in STORED}
    for part, key, _ in listed:
        if part in wanted:
            wanted[part].add(key)
    gone = [
        (part, key) for part in STORED for key in getattr(snapshot, part.value) if key not in wanted[part]
    ]
    first = remove(snapshot, gone)
    second = upsert(first.snapshot, listed)
    changes = first.changes | second.changes
    second = replace(second, snapshot=replace(second.snapshot, **_maps(listed)))
    if snapshot.cluster is not None and all(part is not Part.CLUSTER for part, _, _ in listed):
        # an empty store has no cluster either: that is how the brake knows it
        return Step(replace(second.snapshot, cluster=None), changes | {Change(Part.CLUSTER, None)})
    return Step(second.snapshot, changes)


def _maps(listed: list[Item]) -> dict[str, Map[Any, Any]]:
    """The stored maps of these very values. Those that a snapshot from disk brought are equal, but who reads
    the store holds its own: of 10,000 ports nobody needs two.
    """
    made: dict[Part, dict[Hashable, Any]] = {part: {} for part in STORED}
    for part, key, value in listed:
        if part in made:
            made[part][key] = value
    return {part.value: Map(values) for part, values in made.items()}


def adopt_stored(snapshot: Snapshot, source: Snapshot) -> Snapshot:
    """`snapshot` with the stored maps of `source`, their indexes included."""
    return replace(
        snapshot,
        cluster=source.cluster,
        tenants=source.tenants,
        networks=source.networks,
        ports=source.ports,
        classes=source.classes,
        hypervisors=source.hypervisors,
        bindings=source.bindings,
        static_routes=source.static_routes,
        peerings=source.peerings,
        externals=source.externals,
        floating=source.floating,
        policies=source.policies,
        gangs=source.gangs,
        seeds=source.seeds,
        by_uid=source.by_uid,
        by_network=source.by_network,
    )


def vacate(snapshot: Snapshot, source: Snapshot) -> tuple[Snapshot, frozenset[Change]]:
    """`snapshot` without the egress classes whose ids are other classes' in `source`, and that change.

    They go first, so that their counters are read for the last time before somebody else's bytes are in them.
    """
    step = remove(snapshot, [(Part.CLASS, key) for key in reborn(snapshot.classes, source.classes)])
    return step.snapshot, step.changes


def turn(snapshot: Snapshot, moment: int) -> Step:
    """The versions of egress classes that hold at `moment` (Unix ms). The same snapshot if none differs and
    its own moment is not old: classes may come that turned meanwhile."""
    due = turned(snapshot.classes.values(), snapshot.moment, moment)
    if not due and 0 <= moment - snapshot.moment < _FRESH:
        return _unchanged(snapshot)
    return Step(replace(snapshot, moment=moment), frozenset(Change(Part.CLASS, key) for key in due))


def observe_interfaces(snapshot: Snapshot, seen: Mapping[Uid, Interface]) -> Step:
    """The interfaces of this host's bridge are exactly `seen`."""
    gone = [(Part.INTERFACE, uid) for uid in snapshot.interfaces if uid not in seen]
    first = remove(snapshot, gone)
    second = upsert(first.snapshot, [(Part.INTERFACE, uid, seen[uid]) for uid in sorted(seen)])
    return Step(second.snapshot, first.changes | second.changes)


def observe_switch(snapshot: Snapshot, switch: Switch | None) -> Step:
    """The bridge is as `switch` says; None = not known."""
    if snapshot.switch == switch:
        return _unchanged(snapshot)
    return Step(replace(snapshot, switch=switch), frozenset({Change(Part.SWITCH, None)}))


def join(first: Step, then: Callable[[Snapshot], Step]) -> Step:
    """Two steps as one."""
    second = then(first.snapshot)
    return Step(second.snapshot, first.changes | second.changes)


def _with(snapshot: Snapshot, part: Part, value: Map[Any, Any]) -> Snapshot:
    match part:
        case Part.TENANT:
            return replace(snapshot, tenants=value)
        case Part.NETWORK:
            return replace(snapshot, networks=value)
        case Part.CLASS:
            return replace(snapshot, classes=value)
        case Part.HYPERVISOR:
            return replace(snapshot, hypervisors=value)
        case Part.BINDING:
            return replace(snapshot, bindings=value)
        case Part.INTERFACE:
            return replace(snapshot, interfaces=value)
        case Part.REMOTE:
            return replace(snapshot, remotes=value)
        case Part.FLOOD:
            return replace(snapshot, floods=value)
        case Part.EPOCH:
            return replace(snapshot, epochs=value)
        case Part.STATIC_ROUTE:
            return replace(snapshot, static_routes=value)
        case Part.PEERING:
            return replace(snapshot, peerings=value)
        case Part.EXTERNAL:
            return replace(snapshot, externals=value)
        case Part.FLOATING:
            return replace(snapshot, floating=value)
        case Part.POLICY:
            return replace(snapshot, policies=value)
        case Part.GANG:
            return replace(snapshot, gangs=value)
        case Part.SEED:
            return replace(snapshot, seeds=value)
        case Part.PREFIX:
            return replace(snapshot, prefixes=value)
        case Part.SIGHTING:
            return replace(snapshot, sightings=value)
        case Part.CLAIMED:
            return replace(snapshot, claimed=value)
        case Part.DOWN:
            return replace(snapshot, down=value)
        case Part.ZONE:
            return replace(snapshot, zones=value)
        case _:
            raise ValueError(f"{part} has no plain map")
