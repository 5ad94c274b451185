"""Snapshots under policy: all ports that live here, by their tenants' defaults, or by a rule in each tier.

Place: beside `world`, whose snapshots they take; `ruled` has the rules. Must not hold expectations.
"""

from __future__ import annotations

from dataclasses import replace

from model.change import Part
from model.ids import TenantKey
from model.policy import Action, Default, Defaults, Direction, Policy, Selection, State, Tier
from model.snapshot import Snapshot
from tests.fakes import ruled, world

ALLOW, DENY = Default(Action.ALLOW), Default(Action.DENY)
OPEN, SHUT = Defaults(ALLOW, ALLOW), Defaults(ALLOW, DENY)
"""Nothing is refused; nothing may enter that was not asked for."""


def governed(snapshot: Snapshot, defaults: Defaults = OPEN) -> Snapshot:
    """All tenants have these defaults, and all ports a zone."""
    for key, tenant in snapshot.tenants.items():
        numbers = tuple(500 + 2 * key + n if defaults.of(way) else 0 for n, way in enumerate(Direction))
        own = replace(tenant, defaults=defaults, seats=numbers)
        snapshot = world.with_part(snapshot, Part.TENANT, key, own)
    for key in snapshot.ports:
        snapshot = world.with_part(snapshot, Part.ZONE, ("policy", key), 1000 + key)
    return snapshot


def tiered(snapshot: Snapshot, owner: int = 1) -> Snapshot:
    """In each tier a rule for each direction that holds, and one that counts."""
    snapshot = governed(snapshot)
    name = snapshot.tenants[TenantKey(owner)].name
    rules = tuple(
        ruled.rule(direction, action, services=[ruled.TCP], state=state)
        for direction in Direction
        for action, state in ((Action.ALLOW, State.ENFORCE), (Action.DENY, State.COUNT))
    )
    for tier in Tier:
        tenant = name if tier is Tier.TENANT else ""
        policy = Policy(tier.name.lower(), tenant, tier, 0, Selection(), rules)
        standing = ruled.seated(
            policy, owner=owner if tenant else 0, first=1 + 10 * tier, top=900 - 10 * tier
        )
        snapshot = world.with_part(snapshot, Part.POLICY, standing.uid, standing)
    return snapshot
