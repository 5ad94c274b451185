"""A port under policy comes and leaves group by group, as bundles may part them: it is never open."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from ipaddress import ip_network

import pytest

from model.change import Change, Part
from model.ids import PortKey, TenantKey
from model.policy import Action, Block, Direction, Policy
from model.snapshot import Snapshot, with_port
from pipelines.compile import Program, compile, recompile
from pipelines.objects import POLICY, Kind
from pipelines.turns import judges
from tests.fakes import packets, ruled, world
from tests.fakes.governed import tiered as ruling
from tests.fakes.packets import Packet
from tests.fakes.switch import CONTROLLER, Switch
from tests.unit.pipelines.test_routing import GW, four, mac, six, to4, to6

SHUT = 11
OTHERS = (12, 21)
ANYBODY = tuple(Block(ip_network(prefix)) for prefix in ("10.0.0.0/8", "fd00::/8"))
SAID = Policy(
    "shut",
    "t1",
    subject=ruled.WEB,
    rules=tuple(ruled.rule(direction, Action.DENY, *ANYBODY) for direction in Direction),
)


def labelled(snapshot: Snapshot) -> Snapshot:
    return with_port(snapshot, replace(snapshot.ports[PortKey(SHUT)], labels=(("app", "web"),)))


def governed() -> Snapshot:
    """One port is denied everything, by rules; nobody else is under policy."""
    snapshot = labelled(world.routed())
    name = snapshot.tenants[TenantKey(1)].name
    standing = ruled.seated(replace(SAID, tenant=name), owner=1)
    snapshot = world.with_part(snapshot, Part.POLICY, standing.uid, standing)
    return world.with_part(snapshot, Part.ZONE, ("policy", SHUT), 900)


def without(snapshot: Snapshot) -> tuple[Snapshot, list[Change]]:
    """The port is plugged out."""
    uid = snapshot.ports[PortKey(SHUT)].uid
    left = world.with_part(snapshot, Part.INTERFACE, uid, None)
    left = world.with_part(left, Part.ZONE, ("policy", SHUT), None)
    return left, [Change(Part.INTERFACE, uid), Change(Part.ZONE, ("policy", SHUT))]


def sent() -> Iterable[Packet]:
    for make, of in ((to4, four), (to6, six)):
        for other in OTHERS:
            for there in (GW, mac(other)):
                yield packets.udp(make(SHUT, of(other), there), 4000, 53)
            for there in (GW, mac(SHUT)):
                yield packets.udp(make(other, of(SHUT), there), 4000, 53)


def passes(switch: Switch) -> bool:
    """Whether anything gets out of the port, or to it; the agent may hear of what is for nobody."""
    return any(port != CONTROLLER for packet in sent() for port in switch.receive(packet).ports)


def steps(program: Program, old: Snapshot, new: Snapshot, changes: list[Change]) -> tuple[Switch, list[Kind]]:
    """Apply what the change costs; nothing passes in between."""
    after, patch = recompile(program, old, new, changes)
    owners = {
        flow: subject.kind for each in (program, after) for subject, made in each.won() for flow in made
    }
    switch, kinds = Switch.of(program.flows()), list[Kind]()
    for put, drop in patch.groups:
        switch.apply(put, drop)
        kinds.append(owners[(*put, *drop)[0]])
        assert not passes(switch), kinds
    assert {f.key(): f for f in after.flows()} == switch.flows
    return switch, kinds


def test_a_port_under_policy_leaves_and_comes() -> None:
    there = governed()
    gone, changes = without(there)
    _, left = steps(compile(there), there, gone, changes)
    _, came = steps(compile(gone), gone, there, changes)
    for kinds in (left, came[::-1]):
        assert kinds.index(Kind.PORT) < kinds.index(Kind.JUDGED) < kinds.index(Kind.RULE)


def test_a_rule_takes_the_place_of_another() -> None:
    """It says the same of more, with another number and height."""
    there = governed()
    (standing,) = there.policies.values()
    wide = tuple(Block(ip_network(prefix)) for prefix in ("0.0.0.0/0", "::/0"))
    rules = tuple(ruled.rule(direction, Action.DENY, *wide) for direction in Direction)
    after = ruled.seated(replace(standing.policy, rules=rules), owner=1, first=31, top=800)
    changed = world.with_part(there, Part.POLICY, standing.uid, after)
    for old, new in ((there, changed), (changed, there)):
        _, kinds = steps(compile(old), old, new, [Change(Part.POLICY, standing.uid)])
        assert kinds[0] is Kind.RULE and Kind.JUDGED in kinds and kinds[-1] is Kind.RULE


@pytest.mark.parametrize("made", [world.routed, lambda: labelled(world.routed())])
def test_it_would_be_seen_if_it_were_open(made: Callable[[], Snapshot]) -> None:
    assert passes(Switch.of(compile(made()).flows()))


def test_all_of_policy_judges() -> None:
    """A group of which a part does not would part all others."""
    named = Policy("named", "t1", rules=(ruled.rule(Direction.IN, Action.DENY, ruled.WEB),))
    peers = world.with_part(governed(), Part.POLICY, "named", ruled.seated(named, owner=1, first=50))
    peers = world.with_part(peers, Part.ZONE, ("draining", 12), 999)
    kinds = set()
    for snapshot in (peers, ruling(world.routed()), ruling(world.two_tenants()), ruling(world.hopped())):
        for subject, flows in compile(snapshot).won():
            if subject.kind in POLICY:
                kinds.add(subject.kind)
                assert all(map(judges, flows)), subject
    assert kinds == POLICY
