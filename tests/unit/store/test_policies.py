"""Policies in the store: texts that say all of them, rows that agents get, and rows of an older schema."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.store import policies
from controller.store.faults import Raced
from controller.store.policy_texts import (
    defaults_text,
    parse_defaults,
    parse_seats,
    parse_spec,
    seats_text,
    spec_text,
)
from controller.store.server import Server
from controller.store.writer import Store
from ipam.contents import Contents, PolicyRecord
from model.change import Part
from model.ids import TenantKey, Uid
from model.labels import matching
from model.policy import (
    HEIGHTS,
    UNREAD,
    Action,
    Change,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Rule,
    Seat,
    Selection,
    Service,
    Tier,
)
from model.wanted import Kind, Reference, WantedNetwork, WantedPolicy, WantedTenant
from tests.fakes.policies import of_both, policy_sets
from tests.unit.store.house import OLD, apply, base, delete, planner, poll, port, watching
from tests.unit.store.test_server import tool

IN, OUT = Direction.IN, Direction.OUT
CLOSED = Defaults(inward=Default(Action.DENY))
GOLD = Selection(tenants=matching([("plan", "gold")]))
UID = Uid("00000000-0000-4000-8000-000000000001")


def allow(*ports: int) -> tuple[Rule, ...]:
    return tuple(Rule(IN, Action.ALLOW, services=(Service(6, PortRange(n, n)),)) for n in ports)


def of(tenant: str, name: str, *rules: Rule, defaults: Defaults = CLOSED) -> WantedPolicy:
    return WantedPolicy(tenant, name, Policy(name, tenant, rules=rules, defaults=defaults))


def of_operator(name: str, *rules: Rule, tier: Tier = Tier.OPERATOR) -> WantedPolicy:
    return WantedPolicy(None, name, Policy(name, "", tier, rules=rules))


def all_of(contents: Contents) -> dict[Uid, PolicyRecord]:
    records = (*contents.policies.values(), *contents.operator_policies.values())
    return {record.value.uid: record for record in records}


@given(policy_sets(), of_both, st.sampled_from(Change))
@settings(max_examples=150)
def test_texts_say_all_of_a_policy(drawn: tuple[Policy, ...], own: Defaults, change: Change) -> None:
    for policy in drawn:
        written = replace(policy, on_change=change, order=-3)
        bare = Policy(policy.name, policy.tenant, policy.tier, -3)
        assert parse_spec(spec_text(written), bare) == written
        seats = tuple(Seat(number + 1, 9 - number) for number, _ in enumerate(policy.rules))
        assert parse_seats(seats_text(seats, None, Seat(7, 1))) == (seats, None, Seat(7, 1))
    assert parse_defaults(defaults_text(own)) == own


def test_what_says_nothing_is_short() -> None:
    silent = Policy("p", "t")
    assert (spec_text(silent), seats_text((), None, None), defaults_text(Defaults())) == ("{}", "{}", "")
    assert parse_spec("{}", silent) == silent


def test_peers_of_all_tenants_are_not_those_of_ones_own() -> None:
    """A selector of tenants that asks for nothing takes every tenant; none at all takes the subject's."""
    own, everybody = Selection(), replace(GOLD, tenants=matching([]))
    policy = Policy("p", "", Tier.OPERATOR, subject=GOLD, rules=(Rule(IN, Action.DENY, (own, everybody)),))
    assert parse_spec(spec_text(policy), Policy("p", "", Tier.OPERATOR)) == policy


RULE = '{"action":"allow","direction":"in"%s}'
BROKEN = [
    "",
    "[]",
    "7",
    '{"rules":7}',
    '{"rules":[7]}',
    '{"rules":[{}]}',
    '{"strange":1}',
    '{"change":"never"}',
    '{"in":{"action":"pass"}}',
    '{"in":{"action":"deny","share":101}}',
    '{"in":{"action":"deny","share":true}}',
    '{"subject":{"ports":[["app","Like","x"]]}}',
    '{"subject":{"ports":[[]]}}',
    *(
        '{"rules":[' + RULE % more + "]}"
        for more in (
            ',"strange":1',
            ',"state":"off"',
            ',"name":7',
            ',"peers":[{"cidr":"10.0.0.1/8"}]',
            ',"peers":[{"cidr":"10.0.0.0/8","except":"x"}]',
            ',"peers":[{"cidr":"10.0.0.0/8","ports":[]}]',
            ',"services":[[6,[90,80],null,null]]',
            ',"services":[[6,[80,65536],null,null]]',
            ',"services":[[256,null,null,null]]',
            ',"services":[[6,null,null]]',
        )
    ),
    "[" * 100_000,
]


@pytest.mark.parametrize("spec", BROKEN, ids=range(len(BROKEN)))
def test_what_cannot_be_read_lets_nothing_pass(spec: str) -> None:
    row = policies.policy_columns(standing(Policy("p", "acme")), UID, ()) | {"spec": spec}
    value, reason = policies.standing(UID, row, "acme", TenantKey(5))
    assert reason
    assert value.policy.rules == (Rule(OUT, Action.DENY), Rule(IN, Action.DENY))
    assert value.seats == tuple(Seat(number, HEIGHTS[-1]) for number in UNREAD)
    assert (value.owner, value.policy.name, value.policy.tenant) == (5, "p", "acme")


