"""Policies: planning of what operator and tenants write of who may reach whom: numbers and heights.

Place: one part of `ipam.plan`. A rule keeps its number while it means the same (model.entries): evidence and
flows go by it. Heights of two that judge one after the other are compared within a tier of one owner, and a
direction alone. Must not write anything but the trial; must not judge what rules say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ipam import heights
from ipam.contents import PolicyRecord, TenantRecord, refer
from ipam.needs import of_tenant
from ipam.networks import find_tenant
from ipam.pools import POLICY_NUMBER
from ipam.trial import Trial
from model.entries import identities, identities_of, in_order
from model.errors import Exhausted
from model.ids import TenantKey
from model.policy import UNREAD, Defaults, Direction, Policy, Seat, Standing, Tier
from model.wanted import Kind, Reference, Wanted, WantedPolicy, WantedTenant
from model.wanted import refer as refer_wanted

_NONE: Final = Seat(0, 0)
_OPERATOR: Final = TenantKey(0)


@dataclass(frozen=True, slots=True)
class _Planned:
    """What is written, beside what is stored. `kept`: see _kept."""

    want: WantedPolicy
    before: PolicyRecord | None
    owner: TenantKey
    policy: Policy
    told: tuple[str, ...]
    kept: list[int]


def plan_policies(trial: Trial, wanted: Sequence[WantedPolicy]) -> None:
    """Numbers that are given up first, so that none of them gets another meaning in the same run."""
    planned = [found for want in wanted if (found := _read(trial, want)) is not None]
    for each in planned:
        if each.before is not None:
            held = (seat.number for seat in _seats(each.before.value))
            _release(trial, each.want, held, {*each.kept})
    made: dict[Reference, PolicyRecord] = {}
    for each in planned:
        record = _record(trial, each)
        if record is not None:
            made[refer(record)] = record
    for tenant, tier in sorted({(r.value.policy.tenant, r.value.policy.tier) for r in made.values()}):
        made |= _place(trial, tenant, tier, made)
    for reference in sorted(made, key=lambda r: (r.tenant or "", r.name)):
        stored = trial.draft.find(reference)
        trial.settle(reference, stored, made[reference])


def number_defaults(
    trial: Trial, want: WantedTenant, before: TenantRecord | None
) -> tuple[Defaults, tuple[int, int]] | None:
    """A tenant's defaults and the numbers of the two; None (and a fault) if there are none left."""
    old = Defaults() if before is None else before.value.defaults
    held = (0, 0) if before is None else before.value.seats
    if want.defaults is None:
        return old, held
    had = dict(zip(identities_of(want.name, old), held, strict=True))
    asked = identities_of(want.name, want.defaults)
    kept = [had.get(identity, 0) if identity else 0 for identity in asked]
    _release(trial, want, held, {*kept})
    numbers = _numbers(trial, want, kept, asked)
    return None if numbers is None else (want.defaults, (numbers[0], numbers[1]))


def _read(trial: Trial, want: WantedPolicy) -> _Planned | None:
    """None (and a fault) if its tenant is not there."""
    owner = _owner(trial, want)
    if owner is None:
        return None
    before, policy = trial.draft.find(refer_wanted(want)), _policy(want)
    assert before is None or isinstance(before, PolicyRecord)
    told = identities(policy)
    return _Planned(want, before, owner, policy, told, _kept(before, told))


def _record(trial: Trial, each: _Planned) -> PolicyRecord | None:
    """Its heights are those that it had. None (and a fault) if no number is left."""
    numbers = _numbers(trial, each.want, each.kept, each.told)
    if numbers is None:
        return None
    before = each.before
    uid = trial.new_uid() if before is None else before.value.uid
    value = _seated(Standing(uid, each.policy, each.owner, ()), numbers, before)
    labels = each.want.labels
    if labels is None:
        labels = () if before is None else before.labels
    return PolicyRecord(value, each.want.tenant, labels)


def _owner(trial: Trial, want: WantedPolicy) -> TenantKey | None:
    if want.tenant is None:
        return _OPERATOR
    tenant = find_tenant(trial, want)
    return None if tenant is None else tenant.value.key


def _policy(want: WantedPolicy) -> Policy:
    """What is named by its place has that name, and tenants write in one tier alone."""
    tier = want.policy.tier if want.tenant is None else Tier.TENANT
    return replace(want.policy, name=want.name, tenant=want.tenant or "", tier=tier)


def _seats(value: Standing) -> tuple[Seat, ...]:
    """In the order of model.entries.identities."""
    return (*value.seats, value.outward or _NONE, value.inward or _NONE)


