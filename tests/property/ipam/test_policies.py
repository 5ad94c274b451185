"""Policies on random histories: heights follow the order that judges, numbers are whose they were."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st

from ipam.contents import Contents, PolicyRecord, refer
from ipam.deletion import plan_deletion
from ipam.draft import Draft
from ipam.plan import plan
from ipam.pools import defaults
from ipam.steps import Plan
from model.entries import Entry, Level, identities, identities_of, standing
from model.ids import Uid
from model.intent import Cluster
from model.policy import Direction, Policy, Seat
from model.wanted import WantedPolicy, WantedTenant
from tests.fakes.policies import of_both, policy_sets

ACTIONS = st.lists(st.tuples(policy_sets(), of_both, st.booleans()), min_size=1, max_size=4)


def new_cluster() -> Contents:
    draft = Draft(Contents())
    draft.set_cluster(Cluster(Uid("cluster"), 1, 65000))
    for pool in defaults(site=1):
        draft.put_pool(pool)
    return draft.contents()


def numbered() -> Callable[[], Uid]:
    numbers = count(1)
    return lambda: Uid(f"uid-{next(numbers)}")


def after(contents: Contents, made: Plan) -> Contents:
    draft = Draft(contents)
    for step in made.steps:
        if step.after is None:
            draft.remove(step.reference)
        else:
            draft.put(step.after)
    for stone in made.tombstones:
        draft.bury((stone.scope, stone.value), stone.until)
    return draft.contents()


def policies(contents: Contents) -> list[PolicyRecord]:
    return [*contents.policies.values(), *contents.operator_policies.values()]


def wanted(policy: Policy) -> WantedPolicy:
    return WantedPolicy(policy.tenant or None, policy.name, policy)


def meanings(contents: Contents) -> dict[int, tuple[str, ...]]:
    """Number -> whose it is and what it means; each is met once."""
    found: dict[int, tuple[str, ...]] = {}
    for record in policies(contents):
        value = record.value
        seats = (*value.seats, value.outward or Seat(0, 0), value.inward or Seat(0, 0))
        for identity, seat in zip(identities(value.policy), seats, strict=True):
            assert bool(identity) == bool(seat.number) == bool(seat.height)
            if identity:
                assert seat.number not in found
                found[seat.number] = (record.tenant or "", value.policy.name, identity)
    for name, tenant in contents.tenants.items():
        told = identities_of(name, tenant.value.defaults)
        for identity, number in zip(told, tenant.value.seats, strict=True):
            assert bool(identity) == bool(number) and number not in found
            if identity:
                found[number] = (name, identity)
    return found


def height(contents: Contents, entry: Entry, direction: Direction) -> int:
    where = entry.place
    key = (where.tenant, where.policy)
    record = contents.policies[key] if where.tenant else contents.operator_policies[where.policy]
    if where.number:
        return record.value.seats[where.number - 1].height
    seat = record.value.outward if direction is Direction.OUT else record.value.inward
    assert seat is not None
    return seat.height


def check_order(contents: Contents) -> None:
    for direction in Direction:
        entries = standing((record.value.policy for record in policies(contents)), {}, direction)
        for level in Level:
            held = [height(contents, e, direction) for e in entries if e.place.level is level]
            assert held == sorted({*held}, reverse=True)


@given(ACTIONS)
@settings(max_examples=60)
def test_heights_follow_the_order_and_a_number_never_changes_its_meaning(actions) -> None:
    contents, uids, known = new_cluster(), numbered(), {}
    for drawn, own, clearing in actions:
        asked = [WantedTenant("acme", defaults=own), *(wanted(policy) for policy in drawn)]
        before = meanings(contents)
        made = plan(contents, asked, 1_000, uids)
        contents = after(contents, made)
        check_order(contents)
        now = meanings(contents)
        assert all(known.get(number, meaning) == meaning for number, meaning in now.items())
        told, had = [*now.values()], [*before.values()]
        stay = {one for one in had if told.count(one) >= had.count(one)}
        assert all(number in now for number, meaning in before.items() if meaning in stay)
        known |= now
        assert not plan(contents, asked, 1_000, lambda: Uid("none"))
        if clearing and contents.policies:
            gone = [refer(record) for record in contents.policies.values()]
            contents = after(contents, plan_deletion(contents, gone, 1_000))
            check_order(contents)


@given(policy_sets(), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_the_order_in_which_they_are_written_changes_nothing(drawn, chance) -> None:
    shuffled = [wanted(policy) for policy in drawn]
    chance.shuffle(shuffled)
    made = [
        plan(new_cluster(), [WantedTenant("acme"), *asked], 1_000, numbered())
        for asked in ([wanted(policy) for policy in drawn], shuffled)
    ]
    assert made[0] == made[1]


@given(policy_sets())
@settings(max_examples=60)
def test_what_only_counts_now_keeps_its_numbers(drawn) -> None:
    first = plan(new_cluster(), [WantedTenant("acme"), *map(wanted, drawn)], 1_000, numbered())
    contents = after(new_cluster(), first)
    turned = [replace(p, rules=tuple(replace(rule, share=7) for rule in p.rules), order=-9) for p in drawn]
    later = after(contents, plan(contents, [*map(wanted, turned)], 1_000, lambda: Uid("none")))
    assert meanings(later) == meanings(contents)
