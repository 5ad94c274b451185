"""Planning of policies: whose number is whose and how long, who judges before whom, who must be there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipam.contents import Contents, PolicyRecord
from ipam.draft import Draft
from ipam.heights import FREE
from ipam.pools import POLICY_NUMBER
from ipam.steps import Verb
from ipam.trial import LONG_COOL_DOWN_MS
from model.errors import Conflict, Exhausted
from model.labels import matching
from model.policy import (
    HEIGHTS,
    UNREAD,
    Action,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Rule,
    Seat,
    Selection,
    Service,
    Standing,
    State,
    Tier,
)
from model.wanted import Kind, Reference, WantedPolicy, WantedTenant

IN, OUT = Direction.IN, Direction.OUT
ALLOW, DENY = Default(Action.ALLOW), Default(Action.DENY)


def port(number: int) -> Rule:
    return Rule(IN, Action.ALLOW, services=(Service(6, PortRange(number, number)),))


def of_acme(name: str, *rules: Rule, defaults: Defaults = Defaults(), order: int = 0) -> WantedPolicy:  # noqa: B008
    return WantedPolicy("acme", name, Policy(name, "acme", order=order, rules=rules, defaults=defaults))


def of_operator(name: str, *rules: Rule, tier: Tier = Tier.OPERATOR) -> WantedPolicy:
    return WantedPolicy(None, name, Policy(name, "", tier, rules=rules))


def record(contents: Contents, name: str) -> PolicyRecord:
    found = contents.policies.get(("acme", name)) or contents.operator_policies.get(name)
    assert found is not None
    return found


def seats(contents: Contents, name: str) -> tuple[Seat, ...]:
    return record(contents, name).value.seats


def numbers(contents: Contents, name: str) -> list[int]:
    return [seat.number for seat in seats(contents, name)]


def test_a_number_stays_while_the_rule_means_the_same(bench) -> None:
    bench.apply(of_acme("web", port(80), port(443)))
    (one, two), uid = numbers(bench.contents, "web"), record(bench.contents, "web").value.uid
    counting = replace(port(443), state=State.COUNT)
    bench.apply(of_acme("web", counting, port(22), port(80)))
    assert numbers(bench.contents, "web")[0::2] == [two, one]
    assert numbers(bench.contents, "web")[1] not in (one, two)
    assert record(bench.contents, "web").value.uid == uid
    assert not bench.plan(of_acme("web", counting, port(22), port(80))), "said again it is nothing"


def test_who_means_something_else_is_another(bench) -> None:
    bench.apply(of_acme("web", port(80), defaults=Defaults(inward=DENY)))
    before = record(bench.contents, "web").value
    wanted = of_acme("web", port(80), defaults=Defaults(inward=DENY))
    elsewhere = replace(wanted.policy, subject=Selection(matching([("app", "web")])))
    bench.apply(replace(wanted, policy=elsewhere))
    after = record(bench.contents, "web").value
    assert before.inward is not None and after.inward is not None and after.outward is None
    held = {seat.number for seat in (*before.seats, before.inward)}
    assert held.isdisjoint(seat.number for seat in (*after.seats, after.inward))


def test_a_number_that_was_given_up_rests(bench) -> None:
    bench.apply(of_acme("web", port(80)))
    (first,) = numbers(bench.contents, "web")
    bench.apply(of_acme("web", port(81)), of_acme("new", port(80)))
    held = {*numbers(bench.contents, "web"), *numbers(bench.contents, "new")}
    assert len(held) == 2 and first not in held
    bench.now += LONG_COOL_DOWN_MS - 1
    bench.apply(of_acme("late", port(1)))
    assert numbers(bench.contents, "late") != [first]
    bench.now += 1
    bench.apply(of_acme("later", port(1)))
    assert numbers(bench.contents, "later") == [first]


def test_two_that_mean_the_same_keep_theirs(bench) -> None:
    bench.apply(of_acme("web", port(80), port(80)))
    before = numbers(bench.contents, "web")
    assert len(set(before)) == 2
    bench.apply(of_acme("web", port(80), port(22), port(80)))
    assert numbers(bench.contents, "web")[0::2] == before


def test_a_rule_between_others_changes_its_own_policy_alone(bench) -> None:
    bench.apply(*(of_acme(name, port(1), port(2), defaults=Defaults(inward=DENY)) for name in "abc"))
    was = {name: record(bench.contents, name).value for name in "abc"}
    made = bench.apply(of_acme("b", port(1), port(9), port(2), defaults=Defaults(inward=DENY)))
    assert [step.reference.name for step in made.of(Verb.CHANGE)] == ["b"]
    now = record(bench.contents, "b").value
    assert (now.seats[0], now.seats[2], now.inward) == (*was["b"].seats, was["b"].inward)
    assert now.seats[0].height > now.seats[1].height > now.seats[2].height


def test_heights_follow_order_and_defaults_come_last_denies_first(bench) -> None:
    bench.apply(
        of_acme("a", port(1), defaults=Defaults(inward=ALLOW), order=5),
        of_acme("b", port(1), port(2), defaults=Defaults(inward=DENY)),
    )
    a, b = (record(bench.contents, name).value for name in "ab")
    assert a.inward is not None and b.inward is not None
    falling = [*(s.height for s in (*b.seats, *a.seats)), b.inward.height, a.inward.height]
    assert falling == sorted(falling, reverse=True) and len(set(falling)) == len(falling)
    held = {seat.number for seat in (*a.seats, *b.seats)}
    bench.apply(of_acme("a", port(1), defaults=Defaults(inward=ALLOW), order=-5))
    a, b = (record(bench.contents, name).value for name in "ab")
    assert a.seats[0].height > b.seats[0].height
    assert held == {seat.number for seat in (*a.seats, *b.seats)}, "an order is no meaning"


def test_where_a_gap_is_used_up_neighbours_make_room(bench) -> None:
    bench.apply(of_acme("a", port(1)), of_acme("z", port(1), port(2)))
    held, moved = {*numbers(bench.contents, "z")}, 0
    for count in range(2, 40):
        made = bench.apply(of_acme("a", *(port(n) for n in range(count))))
        moved += len(made.of(Verb.CHANGE)) - 1
        all_of_them = [seat.height for name in "az" for seat in seats(bench.contents, name)]
        assert all_of_them == sorted({*all_of_them}, reverse=True)
    assert 0 < moved < 10 and {*numbers(bench.contents, "z")} == held


def test_an_operators_policy_that_changes_its_tier_is_placed_there(bench) -> None:
    bench.apply(of_operator("a", port(1)), of_operator("b", port(1), tier=Tier.BASELINE))
    bench.apply(of_operator("a", port(1), tier=Tier.BASELINE))
    a, b = (record(bench.contents, name).value for name in "ab")
    assert a.seats[0].height > b.seats[0].height
    assert a.owner == 0 and record(bench.contents, "a").tenant is None


def test_a_tenants_policy_stands_in_its_own_tier_under_its_own_name(bench) -> None:
    bench.apply(WantedPolicy("acme", "web", Policy("x", "y", Tier.OPERATOR)))
    value = record(bench.contents, "web").value
    assert (value.policy.name, value.policy.tenant, value.policy.tier) == ("web", "acme", Tier.TENANT)
    assert value.owner == bench.contents.tenants["acme"].value.key


def test_its_tenant_must_be_there_and_stays_until_it_goes(bench) -> None:
    with pytest.raises(Conflict) as caught:
        bench.plan(WantedPolicy("nobody", "web", Policy("web", "nobody")))
    assert [f.rule for f in caught.value.faults] == ["unknown-tenant"]
    bench.apply(WantedTenant("new"), WantedPolicy("new", "web", Policy("web", "new", rules=(port(80),))))
    tenant, policy = Reference(Kind.TENANT, "new"), Reference(Kind.SECURITY_POLICY, "web", "new")
    with pytest.raises(Conflict) as caught:
        bench.delete(tenant)
    assert [f.rule for f in caught.value.faults] == ["still-used"]
    assert "SecurityPolicy new/web" in caught.value.faults[0].message
    bench.delete(tenant, policy)
    assert ("new", "web") not in bench.contents.policies
    assert not [claim for claim in bench.contents.owners if claim[0] == POLICY_NUMBER]


def test_labels_stay_unless_they_are_written(bench) -> None:
    bench.apply(replace(of_acme("web", port(80)), labels=(("team", "a"),)))
    bench.apply(of_acme("web", port(81)))
    assert record(bench.contents, "web").labels == (("team", "a"),)


def test_tenants_defaults_have_numbers_and_keep_them(bench) -> None:
    def acme() -> tuple[Defaults, tuple[int, int]]:
        value = bench.contents.tenants["acme"].value
        return value.defaults, value.seats

    assert acme() == (Defaults(), (0, 0))
    bench.apply(WantedTenant("acme", defaults=Defaults(inward=replace(DENY, state=State.COUNT))))
    (_, (nothing, first)) = acme()
    assert nothing == 0 and first
    bench.apply(WantedTenant("acme", defaults=Defaults(outward=ALLOW, inward=DENY)))
    (_, (out, same)) = acme()
    assert same == first and out not in (0, first)
    bench.apply(WantedTenant("acme", labels=(("a", "b"),)))
    assert acme()[1] == (out, first), "not written means left as it is"
    bench.apply(WantedTenant("acme", defaults=Defaults(inward=ALLOW)), of_acme("web", port(80)))
    assert acme()[1][0] == 0 and acme()[1][1] not in (0, first, out, *numbers(bench.contents, "web"))
    assert bench.contents.tenants["acme"].value.labels == (("a", "b"),)


def test_what_could_not_be_read_gives_its_seats_up(bench) -> None:
    """Its stand-in (controller.store.policies) has numbers and a height that nobody else may have."""
    bench.apply(of_acme("ill", port(80)), of_acme("well", port(80)))
    ill, well = record(bench.contents, "ill"), seats(bench.contents, "well")
    deny = (Rule(OUT, Action.DENY), Rule(IN, Action.DENY))
    places = tuple(Seat(number, HEIGHTS[-1]) for number in UNREAD)
    value = Standing(ill.value.uid, Policy("ill", "acme", rules=deny), ill.value.owner, places)
    draft = Draft(bench.contents)
    draft.put(replace(ill, value=value))
    bench.contents = draft.contents()
    bench.apply(of_acme("other", port(80)))
    assert seats(bench.contents, "ill") == places and seats(bench.contents, "well") == well
    bench.apply(of_acme("ill", *deny))
    assert not {*numbers(bench.contents, "ill")} & {*UNREAD}
    assert all(seat.height in FREE for seat in seats(bench.contents, "ill"))


def test_a_tier_that_is_full_is_refused_by_name(bench, monkeypatch) -> None:
    monkeypatch.setattr("ipam.heights.FREE", range(1, 4))
    bench.apply(of_acme("a", port(1), port(2)))
    with pytest.raises(Exhausted) as caught:
        bench.plan(of_acme("b", port(1), port(2)))
    assert [(f.rule, f.object) for f in caught.value.faults] == [
        ("policy-too-many-rules", "SecurityPolicy acme/b")
    ]
    bench.apply(of_acme("b", port(1)), of_operator("c", port(1), port(2)))


def test_numbers_run_out_by_name(bench, monkeypatch) -> None:
    monkeypatch.setattr("ipam.pools.NUMBERS", range(1, 3))
    monkeypatch.setattr("ipam.pools.UNREAD", range(3, 5))
    with pytest.raises(Exhausted) as caught:
        bench.plan(of_acme("a", port(1), port(2), port(3)))
    assert [f.rule for f in caught.value.faults] == ["pool-exhausted"]
