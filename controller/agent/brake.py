"""Brake: decides whether a change of intent may reach the data plane, or the operator is asked first.

Place: pure; between the store's batches and the effective snapshot. Must not do I/O.
An agent that finds the store empty, of another cluster, of an older generation, or about to delete more
than 5 %
of its ports or half of its policies at once, stops and waits (`ringfence confirm HOST`).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Final

from model.change import Change, Part, Patch
from model.flow import Shape
from model.ids import PortKey, TenantKey
from model.snapshot import Snapshot
from pipelines.policy.grouping import shared
from pipelines.shapes.policy import CLOSED

SHARE: Final = 0.05
"""More than this share of the bound ports at once needs a word of the operator."""
FLOOR: Final = 8
"""Up to this many ports may go at once on any host; else a small host could delete nothing without asking."""
OPENING: Final = 0.5
"""More than this share of the policies that judge ports here, and more than FLOOR, likewise: what goes with
them is what they forbid. Less is daily work: policies are joined and renamed."""
FLOW_FLOOR: Final = 2_000
"""The same for flows: what some ten ports and their network have."""


_CLOSED: Final = frozenset(CLOSED.values())


@dataclass(frozen=True, slots=True)
class Stop:
    """Why the agent holds; `token` is what `confirm` must quote, so that a late word can't release another
    stop."""

    rule: str
    message: str
    token: str


def judge(effective: Snapshot, candidate: Snapshot, changes: frozenset[Change]) -> Stop | None:
    """None if the candidate may become effective; else why not.

    `changes` are those between the two. A host that has no effective intent yet has nothing to lose.
    """
    known, offered = effective.cluster, candidate.cluster
    if known is None:
        return None
    if offered is None:
        return Stop("store-empty", "the store holds no cluster; it is empty or was replaced", "empty")
    if offered.uid != known.uid:
        return Stop(
            "other-cluster",
            f"the store says cluster {offered.uid}, this host belongs to {known.uid}",
            f"cluster-{offered.uid}",
        )
    if offered.generation < known.generation:
        return Stop(
            "older-generation",
            f"the store is at generation {offered.generation}, this host has seen {known.generation}",
            f"generation-{offered.generation}",
        )
    stop = _mass_delete(effective, candidate, changes)
    return stop if stop is not None else _mass_opening(effective, candidate, changes)


def count_lost(patch: Patch) -> int:
    """Flows that go without another of the same object in the same table. What is only said anew is no loss:
    each change of a policy does that to some flows of every port that it judges. Of groups of ports it may be
    another group's: with any of their rules they get another name. What is closed while a change is made in
    parts has gone, and comes again."""
    lost, gone, come = 0, Counter[int](), Counter[int]()
    for put, drop in patch.groups:
        gone.update(flow.shape.table for flow in drop if shared(flow.shape))
        gone.update(flow.shape.table for flow in put if _closes(flow.shape))
        own = Counter(flow.shape.table for flow in drop if not shared(flow.shape))
        if own:
            lost += (own - Counter(flow.shape.table for flow in put)).total()
    if gone:
        come.update(
            flow.shape.table
            for put, _ in patch.groups
            for flow in put
            if shared(flow.shape) and not _closes(flow.shape)
        )
    return lost + (gone - come).total()


def _closes(shape: Shape) -> bool:
    return not shape.actions and shape.goto is None and shape in _CLOSED


def judge_flows(effective: Snapshot, dropped: int, total: int) -> Stop | None:
    """None if losing `dropped` of `total` flows for a change of intent needs no word of the operator."""
    if dropped <= FLOW_FLOOR or dropped <= total * SHARE:
        return None
    return Stop(
        "mass-delete-flows",
        f"{dropped} of {total} flows would go at once",
        f"flows-{dropped}-of-{total}-{_since(effective)}",
    )


def _mass_delete(effective: Snapshot, candidate: Snapshot, changes: frozenset[Change]) -> Stop | None:
    touched = [c.key for c in changes if c.part in (Part.PORT, Part.BINDING)]
    leaving = {
        PortKey(k) for k in touched if isinstance(k, int) and _leaves(effective, candidate, PortKey(k))
    }
    lost = sorted(effective.ports[k].name for k in leaving)
    if len(lost) <= FLOOR:  # the usual case costs nothing more
        return None
    bound = sum(1 for k in effective.bindings if effective.bound_here(k))
    if len(lost) <= bound * SHARE:
        return None
    sample = ", ".join(lost[:3])
    return Stop(
        "mass-delete",
        f"{len(lost)} of {bound} bound ports would go at once ({sample}, ...)",
        f"delete-{len(lost)}-of-{bound}-{_since(effective)}",
    )


def _mass_opening(effective: Snapshot, candidate: Snapshot, changes: frozenset[Change]) -> Stop | None:
    """A policy that goes with the last port that it could judge here opens nothing."""
    gone = [str(c.key) for c in changes if c.part is Part.POLICY and c.key not in candidate.policies]
    if len(gone) <= FLOOR:
        return None
    here = {TenantKey(0)} if any(map(candidate.bound_here, candidate.bindings)) else set()
    ports = (candidate.ports.get(key) for key in candidate.bindings if candidate.bound_here(key))
    networks = {port.network for port in ports if port is not None}
    here |= {candidate.networks[key].tenant for key in networks if key in candidate.networks}
    judging = {
        str(uid): f"{held.policy.tenant}/{held.policy.name}"
        for uid, held in effective.policies.items()
        if held.owner in here
    }
    lost = sorted(judging[uid] for uid in gone if uid in judging)
    if len(lost) <= FLOOR or len(lost) <= len(judging) * OPENING:
        return None
    return Stop(
        "mass-delete-policies",
        f"{len(lost)} of {len(judging)} policies would go at once ({', '.join(lost[:3])}, ...)",
        f"policies-{len(lost)}-of-{len(judging)}-{_since(effective)}",
    )


def _leaves(effective: Snapshot, candidate: Snapshot, key: PortKey) -> bool:
    """Only what is plugged in has traffic to lose: a port whose workload went first may follow it."""
    here = key in effective.ports and effective.bound_here(key)
    if not here or effective.ports[key].uid not in effective.interfaces:
        return False
    return not (key in candidate.ports and candidate.bound_here(key))


def _since(effective: Snapshot) -> str:
    """What tells this stop from an earlier one alike: the generation at which the host stopped."""
    return f"since-{effective.cluster.generation if effective.cluster else 0}"
