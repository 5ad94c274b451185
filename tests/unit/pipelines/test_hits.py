"""The counters on which evidence stands are left alone, whatever else changes: a flow that is sent anew may
begin its age anew, and with it the hours that a promotion asks for (docs/decisions/0059)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from ipaddress import ip_address

import pytest

from model.change import Change, Part
from model.flow import Flow
from model.ids import PortKey, TenantKey, Uid
from model.policy import Action, Default, Defaults, Direction, Policy, Seat, Standing, State
from model.snapshot import Snapshot, with_port
from pipelines import tables as t
from pipelines.compile import compile, recompile
from tests.fakes import ruled, world
from tests.fakes.governed import tiered

PORT, OTHER, AFAR = PortKey(11), PortKey(21), PortKey(12)
OWN = Uid("policy-tenant")
HITS = {t.LEFT_HITS.number, t.ENTERED_HITS.number}


def named(old: Snapshot, new: Snapshot) -> list[Change]:
    """All that they have, whether it differs or not."""
    parts = {field.name for field in fields(Snapshot)}
    return [
        Change(part, key)
        for part in Part
        if part.value in parts and part not in (Part.CLUSTER, Part.SWITCH)
        for key in {*getattr(old, part.value), *getattr(new, part.value)}
    ]


def governing(change: Callable[[Standing], Standing]) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: world.with_part(snapshot, Part.POLICY, OWN, change(snapshot.policies[OWN]))


def lowered(standing: Standing) -> Standing:
    return replace(standing, seats=tuple(replace(seat, height=seat.height - 5) for seat in standing.seats))


def longer(standing: Standing) -> Standing:
    """With one rule more, behind the others."""
    rules = (*standing.policy.rules, ruled.rule(Direction.IN, Action.DENY, services=[ruled.TCP]))
    policy = replace(standing.policy, rules=rules)
    return replace(standing, policy=policy, seats=(*standing.seats, Seat(77, 500)))


def enforced(standing: Standing) -> Standing:
    """What allows counts, and says the same."""
    rules = (replace(standing.policy.rules[0], state=State.COUNT), *standing.policy.rules[1:])
    return replace(standing, policy=replace(standing.policy, rules=rules))


def relabelled(key: PortKey) -> Callable[[Snapshot], Snapshot]:
    return lambda snapshot: with_port(snapshot, replace(snapshot.ports[key], labels=(("app", "web"),)))


def moved(snapshot: Snapshot) -> Snapshot:
    """Another peer of all rules has another address."""
    port = snapshot.ports[AFAR]
    return with_port(snapshot, replace(port, addresses=(ip_address("10.0.1.99"), *port.addresses[1:])))


def defaulted(snapshot: Snapshot) -> Snapshot:
    defaults = Defaults(Default(Action.DENY), Default(Action.DENY))
    tenant = replace(snapshot.tenants[TenantKey(1)], defaults=defaults)
    return world.with_part(snapshot, Part.TENANT, tenant.key, tenant)


def another(snapshot: Snapshot, name: str = "more", first: int = 90) -> Snapshot:
    tenant = snapshot.tenants[TenantKey(1)].name
    deny = ruled.rule(Direction.OUT, Action.DENY, ruled.WEB, state=State.COUNT)
    standing = ruled.seated(Policy(name, tenant, rules=(deny,)), owner=1, first=first, top=500 - first)
    return world.with_part(snapshot, Part.POLICY, standing.uid, standing)


def rezoned(snapshot: Snapshot) -> Snapshot:
    return world.with_part(snapshot, Part.ZONE, ("policy", PORT), 4000)


def replugged(snapshot: Snapshot) -> Snapshot:
    uid = snapshot.ports[PORT].uid
    return world.with_part(
        snapshot, Part.INTERFACE, uid, replace(snapshot.interfaces[uid], name="tap99", ofport=99)
    )


BEFORE = another(relabelled(AFAR)(tiered(world.routed())), "peers", 80)
CHANGES: dict[str, Callable[[Snapshot], Snapshot]] = {
    "nothing": lambda snapshot: snapshot,
    "heights": governing(lowered),
    "a rule behind": governing(longer),
    "the state of another rule": governing(enforced),
    "labels of the port": relabelled(PORT),
    "labels of a neighbour": relabelled(OTHER),
    "the address of a peer": moved,
    "the tenant's defaults": defaulted,
    "another policy": another,
    "the zone": rezoned,
    "the interface": replugged,
}


@pytest.mark.parametrize("name", CHANGES)
def test_counters_of_hits_are_left_alone(name: str) -> None:
    after = CHANGES[name](BEFORE)
    program = compile(BEFORE)
    counted = {flow.key() for flow in program.flows() if _hit(flow)}
    _, patch = recompile(program, BEFORE, after, named(BEFORE, after))
    sent = {flow.key() for put, drop in patch.groups for flow in (*put, *drop) if _hit(flow)}
    assert len(counted) > 10 and not sent & counted
    assert bool(patch) is (name != "nothing")


def _hit(flow: Flow) -> bool:
    return flow.shape.table in HITS and flow.shape.priority != 0
