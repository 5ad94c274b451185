"""Which objects a change of egress classes touches.

Place: part of `pipelines.touch`; see there.
"""

from __future__ import annotations

from immutables import Map

from model.ids import ClassId
from model.intent import Relation
from model.snapshot import Snapshot
from pipelines import objects as o
from pipelines.index import Index
from pipelines.inward import open_here


def touched(old: Snapshot, new: Snapshot, before: Index, after: Index, key: ClassId) -> set[o.Object]:
    """A class that comes or goes gives or takes a counter of every local port; new prefixes do not."""
    found = {o.egress_class(key)}
    if (key in old.classes) != (key in new.classes):
        for index in (before, after):
            found.update(o.port(port) for group in index.locals.values() for port in group)
    return found


def related(old: Snapshot, new: Snapshot, before: Index, after: Index) -> set[o.Object]:
    """What a relation that has passed to another class touches: all whose destinations it is; and all
    classes, when the first port comes that is reached from outside, or the last one goes."""
    found: set[o.Object] = set()
    if open_here(old, before) != open_here(new, after):  # from now on sources have classes, too, or no more
        found.update(o.egress_class(key) for key in (*old.classes, *new.classes))
    if before.relations == after.relations:
        return found
    for relation in Relation:
        was, now = before.relations.get(relation), after.relations.get(relation)
        if was != now:
            found |= _holding(relation, old, before, was) | _holding(relation, new, after, now)
    return found


def _holding(relation: Relation, snapshot: Snapshot, index: Index, holder: ClassId | None) -> set[o.Object]:
    match relation:
        case Relation.INTERNET:
            return set() if holder is None else {o.egress_class(holder)}
        case Relation.SAME_TENANT:
            vrfs = {*index.live, *index.outward.gated}
            return {o.subnets(network) for vrf in vrfs for network in index.vrfs.get(vrf, Map())}
        case Relation.PEERED_TENANT:
            return {o.peering(key) for key in snapshot.peerings}
