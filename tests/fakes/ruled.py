"""Policies of a snapshot, for the tests: with seats as the store gives them, drawn from few.

Place: beside `world` and `steps`. Must not hold expectations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

from model.change import Part
from model.ids import NetworkKey, PortKey, TenantKey, Uid
from model.labels import EVERYTHING, NAME, Labels, Operator, Requirement, Selector, labels, matching
from model.policy import (
    Action,
    Block,
    Change,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Seat,
    Selection,
    Service,
    Standing,
    State,
    Tier,
)
from tests.fakes import world

LABELS: tuple[Labels, ...] = ((), labels([("app", "web")]), labels([("app", "db")]))
WEB, DB = (Selection(matching([("app", name)])) for name in ("web", "db"))
ANYBODY = Selection(tenants=EVERYTHING)
NAMED = Selection(Selector((Requirement(NAME, Operator.IN, ("p11", "p12")),)))
INSIDE = Block(ip_network("10.0.0.0/24"), (ip_network("10.0.0.2/32"),))
TCP = Service(Protocol.TCP, PortRange(80, 81))


def seated(
    policy: Policy, *, owner: int | None = None, first: int = 1, top: int = 900, uid: str = ""
) -> Standing:
    """With numbers from `first` on, and heights from `top` down; tenants' heights may be those of others."""
    count = len(policy.rules)
    seats = tuple(Seat(first + n, top - n) for n in range(count))
    ends = [
        Seat(first + count + n, top - count - n) if policy.defaults.of(direction) is not None else None
        for n, direction in enumerate(Direction)
    ]
    key = int(policy.tenant.removeprefix("t") or 0) if owner is None else owner
    return Standing(Uid(uid or f"policy-{policy.name}"), policy, TenantKey(key), seats, *ends)


def rule(
    direction: Direction,
    action: Action,
    *peers: Selection | Block,
    services: Sequence[Service] = (),
    state: State = State.ENFORCE,
    share: int = 100,
) -> Rule:
    return Rule(direction, action, peers, tuple(services), state, share)


def forms(name: str, tenant: str, first: int) -> list[Standing]:
    """A policy in several states."""
    into, out = Direction.IN, Direction.OUT
    allow, deny, skip = Action
    made = [
        (rule(into, allow, WEB, services=[TCP]), rule(into, deny, WEB)),
        (rule(out, deny, INSIDE), rule(into, skip, DB, INSIDE, state=State.COUNT)),
        (rule(into, deny, NAMED, share=50), rule(out, allow, WEB, services=[TCP], share=50)),
        (rule(out, deny, state=State.COUNT),),
        (),
    ]
    tier = Tier.TENANT if tenant else Tier.OPERATOR
    plain = [
        Policy(name, tenant, tier, 0, subject, rules) for rules in made for subject in (WEB, Selection())
    ]
    plain += [replace(one, on_change=Change.KEEP) for one in plain[::3]]
    default = Default(deny, share=50)
    plain += [replace(one, defaults=Defaults(default, replace(default, action=allow))) for one in plain[::2]]
    if not tenant:
        all_over = rule(into, allow, ANYBODY, services=[TCP, Service(Protocol.ICMP, kind=8)])
        plain += [replace(one, rules=(*one.rules, all_over)) for one in plain[::2]]
        plain += [replace(one, tier=Tier.BASELINE) for one in plain[::4]]
    return [seated(one, first=first, uid=f"policy-{name}-{tenant}") for one in plain]


def universe() -> list[tuple[Part, Any, list[Any]]]:
    """Policies, defaults, labels and zones, as `steps` takes them."""
    made: list[tuple[Part, Any, list[Any]]] = []
    for first, (name, tenant) in enumerate((("a", ""), ("b", "t1"), ("c", "t1"), ("d", "t2"))):
        found = forms(name, tenant, 1 + 10 * first)
        made += [(Part.POLICY, found[0].uid, found)] * 2
    for key in (1, 2):
        plain = world.tenant(key)
        default = Defaults(Default(Action.DENY, State.COUNT), Default(Action.DENY))
        some = [
            replace(plain, defaults=default, seats=(100 + key, 110 + key)),
            replace(plain, labels=LABELS[1]),
        ]
        made.append((Part.TENANT, TenantKey(key), some))
    for net in (1, 2):
        made.append((Part.NETWORK, NetworkKey(net), [replace(world.network(net), labels=LABELS[1])]))
    for key in (11, 12, 13, 21):
        made += [(Part.ZONE, ("policy", PortKey(key)), [40 + key, 50 + key])] * 2
    return made