def _kept(before: PolicyRecord | None, asked: Sequence[str]) -> list[int]:
    """The number that each of these identities has already; 0 = none. Of two that mean the same the first has
    the first of theirs."""
    had: dict[str, list[int]] = {}
    if before is not None:
        for identity, seat in zip(identities(before.value.policy), _seats(before.value), strict=True):
            if identity and seat.number not in (0, *UNREAD):
                had.setdefault(identity, []).append(seat.number)
    return [had[one].pop(0) if had.get(one) else 0 for one in asked]


def _release(trial: Trial, want: Wanted, numbers: Iterable[int], kept: set[int]) -> None:
    """Those that are not kept rest for days: hosts that were away count under them, and established
    connections bear them."""
    gone = sorted({number for number in numbers if number not in (0, *UNREAD)} - kept)
    trial.release(refer_wanted(want), ((POLICY_NUMBER, number) for number in gone))


def _numbers(trial: Trial, want: Wanted, kept: Sequence[int], asked: Sequence[str]) -> list[int] | None:
    """For each that is said its number, kept or new; 0 for what is not. None (and a fault) if there is none
    left."""
    found: list[int] = []
    pool = trial.draft.pool(POLICY_NUMBER)
    assert pool is not None
    for number, identity in zip(kept, asked, strict=True):
        if identity and not number:
            given = trial.allocate(want, pool, "numbers of rules", "spec")
            if given is None:
                return None
            number = given
        found.append(number)
    return found


def _seated(value: Standing, numbers: Sequence[int], before: PolicyRecord | None) -> Standing:
    """With these numbers, and the heights that they had; 0 = none yet, or of another tier."""
    had: dict[int, int] = {}
    if before is not None and before.value.policy.tier is value.policy.tier:
        had = {seat.number: seat.height for seat in _seats(before.value)}
    seats = [Seat(number, had.get(number, 0)) for number in numbers]
    return _with_seats(value, seats)


def _with_seats(value: Standing, seats: Sequence[Seat]) -> Standing:
    *rules, outward, inward = seats
    return replace(
        value,
        seats=tuple(rules),
        outward=outward if outward.number else None,
        inward=inward if inward.number else None,
    )


def _place(
    trial: Trial, tenant: str, tier: Tier, made: dict[Reference, PolicyRecord]
) -> dict[Reference, PolicyRecord]:
    """Heights of one tier of one owner: those of `made`, and others that have to make room."""
    here = {refer(r): r for r in _policies_of(trial, tenant) if r.value.policy.tier is tier}
    here = {reference: record for reference, record in here.items() if not _unread(record)}
    here |= {refer(r): r for r in made.values() if (r.tenant or "") == tenant and r.value.policy.tier is tier}
    here = {reference: record for reference, record in here.items() if _tier_of(made, reference, tier)}
    seats = {reference: [*_seats(record.value)] for reference, record in here.items()}
    names = {record.value.policy.name: reference for reference, record in here.items()}
    policies = [record.value.policy for record in here.values()]
    for direction in Direction:
        listed = [
            (names[policy.name], number - 1 if number else _default_at(direction))
            for policy, number in in_order(policies, direction)
        ]
        found = heights.place([seats[reference][at].height for reference, at in listed])
        if found is None:
            _refuse(trial, tier, direction, [*made], len(listed))
            return {}
        for (reference, at), height in zip(listed, found, strict=True):
            seats[reference][at] = replace(seats[reference][at], height=height)
    placed = {r: replace(here[r], value=_with_seats(here[r].value, seats[r])) for r in here}
    return {r: record for r, record in placed.items() if r in made or record != here[r]}


def _policies_of(trial: Trial, tenant: str) -> list[PolicyRecord]:
    """A tenant's, by name; the operator's for an empty name."""
    draft = trial.draft
    if not tenant:
        return [draft.operator_policies[name] for name in sorted(draft.operator_policies)]
    found = draft.dependants(of_tenant(tenant))
    return [draft.policies[tenant, r.name] for r in found if r.kind is Kind.SECURITY_POLICY]


def _tier_of(made: dict[Reference, PolicyRecord], reference: Reference, tier: Tier) -> bool:
    """Whether it will stand in this tier: one that moves to another does not any more."""
    return reference not in made or made[reference].value.policy.tier is tier


def _default_at(direction: Direction) -> int:
    """Its place among a policy's seats, from their end."""
    return -2 if direction is Direction.OUT else -1


def _unread(record: PolicyRecord) -> bool:
    return any(seat.number in UNREAD for seat in record.value.seats)


def _refuse(trial: Trial, tier: Tier, direction: Direction, asked: list[Reference], count: int) -> None:
    trial.refuse(
        Exhausted,
        trial.blame(*asked),
        "policy-too-many-rules",
        f"tier {tier.name.lower()} would have {count} rules and defaults {direction.value}, of"
        f" {len(heights.FREE)} at most",
        "Join rules: one can name many peers and services.",
        "spec.rules",
    )
