"""Gauges of policies: what their rules decided and would have dropped, as samples for Prometheus.

Place: beside `controller.api.gauges`; made of what hosts say of rules. No label has as many values as there
are ports or hosts; rules are named up to a number, and all others are one. Must not take a rule's name back
while the rule is there: counters would fall.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from controller.api.exposition import Metric, Sample
from controller.api.seen import QUIET_MS
from controller.store.policies import unread
from controller.store.records import Contents, PolicyRecord
from model.entries import identities, identities_of
from model.evidence import Amount, RuleName, RuleSeen
from model.policy import Direction

_RULE: Final = ("tenant", "policy", "rule", "done")
METRICS: Final = (
    Metric("ringfence_policy_rules", "gauge", ("tier",), "Rules and defaults that are declared."),
    Metric(
        "ringfence_policy_packets_total",
        "counter",
        _RULE,
        "Packets that a rule decided (enforced) or would have dropped (counted). Beyond 500 rules: other.",
    ),
    Metric("ringfence_policy_bytes_total", "counter", _RULE, "The same in bytes, with layer 2."),
    Metric(
        "ringfence_policy_hosts",
        "gauge",
        ("evidence",),
        "Hosts by what they say of rules: fresh, stale, unreadable.",
    ),
)
MOST_RULES: Final = 500
OTHER: Final = "other"
Label = tuple[str, str, str]
Said = Mapping[str, tuple[tuple[RuleSeen, ...], int]]
"""By host, the rules that it tells of, and the age of its word in ms."""


class Rules:
    """Which rules have a name of their own: the first ones that did something. One thread."""

    def __init__(self) -> None:
        self._named: dict[RuleName, None] = {}
        self._known: tuple[Contents | None, dict[RuleName, tuple[str, Label]]] = (None, {})

    def samples(self, contents: Contents, said: Said, broken: int) -> Iterator[Sample]:
        """What hosts that are declared say; `broken`: words that can't be read."""
        if self._known[0] is not contents:
            self._known = (contents, dict(_labels(contents)))
        known = self._known[1]
        yield from _declared(tier for tier, _ in known.values())
        ages = [age for host, (_, age) in said.items() if host in contents.hypervisors]
        fresh = sum(age <= QUIET_MS for age in ages)
        for word, number in (("fresh", fresh), ("stale", len(ages) - fresh), ("unreadable", broken)):
            yield Sample("ringfence_policy_hosts", (word,), number)
        sums: dict[RuleName, tuple[Amount, Amount]] = {}
        for host, (rules, _) in sorted(said.items()):
            if host in contents.hypervisors:
                for one in rules:
                    enforced, counted = sums.get(one.rule, (Amount(), Amount()))
                    sums[one.rule] = enforced.plus(one.enforced), counted.plus(one.counted)
        self._named = {name: None for name in self._named if name in known}
        yield from self._amounts({name: both for name, both in sums.items() if name in known})

    def _amounts(self, sums: Mapping[RuleName, tuple[Amount, Amount]]) -> Iterator[Sample]:
        for name in sorted(sums):
            if len(self._named) < MOST_RULES and any(amount.packets for amount in sums[name]):
                self._named[name] = None
        rest = Amount(), Amount()
        for name, both in sorted(sums.items()):
            if name in self._named:
                yield from _pair(self._known[1][name][1], both)
            else:
                rest = rest[0].plus(both[0]), rest[1].plus(both[1])
        if any(amount.packets for amount in rest):
            yield from _pair((OTHER, OTHER, OTHER), rest)


def _pair(label: Label, both: tuple[Amount, Amount]) -> Iterator[Sample]:
    for done, amount in zip(("enforced", "counted"), both, strict=True):
        yield Sample("ringfence_policy_packets_total", (*label, done), amount.packets)
        yield Sample("ringfence_policy_bytes_total", (*label, done), amount.octets)


def _declared(tiers: Iterable[str]) -> Iterator[Sample]:
    counts = dict.fromkeys(("operator", "tenant", "baseline", "last"), 0)
    for tier in tiers:
        counts[tier] += 1
    for tier, number in counts.items():
        yield Sample("ringfence_policy_rules", (tier,), number)


def _labels(contents: Contents) -> Iterator[tuple[RuleName, tuple[str, Label]]]:
    """Each rule and default with its tier and the words that name it."""
    for record in (*contents.operator_policies.values(), *contents.policies.values()):
        if not unread(record.value):
            yield from _of_policy(record)
    for name, tenant in contents.tenants.items():
        value = tenant.value
        told = identities_of(name, value.defaults)
        for direction, number, identity in zip(Direction, value.seats, told, strict=True):
            if number:
                yield RuleName(number, identity), ("last", (name, "", f"default {direction.value}"))


def _of_policy(record: PolicyRecord) -> Iterator[tuple[RuleName, tuple[str, Label]]]:
    value, policy = record.value, record.value.policy
    told = identities(policy)
    tier = policy.tier.name.lower()
    words = (*(rule.name or str(at) for at, rule in enumerate(policy.rules, 1)), "default out", "default in")
    for seat, identity, word in zip((*value.seats, value.outward, value.inward), told, words, strict=True):
        if seat is not None:
            yield RuleName(seat.number, identity), (tier, (record.tenant or "", policy.name, word))
