"""Zones: given out when a floating IP or a translated tenant comes, bounded, flushed, given back."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from immutables import Map

from bgp.table import Limits
from controller.agent import commands, core, disk, state, zones
from controller.agent.shares import Shares
from model.change import Change, Part
from model.ids import PortKey, Uid
from model.intent import Cluster
from model.policy import Action, Default, Defaults, Direction, Endpoint, Policy
from model.snapshot import Snapshot
from pipelines.policy import seated
from pipelines.policy.entries import Entry, concerns
from tests.fakes import outward as out
from tests.fakes import ruled, world

NO_PINS: zones.Pinned = Map()
SHARES = Shares()
ELEVEN, FIFTY_ONE = ("port", 11), ("port", 51)


def bare() -> Snapshot:
    return replace(out.leaving(), zones=Map())


def all_changes(snapshot: Snapshot) -> list[Change]:
    parts = (Part.TENANT, Part.FLOATING, Part.PORT)
    return [Change(part, key) for part in parts for key in getattr(snapshot, part.value)]


def allotted() -> Snapshot:
    snapshot = bare()
    return zones.allot(snapshot, snapshot, all_changes(snapshot), NO_PINS).snapshot


def test_ports_with_floating_ips_and_translated_tenants_have_zones() -> None:
    """Port 12 has no floating IP, 13 lives elsewhere, tenant 2 is not translated."""
    assert dict(allotted().zones) == {ELEVEN: 1, FIFTY_ONE: 2, ("tenant", 1): 3}


def test_nothing_changes_for_what_has_its_zone() -> None:
    snapshot = allotted()
    again = zones.allot(snapshot, snapshot, all_changes(snapshot), NO_PINS)
    assert again.changes == frozenset() and again.snapshot.zones is snapshot.zones


def test_the_last_floating_ip_takes_the_zone_along() -> None:
    before = allotted()
    four, six = (out.floating(11, version).uid for version in (4, 6))
    pinned: zones.Pinned = Map({PortKey(11): Map({four: None, six: None})})
    one = world.with_part(before, Part.FLOATING, four, None)
    step = zones.allot(before, one, [Change(Part.FLOATING, four)], pinned)
    assert ELEVEN in step.snapshot.zones
    none = world.with_part(one, Part.FLOATING, six, None)
    step = zones.allot(one, none, [Change(Part.FLOATING, six)], pinned)
    assert ELEVEN not in step.snapshot.zones and step.changes == {Change(Part.ZONE, ELEVEN)}
    assert zones.retire(before, step.snapshot) == (commands.Zones((1,), ((1, 0),)),)


def test_a_port_that_leaves_and_one_that_comes_do_not_share_a_zone_at_once() -> None:
    """The zone is flushed when it is given back; only later it is given out again."""
    before = allotted()
    gone = world.with_part(before, Part.BINDING, PortKey(11), None)
    moved = replace(out.floating(11, 4), port=PortKey(12), target=out.port(12).addresses[0])
    after = world.with_part(gone, Part.FLOATING, moved.uid, moved)
    changes = [Change(Part.BINDING, PortKey(11)), Change(Part.FLOATING, moved.uid)]
    step = zones.allot(before, after, changes, NO_PINS)
    assert ELEVEN not in step.snapshot.zones and step.snapshot.zones["port", 12] == 4
    (fresh,) = zones.prepare(before, step.snapshot, SHARES)
    assert fresh.flush == (4,) and dict(fresh.limits)[4] == SHARES.tenant


def test_a_tenants_share_is_divided_among_its_ports() -> None:
    """Another tenant's, and the tenant's own zone, stay what they are."""
    one = allotted()
    share = SHARES.tenant
    assert zones.limits(one, SHARES) == {1: share, 2: share, 3: share}
    two = world.with_part(one, Part.ZONE, ("port", 12), 9)
    assert zones.limits(two, SHARES) == {1: share // 2, 9: share // 2, 2: share, 3: share}
    (order,) = zones.prepare(one, two, SHARES)
    assert order == commands.Zones((9,), ((1, share // 2), (9, share // 2)))
    many = two
    for key in range(100, 1000):
        many = world.with_part(many, Part.ZONE, ("port", 12 + key * 1000), key)
        one_more = replace(out.port(12), key=PortKey(12 + key * 1000), uid=Uid(f"p{key}"))
        many = world.added(many, one_more)
    assert zones.limits(many, SHARES)[1] == SHARES.port


WEB_ONLY = ruled.seated(
    Policy("web", "t1", subject=ruled.WEB, rules=(ruled.rule(Direction.IN, Action.ALLOW),)), uid="web"
)
WEB = ruled.LABELS[1]


def judging() -> Snapshot:
    """Ports 11 and 12 of tenant 1 are here, and none of them is for the web."""
    return replace(bare(), floating=Map(), tenants=Map({1: world.tenant(1), 2: world.tenant(2)}))


def labelled(snapshot: Snapshot, key: int) -> Snapshot:
    return world.added(snapshot, replace(out.port(key), labels=WEB))


def test_a_port_has_a_zone_while_a_policy_judges_it() -> None:
    before = labelled(judging(), 11)
    ruling = world.with_part(before, Part.POLICY, WEB_ONLY.uid, WEB_ONLY)
    asked = [Change(Part.POLICY, WEB_ONLY.uid)]
    step = zones.allot(before, ruling, asked, NO_PINS)
    assert dict(step.snapshot.zones) == {("policy", 11): 1}
    assert seated.under(ruling, PortKey(11)) and not seated.under(ruling, PortKey(12))
    again = zones.allot(step.snapshot, step.snapshot, asked, NO_PINS)
    assert again.changes == frozenset()
    both = labelled(step.snapshot, 12)
    step = zones.allot(step.snapshot, both, [Change(Part.PORT, PortKey(12))], NO_PINS)
    assert dict(step.snapshot.zones) == {("policy", 11): 1, ("policy", 12): 2}
    away = world.with_part(step.snapshot, Part.POLICY, WEB_ONLY.uid, None)
    gone = zones.allot(step.snapshot, away, asked, NO_PINS)
    assert dict(gone.snapshot.zones) == {("draining", 11): 1, ("draining", 12): 2}
    assert zones.retire(step.snapshot, gone.snapshot) == (commands.Zones((1, 2), ((1, 0), (2, 0))),)
    clean = zones.drained(gone.snapshot)
    assert not clean.snapshot.zones and len(clean.changes) == 2
    assert zones.prepare(gone.snapshot, clean.snapshot, SHARES) == ()
    assert zones.retire(gone.snapshot, clean.snapshot) == ()
    assert zones.drained(clean.snapshot).changes == frozenset()


def test_a_zone_that_drains_is_nobody_elses_and_comes_back_empty() -> None:
    """What was remembered in it may have been allowed by rules that are gone."""
    asked = [Change(Part.POLICY, WEB_ONLY.uid)]
    open_, ruling = (
        world.with_part(labelled(judging(), 12), Part.POLICY, WEB_ONLY.uid, each) for each in (None, WEB_ONLY)
    )
    ruled_once = zones.allot(open_, ruling, asked, NO_PINS).snapshot
    left = zones.allot(ruled_once, replace(open_, zones=ruled_once.zones), asked, NO_PINS).snapshot
    assert dict(left.zones) == {("draining", 12): 1}
    assert zones.limits(left, SHARES) == {}
    other = world.added(replace(ruling, zones=left.zones), replace(out.port(11), labels=WEB))
    other = world.added(other, out.port(12))
    step = zones.allot(left, other, [*asked, *(Change(Part.PORT, PortKey(n)) for n in (11, 12))], NO_PINS)
    assert dict(step.snapshot.zones) == {("draining", 12): 1, ("policy", 11): 2}
    back = zones.allot(left, replace(ruling, zones=left.zones), asked, NO_PINS).snapshot
    assert dict(back.zones) == {("policy", 12): 1}
    (order,) = zones.prepare(left, back, SHARES)
    assert order.flush == (1,) and dict(order.limits) == {1: SHARES.tenant}
    away = world.with_part(left, Part.BINDING, PortKey(12), None)
    assert not zones.allot(left, away, [Change(Part.BINDING, PortKey(12))], NO_PINS).snapshot.zones


def test_the_rules_of_a_policy_ask_once_whom_they_concern(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousand of them, for a thousand ports that they do not concern, took 14 s."""
    asked = Counter[object]()

    def ask(entry: Entry, port: Endpoint) -> bool:
        asked[port.key] += 1
        return concerns(entry, port)

    monkeypatch.setattr(zones, "concerns", ask)
    rules = WEB_ONLY.policy.rules * 30
    standing = ruled.seated(replace(WEB_ONLY.policy, rules=rules), uid="web")
    before = labelled(judging(), 11)
    after = world.with_part(before, Part.POLICY, standing.uid, standing)
    step = zones.allot(before, after, [Change(Part.POLICY, standing.uid)], NO_PINS)
    assert dict(step.snapshot.zones) == {("policy", 11): 1}
    assert asked == {11: 2, 12: 1, 51: 1}