def standing(policy: Policy, *seats: Seat):
    return policies.Standing(UID, policy, TenantKey(5), seats)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"seats": "{}"}, "its seats are not those of its rules"),
        ({"seats": '{"rules":[[1,1]],"in":[2,1]}'}, "its seats are not those of its rules"),
        ({"seats": '{"rules":[[0,1]]}'}, "0 is not in 1 to"),
        ({"seats": f'{{"rules":[[{UNREAD[0]},1]]}}'}, f"{UNREAD[0]} is not in 1 to"),
        ({"seats": f'{{"rules":[[1,{HEIGHTS[-1]}]]}}'}, f"{HEIGHTS[-1]} is not in 1 to"),
        ({"tier": "operator"}, "tier operator is not its owner's"),
        ({"tier": "other"}, "'other'"),
    ],
)
def test_seats_and_tier_must_fit_too(changed: dict[str, str], reason: str) -> None:
    row = policies.policy_columns(standing(Policy("p", "acme", rules=allow(80)), Seat(1, 1)), UID, ())
    assert not policies.standing(UID, row, "acme", TenantKey(5))[1]
    value, told = policies.standing(UID, row | changed, "acme", TenantKey(5))
    assert reason in told and value.policy.rules[0].action is Action.DENY
    assert value.policy.tier is Tier.TENANT


def test_the_operators_are_never_in_the_tenants_tier() -> None:
    row = policies.policy_columns(standing(Policy("p", "", Tier.TENANT)), None, ())
    value, reason = policies.standing(UID, row, "", TenantKey(0))
    assert reason and value.policy.tier is Tier.OPERATOR


def test_what_is_written_is_read_back(store: Store) -> None:
    labels = (("team", "a"),)
    apply(store, *base())
    apply(
        store,
        replace(of("acme", "web", *allow(80, 443)), labels=labels),
        of("umbra", "web"),
        of_operator("floor", *allow(22)),
        of_operator("web", tier=Tier.BASELINE),
        WantedTenant("acme", defaults=Defaults(outward=Default(Action.ALLOW)), labels=labels),
    )
    contents = store.read_all()
    poll(lambda: store.contents() == replace(contents, taken=store.contents().taken))
    web = contents.policies["acme", "web"]
    assert web.labels == labels and web.value.policy.rules == allow(80, 443)
    assert web.value.owner == contents.tenants["acme"].value.key
    assert contents.operator_policies["web"].value.policy.tier is Tier.BASELINE
    tenant = contents.tenants["acme"].value
    assert tenant.defaults == Defaults(outward=Default(Action.ALLOW))
    assert tenant.seats[0] and not tenant.seats[1]
    numbers = [s.number for r in all_of(contents).values() for s in (*r.value.seats, r.value.inward) if s]
    assert len({*numbers, tenant.seats[0]}) == len(numbers) + 1
    apply(store, WantedTenant("acme", defaults=Defaults()))
    assert store.read_all().tenants["acme"].value.seats == (0, 0)


def test_a_rule_that_changes_is_one_row(store: Store, server: Server) -> None:
    apply(store, *base(), port("a", "h1"), *(of("acme", f"p{n}", *allow(*range(1, 50))) for n in range(5)))
    with watching(server.remote, "h1") as seen:
        assert len(seen.part(Part.POLICY)) == 5
        count = len(seen.batches)
        apply(store, of("acme", "p2", *allow(*range(1, 20), 8080, *range(20, 50))))
        seen.wait(lambda: seen.part(Part.CLUSTER)[None].generation == store.generation())
        said = [key for batch in seen.batches[count:] for key in batch.upserts]
        assert [(part, value.policy.name) for part, _, value in said if part is Part.POLICY] == [
            (Part.POLICY, "p2")
        ]
        assert {part for part, _, _ in said} == {Part.POLICY, Part.CLUSTER}


def test_a_host_sees_policies_of_its_tenants_and_the_operators(server: Server, store: Store) -> None:
    apply(store, *base(), port("a", "h1"), port("x", "h2", tenant="umbra"))
    apply(store, of("acme", "web", *allow(80)), of("umbra", "web"), of_operator("floor", *allow(22)))

    def held(name: str) -> dict:
        wanted = (("acme", "floor"), ("umbra", "floor"))[name == "h2"]
        found = all_of(store.read_all()).items()
        return {u: r.value for u, r in found if r.tenant in (None, wanted[0])}

    with watching(server.remote, "h1") as one, watching(server.remote, "h2") as two:
        assert one.part(Part.POLICY) == held("h1") and len(held("h1")) == 2
        assert two.part(Part.POLICY) == held("h2") and len(held("h2")) == 2
        apply(store, of("acme", "late", *allow(443)), of_operator("roof", tier=Tier.BASELINE))
        one.wait(lambda: len(one.part(Part.POLICY)) == 4)
        two.wait(lambda: len(two.part(Part.POLICY)) == 3)
        apply(store, port("b", "h1", tenant="umbra"))
        one.wait(lambda: len(one.part(Part.POLICY)) == 5)
        delete(
            store, Reference(Kind.SECURITY_POLICY, "web", "acme"), Reference(Kind.OPERATOR_POLICY, "floor")
        )
        one.wait(lambda: len(one.part(Part.POLICY)) == 3)
        two.wait(lambda: len(two.part(Part.POLICY)) == 2)
        delete(store, Reference(Kind.PORT, "b", "umbra"))
        one.wait(lambda: {v.policy.name for v in one.part(Part.POLICY).values()} == {"late", "roof"})
    with watching(server.remote, "h3") as seen:
        assert {v.policy.name for v in seen.part(Part.POLICY).values()} == {"roof"}


