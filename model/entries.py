"""Entries: all that policies say as one list, a tier behind the other, defaults at the end of each.

Place: `ipam` gives them numbers and heights, `pipelines.policy` judges by them, so that both see one order
and one identity. Must not know ports or packets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from hashlib import blake2b
from typing import Final

from model.ids import Uid
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Peer,
    Policy,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)

Tenants = Mapping[str, Defaults]
"""The defaults of tenants, by name."""


class Level(IntEnum):
    """The tiers, and what stands behind them."""

    OPERATOR = Tier.OPERATOR
    TENANT = Tier.TENANT
    BASELINE = Tier.BASELINE
    LAST = 3


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry was written. `number`: of the rule from 1, 0 = the default. `policy` empty: the tenant's
    own default. `name` is the rule's own, if it has one."""

    level: Level
    tenant: str
    policy: str
    number: int
    direction: Direction
    name: str = ""

    def __str__(self) -> str:
        named = f" ({self.name})" if self.name else ""
        part = f"rule {self.number}{named}" if self.number else "the default"
        if not self.policy:
            return f"the default of tenant {self.tenant}"
        owner = f"{self.tenant}/" if self.tenant else ""
        return f"{part} of {owner}{self.policy}"


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule or a default among those that judge. `identity` stays as long as its meaning does: it is what
    evidence is kept by."""

    place: Place
    subject: Selection
    action: Action
    peers: tuple[Peer, ...]
    services: tuple[Service, ...]
    state: State
    share: int
    identity: str

    @property
    def direction(self) -> Direction:
        return self.place.direction

    def at(self, port: Uid) -> State:
        """The state that it has on one port."""
        return self.state if self.alike() or lot(port) < self.share else State.COUNT

    def alike(self) -> bool:
        """Whether it has one state on all ports."""
        return self.state is State.COUNT or self.share >= 100

    def enforced_everywhere(self) -> bool:
        return self.state is State.ENFORCE and self.share >= 100


def standing(policies: Iterable[Policy], tenants: Tenants, direction: Direction) -> tuple[Entry, ...]:
    """All entries of a direction, of all subjects, in the order in which they judge."""
    found = [_written(policy, number, direction) for policy, number in in_order(policies, direction)]
    found.extend(_bottom(tenants, direction))
    return tuple(found)


def in_order(policies: Iterable[Policy], direction: Direction) -> Iterator[tuple[Policy, int]]:
    """The same of policies alone, as their rules from 1, and 0 for a default."""
    ordered = sorted(policies, key=rank)
    for tier in Tier:
        of_tier = [policy for policy in ordered if policy.tier is tier]
        for policy in of_tier:
            rules = enumerate(policy.rules, 1)
            yield from ((policy, number) for number, rule in rules if rule.direction is direction)
        silent = (policy for policy in of_tier if policy.defaults.of(direction) is not None)
        yield from ((policy, 0) for policy in sorted(silent, key=lambda one: _weight(one, direction)))


def identities(policy: Policy) -> tuple[str, ...]:
    """Of its rules by position, then of its defaults, out and in, empty where nothing is said."""
    rules = (_written(policy, number, rule.direction) for number, rule in enumerate(policy.rules, 1))
    said = ((policy.defaults.of(d) is not None, d) for d in Direction)
    defaults = (_written(policy, 0, d).identity if there else "" for there, d in said)
    return (*(entry.identity for entry in rules), *defaults)


def identities_of(tenant: str, defaults: Defaults) -> tuple[str, ...]:
    """Of a tenant's own defaults, out and in, empty where nothing is said."""
    found = {entry.direction: entry.identity for d in Direction for entry in _bottom({tenant: defaults}, d)}
    return tuple(found.get(d, "") for d in Direction)


def rank(policy: Policy) -> tuple[int, int, str, str]:
    """The order in which policies judge."""
    return policy.tier, policy.order, policy.name, policy.tenant


def place(policy: Policy, number: int, direction: Direction, name: str = "") -> Place:
    """Where a policy's rule or, with number 0, its default stands."""
    return Place(Level(policy.tier), policy.tenant, policy.name, number, direction, name)


def bottom(tenant: str, direction: Direction) -> Place:
    """Where the default of a tenant stands."""
    return Place(Level.LAST, tenant, "", 0, direction)


def _written(policy: Policy, number: int, direction: Direction) -> Entry:
    if number:
        rule = policy.rules[number - 1]
        return _entry(place(policy, number, direction, rule.name), policy.subject, rule)
    default = policy.defaults.of(direction)
    assert default is not None
    return _default(place(policy, 0, direction), policy.subject, default)


def _weight(policy: Policy, direction: Direction) -> tuple[bool, bool]:
    """Denies first: of the defaults that hold for a port, the first decides."""
    default = policy.defaults.of(direction)
    assert default is not None
    return default.action is not Action.DENY, default.state is State.COUNT


def _bottom(tenants: Tenants, direction: Direction) -> Iterator[Entry]:
    for name in sorted(tenants):
        default = tenants[name].of(direction)
        if default is not None:
            yield _default(bottom(name, direction), Selection(), default)


def _default(place: Place, subject: Selection, default: Default) -> Entry:
    rule = Rule(place.direction, default.action, state=default.state, share=default.share)
    return _entry(place, subject, rule)


def _entry(place: Place, subject: Selection, rule: Rule) -> Entry:
    meaning = (
        place.level.name,
        place.tenant,
        place.policy,
        "rule" if place.number else "default",
        rule.name,
        rule.direction.value,
        rule.action.value,
        _told(subject),
        sorted(repr(_told(peer)) for peer in rule.peers),
        sorted(
            repr((int(s.protocol), s.ports and (s.ports.first, s.ports.last), s.kind, s.code))
            for s in rule.services
        ),
    )
    return Entry(
        place,
        subject,
        rule.action,
        rule.peers,
        rule.services,
        rule.state,
        rule.share,
        blake2b(repr(meaning).encode(), digest_size=8).hexdigest(),
    )


def _told(peer: Peer) -> object:
    """A peer in plain words and numbers, whose text is the same on every host and in every version."""
    if isinstance(peer, Block):
        return str(peer.prefix), sorted(str(one) for one in peer.excepted)
    selectors = (peer.ports, peer.networks, peer.tenants)
    return tuple(
        None if one is None else tuple((r.key, r.operator.value, r.values) for r in one.requirements)
        for one in selectors
    )


_WHOLE: Final = 1 << 64


def lot(port: Uid) -> int:
    """0 to 99, of no pattern over ports, and for one port the same in all rules: where a rule is enforced
    first, its exceptions are as well."""
    drawn = blake2b(port.encode(), digest_size=8).digest()
    return int.from_bytes(drawn, "big") * 100 // _WHOLE
