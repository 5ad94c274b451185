"""What rules did, for Prometheus: summed over hosts, bounded, and never less than before."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from immutables import Map

from controller.api import policy_gauges
from controller.api.exposition import Sample
from controller.api.policy_gauges import Rules
from controller.store.records import Contents, HypervisorRecord, PolicyRecord, TenantRecord
from model.entries import identities
from model.evidence import Amount, RuleName, RuleSeen
from model.ids import HostName, TenantKey, Uid
from model.intent import Hypervisor, Tenant
from model.policy import Action, Default, Defaults, Direction, Policy, Rule, Seat, Standing

POLICY = Policy(
    "web",
    "acme",
    rules=(Rule(Direction.IN, Action.DENY), Rule(Direction.IN, Action.ALLOW, name="all")),
    defaults=Defaults(inward=Default(Action.DENY)),
)
STANDING = Standing(Uid("u"), POLICY, TenantKey(1), (Seat(5, 9), Seat(6, 8)), inward=Seat(7, 1))
NAMES = [RuleName(n, i) for n, i in zip((5, 6, 0, 7), identities(POLICY), strict=True)]
HOSTS = [HostName("hv1"), HostName("hv2")]
CONTENTS = Contents(
    tenants=Map({"acme": TenantRecord(Tenant(Uid("t"), "acme", TenantKey(1)))}),
    policies=Map({("acme", "web"): PolicyRecord(STANDING, "acme")}),
    hypervisors=Map(
        {h: HypervisorRecord(Hypervisor(h, ip_address(f"192.0.2.{n}"), n)) for n, h in enumerate(HOSTS, 1)}
    ),
)


def seen(at: int, enforced: int = 0, counted: int = 0) -> RuleSeen:
    return RuleSeen(NAMES[at], Amount(enforced, 10 * enforced), Amount(counted, 10 * counted))


def packets(samples: list[Sample]) -> dict[tuple[str, ...], float]:
    return {one.labels: one.value for one in samples if one.name == "ringfence_policy_packets_total"}


def test_rules_are_summed_over_hosts_that_are_declared() -> None:
    said = {
        "hv1": ((seen(0, counted=3), seen(3, enforced=1)), 10),
        "hv2": ((seen(0, counted=4), seen(1)), 10_000_000),
        "hv9": ((seen(0, counted=100),), 0),
    }
    found = list(Rules().samples(CONTENTS, said, 2))
    assert packets(found) == {
        ("acme", "web", "1", "enforced"): 0,
        ("acme", "web", "1", "counted"): 7,
        ("acme", "web", "default in", "enforced"): 1,
        ("acme", "web", "default in", "counted"): 0,
    }
    values = {(one.name, *one.labels): one.value for one in found}
    assert values["ringfence_policy_bytes_total", "acme", "web", "1", "counted"] == 70
    assert [values["ringfence_policy_hosts", w] for w in ("fresh", "stale", "unreadable")] == [1, 1, 2]
    assert values["ringfence_policy_rules", "tenant"] == 3


def test_a_rule_that_was_named_stays_so_and_the_rest_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_gauges, "MOST_RULES", 1)
    rules = Rules()
    last = {"hv1": ((seen(3, enforced=2),), 0)}
    assert ("acme", "web", "default in", "enforced") in packets(list(rules.samples(CONTENTS, last, 0)))
    both = {"hv1": ((seen(0, counted=9), seen(1, enforced=4), seen(3, enforced=2)), 0)}
    found = packets(list(rules.samples(CONTENTS, both, 0)))
    assert found["acme", "web", "default in", "enforced"] == 2
    assert (found["other", "other", "other", "enforced"], found["other", "other", "other", "counted"]) == (
        4,
        9,
    )
    assert len(found) == 4


def test_what_nobody_declared_has_no_name() -> None:
    said = {"hv1": ((RuleSeen(RuleName(5, "another"), Amount(5, 5)),), 0)}
    assert not packets(list(Rules().samples(CONTENTS, said, 0)))