def test_a_host_sees_labels_and_what_becomes_of_them(server: Server, store: Store) -> None:
    def labels() -> list:
        return [v.labels for part in (Part.TENANT, Part.NETWORK, Part.PORT) for v in seen.part(part).values()]

    apply(store, *base())
    with watching(server.remote, "h1") as seen:
        apply(store, port("a", "h1"))
        for given in ({"app": "web", "tier": "front"}, {"app": "db", "zone": "1"}, {"zone": "1"}, {}):
            labelled = tuple(sorted(given.items()))
            apply(
                store,
                WantedTenant("acme", labels=labelled, defaults=CLOSED),
                WantedNetwork("acme", "prod", labels=labelled),
                port("a", "h1", labels=labelled),
            )
            seen.wait(lambda: labels() == [labelled] * 3)  # noqa: B023
        tenant = store.read_all().tenants["acme"].value
        seen.wait(lambda: [*seen.part(Part.TENANT).values()] == [tenant])
        assert tenant.defaults == CLOSED and tenant.seats[1]


def test_two_that_write_at_once_share_no_number_and_no_height(store: Store, server: Server) -> None:
    """No index spans them: who is second plans again."""
    apply(store, *base(), of("acme", "a", *allow(1)), of("acme", "z", *allow(1)))
    late = Store(server.remote)
    try:
        old = late.contents()
        made = planner(of("acme", "m", *allow(1)))(old)
        apply(store, of("acme", "n", *allow(2)))
        with pytest.raises(Raced):
            late.apply(old, made, "", "d", "")
        apply(late, of("acme", "m", *allow(1)))
    finally:
        late.close()
    seats = [record.value.seats[0] for record in store.read_all().policies.values()]
    assert len({seat.number for seat in seats}) == len({seat.height for seat in seats}) == 4


def test_one_that_cannot_be_read_can_be_deleted_and_written_anew(store: Store, caplog) -> None:
    apply(store, *base(), of("acme", "ill", *allow(1)), of("acme", "well", *allow(1)))
    uid = store.contents().policies["acme", "ill"].value.uid
    spoil = {"op": "update", "table": "Policy", "where": [["_uuid", "==", ["uuid", uid]]]}
    for _ in range(2):
        store.move([spoil | {"row": {"spec": "{"}}])
        poll(lambda: store.contents().policies["acme", "ill"].value.seats[0].number in UNREAD)
        apply(store, of("acme", "ill", *allow(1)))
        assert store.contents().policies["acme", "ill"].value.policy.rules == allow(1)
    assert "policy can't be read policy=acme/ill" in caplog.text
    store.move([spoil | {"row": {"spec": "{"}}])
    poll(lambda: store.contents().policies["acme", "ill"].value.seats[0].number in UNREAD)
    delete(store, Reference(Kind.SECURITY_POLICY, "ill", "acme"))
    assert {*store.read_all().policies} == {("acme", "well")}


def test_a_database_of_version_1_7_0_is_upgraded_and_takes_policies(directory: Path) -> None:
    file = directory / "db" / "ringfence.db"
    file.parent.mkdir()
    tool("create", str(file), str(OLD.with_name("ringfence-1.7.0.ovsschema")))
    labels = ["map", [["plan", "gold"]]]
    operations = [
        {"op": "insert", "table": "Cluster", "row": {"generation": 41, "asn": 65001}},
        {"op": "insert", "table": "Tenant", "row": {"name": "acme", "key": 1, "l3vni": 9, "labels": labels}},
    ]
    answer = json.loads(tool("transact", str(file), json.dumps(["Ringfence", *operations])))
    assert not [r for r in answer if "error" in r]
    server = Server(directory / "db")
    server.start()
    store = Store(server.remote)
    try:
        before = store.contents().tenants["acme"].value
        assert (before.defaults, before.seats, before.labels) == (Defaults(), (0, 0), (("plan", "gold"),))
        apply(store, WantedTenant("acme", defaults=CLOSED), of("acme", "web", *allow(80)), of_operator("op"))
        after = store.contents()
        assert after.tenants["acme"].value.defaults == CLOSED
        assert {*after.policies} == {("acme", "web")} and {*after.operator_policies} == {"op"}
        assert after == replace(store.read_all(), taken=after.taken)
    finally:
        store.close()
        server.stop()
