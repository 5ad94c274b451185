"""Policies in the agent's state: they come and go like all that is stored, and a restart keeps them."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings

from controller.agent import brake, disk, state
from controller.agent.decoding import decoder
from controller.agent.encoding import encoder
from model.change import Change, Part
from model.ids import HostName, TenantKey, Uid
from model.intent import Cluster, Tenant
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
