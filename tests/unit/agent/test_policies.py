"""Policies in the agent's state: they come and go like all that is stored, and a restart keeps them."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings

from controller.agent import brake, disk, state
from controller.agent.decoding import decoder
from controller.agent.encoding import encoder
from model.change import Change, Part
from model.ids import HostName, Mac, NetworkKey, PortKey, TenantKey, Uid, Vni
from model.intent import Binding, Cluster, Network, Port, Tenant
from model.labels import matching
from model.policy import Action, Default, Defaults, Direction, Policy, Rule, Seat, Selection, Standing
from model.snapshot import Snapshot
from tests.fakes.policies import of_both, policy_sets

HOST, ACME = HostName("hv1"), TenantKey(1)
CLOSED = Defaults(inward=Default(Action.DENY))


def standing(policy: Policy) -> Standing:
    seats = tuple(Seat(number, 100 - number) for number, _ in enumerate(policy.rules, 1))
    return Standing(
        Uid(f"uid-{policy.name}"), policy, ACME if policy.tenant else TenantKey(0), seats, Seat(9, 9)
    )


def held(*policies: Standing) -> list[state.Item]:
    tenant = Tenant(Uid("t1"), "acme", ACME, labels=(("plan", "gold"),), defaults=CLOSED, seats=(0, 7))
    found: list[state.Item] = [
        (Part.CLUSTER, None, Cluster(Uid("c1"), 5, 65000)),
        (Part.TENANT, ACME, tenant),
    ]
    return found + [(Part.POLICY, one.uid, one) for one in policies]


def rule(*selections: Selection) -> Rule:
    return Rule(Direction.IN, Action.ALLOW, selections)


WEB = standing(Policy("web", "acme", rules=(rule(),)))
ROOF = standing(Policy("roof", "", rules=(rule(Selection(tenants=matching([]))), rule(Selection()))))


def test_they_come_and_go_with_a_change_each() -> None:
    step = state.replace_stored(Snapshot(HOST), held(WEB))
    assert Change(Part.POLICY, WEB.uid) in step.changes and dict(step.snapshot.policies) == {WEB.uid: WEB}
    moved = replace(WEB, seats=(Seat(1, 50),))
    step = state.upsert(step.snapshot, [(Part.POLICY, WEB.uid, moved), (Part.POLICY, ROOF.uid, ROOF)])
    assert step.changes == {Change(Part.POLICY, WEB.uid), Change(Part.POLICY, ROOF.uid)}
    assert step.snapshot.policies[WEB.uid] == moved
    step = state.replace_stored(step.snapshot, held(moved))
    assert step.changes == {Change(Part.POLICY, ROOF.uid)}
    step = state.remove(step.snapshot, [(Part.POLICY, WEB.uid)])
    assert step.changes == {Change(Part.POLICY, WEB.uid)} and not step.snapshot.policies


def test_they_become_effective_with_the_rest() -> None:
    new = state.replace_stored(Snapshot(HOST), held(WEB)).snapshot
    assert state.adopt_stored(Snapshot(HOST), new).policies == new.policies


def test_an_empty_store_takes_none_away() -> None:
    """What they forbid would be open."""
    effective = state.replace_stored(Snapshot(HOST), held(WEB, ROOF)).snapshot
    step = state.replace_stored(effective, [])
    stop = brake.judge(effective, step.snapshot, step.changes)
    assert stop is not None and stop.rule == "store-empty"


def bound(*policies: Standing) -> list[state.Item]:
    """With a port of the tenant here."""
    key, home = PortKey(1), NetworkKey(1)
    port = Port(Uid("p1"), home, "p1", key, Mac(0x020000000001), (), (HOST,))
    return [
        *held(*policies),
        (Part.NETWORK, home, Network(Uid("n1"), ACME, "net", home, Vni(5001))),
        (Part.PORT, key, port),
        (Part.BINDING, key, Binding(key, HOST, 0, True)),
    ]


def opened(total: int, gone: int, before, after, owner: str = "acme") -> brake.Stop | None:
    """`before`, `after`: what is stored besides the policies of the owner, of which some go."""
    policies = [standing(Policy(f"p{number:02}", owner, rules=(rule(),))) for number in range(total)]
    effective = state.replace_stored(Snapshot(HOST), before(*policies)).snapshot
    step = state.replace_stored(effective, after(*policies[gone:]))
    return brake.judge(effective, step.snapshot, step.changes)


@pytest.mark.parametrize("owner", ["acme", ""])
def test_many_that_go_at_once_are_asked_about(owner: str) -> None:
    assert opened(2 * brake.FLOOR + 3, brake.FLOOR + 1, bound, bound, owner) is None, "it is less than half"
    assert opened(brake.FLOOR, brake.FLOOR, bound, bound, owner) is None, "they are few"
    stop = opened(brake.FLOOR + 1, brake.FLOOR + 1, bound, bound, owner)
    assert stop is not None and stop.rule == "mass-delete-policies"
    assert f"9 of 9 policies would go at once ({owner}/p00, " in stop.message
    assert opened(20, 20, held, held, owner) is None, "they judge nobody here"


def test_policies_that_go_with_their_ports_open_nothing() -> None:
    assert opened(20, 20, bound, held) is None


@given(policy_sets(), of_both, of_both)
@settings(max_examples=100)
def test_all_that_policies_say_is_written_and_read(
    drawn: tuple[Policy, ...], own: Defaults, other: Defaults
) -> None:
    write, read = encoder(Standing), decoder(Standing)
    assert write is not None
    for policy in drawn:
        value = standing(policy)
        assert read(json.loads(json.dumps(write(value)))) == value
    write, read = encoder(Tenant), decoder(Tenant)
    assert write is not None
    for defaults in (own, other):
        tenant = Tenant(Uid("t1"), "acme", ACME, labels=(("a", "b"),), defaults=defaults, seats=(3, 0))
        assert read(json.loads(json.dumps(write(tenant)))) == tenant


def test_a_restart_keeps_them(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    snapshot = state.replace_stored(Snapshot(HOST), held(WEB, ROOF)).snapshot
    disk.save(snapshot, path)
    again = disk.load(path)
    assert again == snapshot
    assert state.replace_stored(again, held(WEB, ROOF)).changes == frozenset()


def test_a_file_of_before_policies_is_still_good(tmp_path: Path) -> None:
    path = tmp_path / "snapshot.json"
    disk.save(state.replace_stored(Snapshot(HOST), held(WEB)).snapshot, path)
    body = json.loads(path.read_bytes().partition(b"\n")[2])
    del body["policies"]
    for field in ("labels", "defaults", "seats"):
        del body["tenants"][0][field]
    raw = json.dumps(body).encode()
    path.write_bytes(json.dumps({"format": disk.FORMAT, "crc": zlib.crc32(raw)}).encode() + b"\n" + raw)
    again = disk.load(path)
    assert again is not None and not again.policies
    assert again.tenants[ACME] == Tenant(Uid("t1"), "acme", ACME)
