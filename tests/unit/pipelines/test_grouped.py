"""Ports that the same rules judge are one group: rules cost a flow for a group, not for each of its ports.
A port that changes groups is judged by one whole set of rules or by the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.change import Change, Part
from model.entries import Entry, lot
from model.flow import Flow
from model.ids import PortKey, Uid
from model.labels import Labels, labels
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Endpoint,
    Policy,
    PortRange,
    Rule,
    Service,
    Standing,
    State,
    Tier,
)
from model.snapshot import Snapshot, with_port
from pipelines import fields as f
from pipelines import tables as t
from pipelines.compile import Program, compile, recompile
from pipelines.conjunctions import clauses
from pipelines.objects import Kind
from pipelines.policy import matching
from pipelines.policy.entries import concerns
from pipelines.walk import Walk, walk
from tests.fakes import ruled, world
from tests.fakes.packets import Packet, received
from tests.fakes.switch import CONTROLLER, Switch
from tests.unit.pipelines.test_routing import four, to4

BLOCK = Block(ip_network("10.9.0.0/24"))
NOBODY: Labels = ()
WEB = labels([("app", "web")])
CHANGE = [Change(Part.POLICY, Uid("policy-many"))]


def many(ports: int) -> Snapshot:
    """A host with so many ports that bear one label, and none other that is under policy."""
    snapshot = world.routed()
    plain = snapshot.ports[PortKey(11)]
    plugged = snapshot.interfaces[plain.uid]
    for n in range(ports):
        key, uid = PortKey(1000 + n), Uid(f"many-{n}")
        addresses = (ip_address("10.64.0.0") + n, ip_address("fd64::") + n)
        made = replace(plain, key=key, uid=uid, name=f"m{n}", mac=plain.mac + 5000 + n, addresses=addresses)
        snapshot = with_port(snapshot, replace(made, labels=WEB))
        snapshot = world.with_part(snapshot, Part.INTERFACE, uid, replace(plugged, ofport=1000 + n))
        snapshot = world.with_part(snapshot, Part.BINDING, key, snapshot.bindings[plain.key])
        snapshot = world.with_part(snapshot, Part.EPOCH, key, 1)
        snapshot = world.with_part(snapshot, Part.ZONE, ("policy", key), 2000 + n)
    return snapshot


def standing(rules: int, *peers: Block, state: State = State.ENFORCE) -> Standing:
    said = tuple(
        Rule(Direction.IN, Action.ALLOW, peers or (BLOCK,), (Service(6, PortRange(n, n)),), state)
        for n in range(1, rules + 1)
    )
    shut = Defaults(None, Default(Action.DENY))
    policy = Policy("many", "", Tier.OPERATOR, 0, ruled.WEB, said, shut)
    return ruled.seated(policy, owner=0, top=20_000)


def under(snapshot: Snapshot, said: Standing) -> Snapshot:
    return world.with_part(snapshot, Part.POLICY, said.uid, said)


def relabelled(snapshot: Snapshot, port: int, what: Labels) -> Snapshot:
    return with_port(snapshot, replace(snapshot.ports[PortKey(port)], labels=what))


def judging(program: Program) -> list[Flow]:
    """All flows but those that the ports have without any policy."""
    kinds = (Kind.RULE, Kind.MEMBER, Kind.GROUP, Kind.JUDGED)
    return [flow for subject, flows in program.won() if subject.kind in kinds for flow in flows]


def test_flows_grow_with_the_sum_of_rules_and_ports() -> None:
    """Twice as many of either cost what so many more cost, whatever there is of the other."""
    found = {
        (rules, ports): len(judging(compile(under(many(ports), standing(rules)))))
        for rules in (20, 40)
        for ports in (30, 60)
    }
    of_a_rule = (found[40, 30] - found[20, 30]) / 20
    of_a_port = (found[20, 60] - found[20, 30]) / 30
    assert found[40, 60] - found[20, 60] == 20 * of_a_rule
    assert found[40, 60] - found[40, 30] == 30 * of_a_port
    assert (of_a_rule, of_a_port) == (6, 21)


def test_five_thousand_peers_and_many_subjects() -> None:
    """The ports of a selector elsewhere: two addresses of each, once for the rule, however many it judges."""
    snapshot = many(5_000)
    for n in range(60, 5_000):  # they live elsewhere
        snapshot = world.with_part(snapshot, Part.INTERFACE, Uid(f"many-{n}"), None)
    one, two = (
        Counter(flow.shape.name.partition("-")[0] for flow in judging(compile(under(snapshot, said))))
        for said in (standing(1, ruled.WEB), standing(2, ruled.WEB))
    )
    assert sum(one.values()) < 10_000 + 21 * 60 + 40
    assert sum(two.values()) - sum(one.values()) == 10_000 + 6


def test_rules_that_count_have_a_counter_for_each_port() -> None:
    """That is what evidence is: the one product that stays."""
    said = standing(5, state=State.COUNT)
    hits = [flow for flow in judging(compile(under(many(7), said))) if flow.shape.name.endswith("-hit")]
    assert len(hits) == 2 * 5 * 7


def test_a_share_of_the_ports_is_a_group_of_its_own() -> None:
    said = standing(2)
    rules = (replace(said.policy.rules[0], share=40), said.policy.rules[1])
    program = compile(under(many(30), replace(said, policy=replace(said.policy, rules=rules))))
    groups = program.index.policed.grouped.groups.values()
    first = {group.states[1, said.uid]: {*group.ports} for group in groups}
    drawn = {1000 + n for n in range(30) if lot(Uid(f"many-{n}")) < 40}
    assert len(groups) == 2 and 0 < len(drawn) < 30
    assert first == {State.ENFORCE: drawn, State.COUNT: {*range(1000, 1030)} - drawn}


def test_a_rule_more_for_a_thousand_ports() -> None:
    """Each port learns the name of its group, and all else is said once."""
    before, after = (under(many(1_000), standing(rules)) for rules in (50, 51))
    program, patch = recompile(compile(before), before, after, CHANGE)
    assert program == compile(after)
    (group,) = program.index.policed.grouped.groups
    puts = [flow for put, _ in patch.groups for flow in put]
    naming = [flow for flow in puts if group in flow.values]
    assert len(naming) == 6 * 1_000 + 52 + 8  # to and from each port's judges; rules and the default; sides
    assert len(puts) - len(naming) < 20


def test_rules_of_one_policy_ask_once_whom_they_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: ports that bear labels of their own are each asked."""
    asked: list[object] = []

    def ask(entry: Entry, port: Endpoint) -> bool:
        asked.append(port.key)
        return concerns(entry, port)

    monkeypatch.setattr(matching, "concerns", ask)
    snapshot = many(20)
    for n in range(20):
        snapshot = relabelled(snapshot, 1000 + n, labels([("app", "web"), ("id", str(n))]))
    before, after = under(snapshot, standing(30)), under(snapshot, standing(31))
    program = compile(before)
    assert len(asked) == len({*asked}) >= 20
    asked.clear()
    program, _ = recompile(program, before, after, CHANGE)
    assert len(asked) == len({*asked}) >= 20
    assert program == compile(after)


