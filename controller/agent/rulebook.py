"""Rulebook: the rules and defaults that a host judges by, by the number that flows and labels bear.

Place: pure; read by who makes evidence of counters (`controller.agent.watching`). Must not judge.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from model.entries import identities, identities_of
from model.evidence import RuleName
from model.policy import Action, Direction
from model.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Ruled:
    """A rule or a default: its name in evidence, and what it says."""

    name: RuleName
    action: Action


def rulebook(snapshot: Snapshot) -> Mapping[int, Ruled]:
    """By number."""
    return {one.name.number: one for one in (*_of_policies(snapshot), *_of_tenants(snapshot))}


def _of_policies(snapshot: Snapshot) -> Iterator[Ruled]:
    for uid in sorted(snapshot.policies):
        standing = snapshot.policies[uid]
        policy = standing.policy
        *of_rules, outward, inward = identities(policy)
        for rule, seat, identity in zip(policy.rules, standing.seats, of_rules, strict=True):
            yield Ruled(RuleName(seat.number, identity), rule.action)
        for direction, own, identity in (
            (Direction.OUT, standing.outward, outward),
            (Direction.IN, standing.inward, inward),
        ):
            default = policy.defaults.of(direction)
            if own is not None and default is not None:
                yield Ruled(RuleName(own.number, identity), default.action)


def _of_tenants(snapshot: Snapshot) -> Iterator[Ruled]:
    for key in sorted(snapshot.tenants):
        tenant = snapshot.tenants[key]
        said = zip(Direction, tenant.seats, identities_of(tenant.name, tenant.defaults), strict=True)
        for direction, number, identity in said:
            default = tenant.defaults.of(direction)
            if number and default is not None:
                yield Ruled(RuleName(number, identity), default.action)
