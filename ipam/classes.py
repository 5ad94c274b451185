"""Classes: planning of egress classes: ids, whose a prefix or a relation is, and which version holds when.

Place: one part of `ipam.plan`. Must not write anything but the trial.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime

from ipam.contents import ClassRecord
from ipam.pools import CLASS_ID, CLASS_PREFIX, CLASS_RELATION
from ipam.trial import Trial
from model.addresses import Prefix
from model.classes import in_force
from model.errors import Conflict
from model.ids import ClassId
from model.intent import EgressClass, Relation
from model.wanted import WantedEgressClass, refer

Claim = tuple[str, str]


def plan_classes(trial: Trial, wanted: Sequence[WantedEgressClass]) -> None:
    """Id from the pool; a prefix or a relation belongs to one class alone, or nothing would decide.

    What one class gives up in the same run another may take.
    """
    for want in wanted:
        before = trial.draft.classes.get(want.name)
        if before is not None:
            prefixes, relations = _members(want, before)
            kept = {*_claims(prefixes, relations)}
            given = (c for c in _claims(before.value.prefixes, before.value.relations) if c not in kept)
            trial.release(refer(want), given)
    for want in wanted:
        before = trial.draft.classes.get(want.name)
        if all(_hold(trial, want)) and not _empty(trial, want, before):
            _settle(trial, want, before)


def _hold(trial: Trial, want: WantedEgressClass) -> list[bool]:
    held = [
        trial.hold(want, (CLASS_PREFIX, str(p)), f"prefix {p}", f"spec.prefixes[{i}]")
        for i, p in enumerate(want.prefixes or ())
    ]
    return held + [
        trial.hold(want, (CLASS_RELATION, r.value), f"relation {r.value}", f"spec.relations[{i}]")
        for i, r in enumerate(want.relations or ())
    ]


def _empty(trial: Trial, want: WantedEgressClass, before: ClassRecord | None) -> bool:
    if want.prefixes is not None or want.relations is not None or before is not None:
        return False
    trial.refuse(
        Conflict,
        want,
        "class-empty",
        "it says neither prefixes nor relations",
        "Write spec.prefixes, spec.relations or both.",
        "spec",
    )
    return True


def _settle(trial: Trial, want: WantedEgressClass, before: ClassRecord | None) -> None:
    prefixes, relations = _members(want, before)
    if before is None:
        number = trial.allocate(want, trial.draft.pools[CLASS_ID], "pool class-id", "")
        if number is not None:
            since = _since(want.effective, trial.now)
            value = EgressClass(trial.new_uid(), want.name, ClassId(number), prefixes, relations, since)
            trial.settle(want, None, ClassRecord(value, 1, want.effective, want.labels or ()))
        return
    effective = before.effective if want.effective is None else want.effective
    same = (prefixes, relations) == (before.value.prefixes, before.value.relations)
    after = ClassRecord(
        value=before.value if same and effective == before.effective else _turned(trial, want, before),
        version=before.version if same else before.version + 1,
        effective=effective,
        labels=before.labels if want.labels is None else want.labels,
    )
    trial.settle(want, before, after)


def _turned(trial: Trial, want: WantedEgressClass, before: ClassRecord) -> EgressClass:
    """What is in force now goes on until the new version's moment. That one may be changed until it comes."""
    prefixes, relations = _members(want, before)
    since = _since(before.effective if want.effective is None else want.effective, trial.now)
    now = in_force(before.value, trial.now)
    former = (now.prefixes, now.relations) if since else ((), ())
    return replace(
        before.value,
        prefixes=prefixes,
        relations=relations,
        since=since,
        former=former[0],
        former_relations=former[1],
    )


def _since(effective: datetime | None, now: int) -> int:
    """Unix ms; 0 for what holds at once."""
    moment = 0 if effective is None else round(effective.timestamp() * 1_000)
    return moment if moment > now else 0


def _members(
    want: WantedEgressClass, before: ClassRecord | None
) -> tuple[tuple[Prefix, ...], tuple[Relation, ...]]:
    """Prefixes longest first, relations by name: as the pipeline wants them (model.intent.EgressClass)."""
    old = () if before is None else before.value.prefixes
    had = () if before is None else before.value.relations
    prefixes = set(old if want.prefixes is None else want.prefixes)
    relations = set(had if want.relations is None else want.relations)
    return (
        tuple(sorted(prefixes, key=lambda p: (-p.prefixlen, p.version, int(p.network_address)))),
        tuple(sorted(relations, key=lambda r: r.value)),
    )


def _claims(prefixes: Iterable[Prefix], relations: Iterable[Relation]) -> Iterator[Claim]:
    yield from ((CLASS_PREFIX, str(p)) for p in prefixes)
    yield from ((CLASS_RELATION, r.value) for r in relations)