def steps(program: Program, patch: Iterable[tuple[tuple[Flow, ...], tuple[Flow, ...]]]) -> Iterable[Switch]:
    """The switch flow by flow, as if each were a bundle."""
    switch = Switch.of(program.flows())
    for put, drop in patch:
        for flow in put:
            switch.apply((flow,), ())
            yield switch
        for flow in drop:
            switch.apply((), (flow,))
            yield switch


SHUT = 11
SERVICES = (22, 80, 443)


def opened(service: int, first: int) -> Snapshot:
    """Ports 11 and 21 may be asked for one service only, by rules with numbers from `first`."""
    snapshot = world.routed()
    for key in (SHUT, 21):
        snapshot = world.with_part(relabelled(snapshot, key, WEB), Part.ZONE, ("policy", key), 900 + key)
    rules = (
        Rule(Direction.IN, Action.ALLOW, (), (Service(6, PortRange(service, service)),)),
        Rule(Direction.IN, Action.DENY),
    )
    policy = Policy("many", "", Tier.OPERATOR, 0, ruled.WEB, rules)
    return under(snapshot, ruled.seated(policy, owner=0, first=first, top=900 - first))


def asking(service: int) -> Packet:
    return to4(21, four(SHUT)) | {"tcp_src": 4000, "tcp_dst": service}