def test_a_tenant_s_default_and_its_labels_put_ports_under_policy() -> None:
    before = judging()
    closed = replace(
        world.tenant(1), defaults=Defaults(inward=Default(Action.DENY)), seats=(0, 7), labels=WEB
    )
    after = world.added(before, closed)
    step = zones.allot(before, after, [Change(Part.TENANT, closed.key)], NO_PINS)
    assert dict(step.snapshot.zones) == {("policy", 11): 1, ("policy", 12): 2}
    open_again = world.added(step.snapshot, world.tenant(1))
    step = zones.allot(step.snapshot, open_again, [Change(Part.TENANT, closed.key)], NO_PINS)
    assert {kind for kind, _ in step.snapshot.zones} == {"draining"}


def test_ports_under_policy_have_a_share_of_their_own() -> None:
    share = SHARES.tenant
    one = world.with_part(allotted(), Part.ZONE, ("policy", PortKey(11)), 8)
    assert zones.limits(one, SHARES) == {1: share, 2: share, 3: share, 8: share}
    two = world.with_part(one, Part.ZONE, ("policy", PortKey(12)), 9)
    assert zones.limits(two, SHARES) == {1: share, 2: share, 3: share, 8: share // 2, 9: share // 2}


def test_they_are_on_disk(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "snapshot"
    disk.save(allotted(), path)
    loaded = disk.load(path)
    assert loaded is not None and loaded.zones == allotted().zones


def started() -> core.Core:
    """An agent with a session that knows all but the floating IPs."""
    snapshot = replace(bare(), floating=Map(), tenants=Map())
    begun = core.start(snapshot.host, snapshot, Limits())
    return replace(core.on_session(begun, Map()).core, store_complete=True)


def test_a_zone_is_empty_before_its_flows_and_after_them() -> None:
    now, one = started(), out.floating(11, 4)
    items: tuple[state.Item, ...] = (
        (Part.FLOATING, one.uid, one),
        *((Part.TENANT, key, tenant) for key, tenant in bare().tenants.items()),
    )
    result = core.on_store(now, items, (), state.Whole.NO)
    kinds = [type(command) for command in result.commands]
    assert kinds.index(commands.Zones) < kinds.index(commands.Shift)
    zone = result.core.effective.zones[ELEVEN]
    assert any(zone in flow.values for flow in result.core.program.flows())
    back = core.on_store(result.core, (), ((Part.FLOATING, one.uid),), state.Whole.NO)
    kinds = [type(command) for command in back.commands]
    assert kinds.index(commands.Shift) < kinds.index(commands.Zones)
    assert ELEVEN not in back.core.effective.zones


def test_what_is_looked_up_of_a_port_outlasts_its_policy_by_a_look_of_the_switch() -> None:
    given = world.with_part(labelled(judging(), 11), Part.POLICY, WEB_ONLY.uid, WEB_ONLY)
    begun = replace(core.start(given.host, replace(given, policies=Map()), Limits()), store_complete=True)
    begun = core.on_session(begun, Map()).core
    plain = {flow.key() for flow in begun.program.flows()}
    under = core.on_store(begun, ((Part.POLICY, WEB_ONLY.uid, WEB_ONLY),), (), state.Whole.NO).core
    assert dict(under.effective.zones) == {("policy", 11): 1}
    left = core.on_store(under, (), ((Part.POLICY, WEB_ONLY.uid),), state.Whole.NO)
    assert dict(left.core.effective.zones) == {("draining", 11): 1}
    kept = {flow.key() for flow in left.core.program.flows()} - plain
    assert len(kept) == 7 and kept < {flow.key() for flow in under.program.flows()}
    clean = core.on_followed(left.core)
    assert {flow.key() for flow in clean.core.program.flows()} == plain
    assert not clean.core.effective.zones
    assert any(isinstance(command, commands.Program | commands.Shift) for command in clean.commands)
    assert core.on_followed(clean.core).commands == ()


def test_a_switch_that_is_back_gets_its_limits_again() -> None:
    known = replace(out.leaving(), cluster=Cluster(Uid("c"), 1, 65000))
    begun = core.start(known.host, known, Limits())
    told = core.on_session(begun, Map()).commands
    bounds = dict(next(c for c in told if isinstance(c, commands.Zones)).limits)
    assert bounds.keys() == {*out.leaving().zones.values()}
    assert max(bounds.values()) == SHARES.tenant
    less = core.on_session(replace(begun, shares=Shares(300, 200)), Map()).commands
    bounded = dict(next(c for c in less if isinstance(c, commands.Zones)).limits)
    assert set(bounded.values()) == {300}  # each tenant has one port with a floating IP
    again = core.on_session(core.on_session(begun, Map()).core, Map()).commands
    (order,) = [c for c in again if isinstance(c, commands.Zones)]
    assert order.flush == () and dict(order.limits) == bounds
