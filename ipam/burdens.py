"""Burdens: what policies make a host's switch hold: exactly, by rule, and at most, at a glance.

Place: `ipam.draft` keeps the sums of each tenant's policies, `ipam.laws_policies` judges tenants by them.
Counts the flows that `pipelines.policy.clauses` makes of a rule where it stands once; tests hold the one
against the other. Must not know who bears which labels: `ipam.census` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from immutables import MapMutation

from ipam.census import Census
from model.entries import Place, place
from model.masks import masked, merged, prefixes
from model.policy import (
    PORTS,
    WITH_PORTS,
    Block,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
)

OWN: Final = 3
"""Of a rule itself, at most: its conclusion, and what counts it on either side."""
SUBJECTS: Final = 64
"""Of the ports that a rule judges, as many as may live on one host and be judged by other rules each. Those
that the very same rules judge are one (docs/decisions/0058), so mostly it makes fewer flows."""
_ALL: Final = PortRange(PORTS[0], PORTS[-1])
_WAYS_OF_SCTP: Final = 2
"""Its ports are looked for in packets of either direction."""
_MOST_MASKS: Final = 30


@dataclass(frozen=True, slots=True)
class Burden:
    """Of several policies, whoever bears which labels. `selecting`: rules that take ports as peers;
    `entries`: rules and defaults; `rest`: the most that those make besides ports."""

    selecting: int = 0
    entries: int = 0
    rest: int = 0

    def most(self, ports: int, addresses: int) -> int:
        """No owner of so many ports, with so many addresses, has policies that weigh more."""
        return self.selecting * addresses + self.entries * min(ports, SUBJECTS) + self.rest


NOTHING: Final = Burden()


@dataclass(frozen=True, slots=True)
class Part:
    """What one rule or default makes: of addresses that ports have, of prefixes, of services, of subjects
    at most."""

    place: Place
    peers: int
    prefixes: int
    services: int
    subjects: int

    @property
    def total(self) -> int:
        return OWN + self.peers + self.prefixes + self.services + self.subjects


def burden(policy: Policy) -> Burden:
    """At a glance: what it costs follows its text alone."""
    defaults = sum(policy.defaults.of(direction) is not None for direction in Direction)
    entries = len(policy.rules) + defaults
    selecting = sum(any(isinstance(peer, Selection) for peer in rule.peers) for rule in policy.rules)
    return Burden(selecting, entries, OWN * entries + sum(map(_most_besides, policy.rules)))


def shift(sums: MapMutation[str, Burden], owner: str, lost: Burden, won: Burden) -> None:
    """Take one policy's burden from an owner's, and add another's; what is nothing has no key."""
    had = sums.get(owner, NOTHING)
    now = Burden(
        had.selecting - lost.selecting + won.selecting,
        had.entries - lost.entries + won.entries,
        had.rest - lost.rest + won.rest,
    )
    if now == NOTHING:
        sums.pop(owner, None)
    else:
        sums[owner] = now


def weigh(policies: Iterable[Policy], census: Census) -> tuple[Part, ...]:
    """Rule by rule, and default by default, in the order in which they are written."""
    return tuple(
        part
        for policy in policies
        for part in parts(
            policy,
            census.ports(census.taken((policy.subject,))),
            lambda selections: census.addresses(census.taken(selections)),
        )
    )


def parts(policy: Policy, judged: int, addresses: Callable[[tuple[Selection, ...]], int]) -> Iterator[Part]:
    """Of one policy. `judged`: how many ports its subject takes; `addresses`: of the ports that some of these
    selections take, asked once for each rule with such."""
    subjects = min(SUBJECTS, judged)
    for number, rule in enumerate(policy.rules, 1):
        where = place(policy, number, rule.direction, rule.name)
        selections = tuple(peer for peer in rule.peers if isinstance(peer, Selection))
        found = prefixes(peer for peer in rule.peers if isinstance(peer, Block))
        families = {4, 6} if selections or not rule.peers else {one.version for one in found}
        services = sum(_services(rule.services, family) for family in families)
        peers = addresses(selections) if selections else 0
        yield Part(where, peers, len(found), services, subjects)
    for direction in Direction:
        if policy.defaults.of(direction) is not None:
            yield Part(place(policy, 0, direction), 0, 0, 0, subjects)


def _services(services: Sequence[Service], family: int) -> int:
    """Flows of a clause of services, in one IP version."""
    total = 0
    for protocol in {service.protocol for service in services}:
        of_it = [service for service in services if service.protocol == protocol]
        if protocol in WITH_PORTS:
            ranges = merged(service.ports or _ALL for service in of_it)
            ways = _WAYS_OF_SCTP if protocol == Protocol.SCTP else 1
            total += sum(ways if mask else 1 for ports in ranges for _, mask in masked(ports))
        elif protocol == (Protocol.ICMP if family == 4 else Protocol.ICMPV6):
            total += len({(service.kind, service.code) for service in of_it})
        elif protocol not in (Protocol.ICMP, Protocol.ICMPV6):
            total += 1
    return total


def _most_besides(rule: Rule) -> int:
    blocks = sum(_most_prefixes(peer) for peer in rule.peers if isinstance(peer, Block))
    return blocks + 2 * sum(map(_most_masks, rule.services))


def _most_prefixes(block: Block) -> int:
    """An exception splits what is left into as many prefixes more as it is longer, at most."""
    return 1 + sum(max(0, hole.prefixlen - block.prefix.prefixlen) for hole in block.excepted)


def _most_masks(service: Service) -> int:
    if service.ports is None or service.ports == _ALL:
        return 1
    size = service.ports.last - service.ports.first + 1
    ways = _WAYS_OF_SCTP if service.protocol == Protocol.SCTP else 1
    return ways * min(_MOST_MASKS, 2 * size.bit_length() - 1)