def passing(switch: Switch) -> set[int]:
    """The services for which port 11 can be asked by port 21, which may ask for anything."""
    found = set()
    for service in SERVICES:
        switch.tracker.zones.clear()
        verdict = switch.receive(asking(service))
        found |= {service} if SHUT in {*verdict.ports} - {CONTROLLER} else set()
    return found


def test_one_whole_set_of_rules_or_the_other_judges() -> None:
    """Wherever bundles part the change: first the old rules, at last the new ones, nothing of both. Between
    them a new connection may have to wait."""
    old, new = opened(80, 1), opened(443, 11)
    program, patch = recompile(compile(old), old, new, CHANGE)
    seen = [frozenset(passing(switch)) for switch in steps(compile(old), patch.groups)]
    said = [one for one in seen if one]
    assert [one for n, one in enumerate(said) if n == 0 or said[n - 1] != one] == [{80}, {443}]
    assert seen[0] and seen[-1]
    assert program == compile(new)


def test_a_port_that_changes_groups_leaves_the_others_alone() -> None:
    before = under(many(3), standing(4))
    after = relabelled(before, 1001, NOBODY)
    program, patch = recompile(compile(before), before, after, [Change(Part.PORT, PortKey(1001))])
    assert program == compile(after)
    (name,) = program.index.policed.grouped.groups
    assert {*program.index.policed.grouped.groups[name].ports} == {1000, 1002}
    changed = [flow for put, drop in patch.groups for flow in (*put, *drop)]
    assert not [flow for flow in changed if clauses(flow.shape)]


def test_with_its_last_port_a_group_goes() -> None:
    before = under(many(1), standing(4))
    after = relabelled(before, 1000, NOBODY)
    program, patch = recompile(compile(before), before, after, [Change(Part.PORT, PortKey(1000))])
    assert not judging(program) and not program.index.policed.grouped.groups
    kinds = [subject.kind for subject, _ in compile(before).won()]
    assert {Kind.GROUP, Kind.JUDGED, Kind.RULE} <= {*kinds}
    back, again = recompile(program, after, before, [Change(Part.PORT, PortKey(1000))])
    assert back == compile(before) and patch and again


def come_back(program: Program, table: t.Table, name: int) -> Walk:
    """A packet of port 11 comes out of conntrack, with a group's name."""
    seen = received(asking(443)) | {
        f.CT_STATE.name: f.CT_TRACKED | f.CT_NEW,
        f.CT_PROTO.name: f.TCP,
        f.CT_DPORT.name: 443,
        f.SUBJECT.field.name: SHUT,
        f.ALIKE.field.name: name,
        f.EXIT.field.name: SHUT if table is t.ENTERING else 0,
    }
    return walk(Switch.of(program.flows()), seen, start=table.number)


@pytest.mark.parametrize(("table", "beyond"), [(t.LEAVING, t.LEFT), (t.ENTERING, t.ENTERED)])
def test_what_was_named_before_a_change_is_not_let_through(table: t.Table, beyond: t.Table) -> None:
    """A group that is no more has no rules, and nobody denies what it sends. What the rules of another let
    through must not be remembered as judged by the port's own."""
    before = opened(80, 1)
    (gone,) = compile(before).index.policed.grouped.groups
    snapshot = relabelled(opened(443, 11), 21, labels([("app", "db")]))
    rules = (Rule(Direction.IN, Action.ALLOW), Rule(Direction.OUT, Action.ALLOW))
    open_to_all = Policy("open", "", Tier.OPERATOR, 0, ruled.DB, rules)
    program = compile(under(snapshot, ruled.seated(open_to_all, owner=0, first=31, top=500)))
    judged = program.index.policed.judged
    now, other = judged[PortKey(SHUT)], judged[PortKey(21)]
    ends = {
        name: [step.table for step in come_back(program, table, name).steps] for name in (gone, now, other)
    }
    assert ends[gone] == [table.number]
    assert ends[other][-1] == t.SETTLE.number and beyond.number not in ends[other]
    assert beyond.number in ends[now]
