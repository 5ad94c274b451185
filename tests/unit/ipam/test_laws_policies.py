"""What a tenant's policies may make a host hold: judged whatever makes it more, counted only if it must be,
and never in the way of what makes it no more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from ipam import laws_policies
from ipam.census import Census, Counted
from ipam.draft import Draft
from model.errors import Exhausted, Fault
from model.labels import EVERYTHING, NAME, Labels, Selector, matching
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
)
from model.wanted import Kind, Reference, Wanted, WantedNetwork, WantedPolicy, WantedPort

WEB = Selection(matching([("tier", "web")]))
EVERYBODY = Selection()


def taking(*peers: Selection | Block, name: str = "", services: tuple[Service, ...] = ()) -> Rule:
    return Rule(Direction.IN, Action.ALLOW, peers, services, name=name)


def policy(name: str, *rules: Rule, tenant: str = "acme", subject: Selection = EVERYBODY) -> WantedPolicy:
    return WantedPolicy(tenant, name, Policy(name, tenant, subject=subject, rules=rules))


def ports(count: int, labels: Labels | None = None, tenant: str = "acme", first: int = 0) -> list[Wanted]:
    return [WantedPort(tenant, f"p{n}", "prod", labels=labels) for n in range(first, first + count)]


def refused(bench, *wanted: Wanted) -> Fault:
    with pytest.raises(Exhausted) as caught:
        bench.plan(*wanted)
    (fault,) = caught.value.faults
    assert fault.rule == "policy-too-heavy"
    return fault


@pytest.fixture
def most(monkeypatch):
    """Sets another limit."""
    return lambda number: monkeypatch.setattr(laws_policies, "MOST_FLOWS", number)


@pytest.fixture
def censuses(monkeypatch) -> list[Census]:
    """All that are made from now on."""
    made: list[Census] = []

    def count(counted: Iterable[Counted]) -> Census:
        made.append(Census(counted))
        return made[-1]

    monkeypatch.setattr(laws_policies, "Census", count)
    return made


def test_who_writes_too_much_is_told_what_is_heaviest(bench, most) -> None:
    """10 ports with two addresses each: a rule of all makes 20, 10 subjects, and 3 of its own."""
    bench.apply(*ports(10))
    most(100)
    block = Block(ip_network("192.0.2.0/24"), (ip_network("192.0.2.128/26"),))
    rules = (
        taking(block, services=(Service(Protocol.TCP, PortRange(80, 81)),)),
        taking(EVERYBODY, name="all"),
        taking(EVERYBODY, block),
    )
    bench.plan(policy("web", *rules))
    most(84)
    bench.plan(policy("web", *rules))
    most(83)
    fault = refused(bench, policy("web", *rules))
    assert (fault.object, fault.path) == ("SecurityPolicy acme/web", "spec.rules[2]")
    assert "tenant acme would make 84 flows on a host, 83 at most" in fault.message
    parts = fault.message.partition("most of them: ")[2].split("; ")
    judged = "10 ports that it judges (of a host, 64 at most)"
    assert parts == [
        f"rule 3 of acme/web makes 35 (20 addresses of ports, 2 prefixes, {judged})",
        f"rule 2 (all) of acme/web makes 33 (20 addresses of ports, {judged})",
        f"rule 1 of acme/web makes 16 (2 prefixes, 1 of services, {judged})",
    ], "no more than there are"
    assert "CIDR" in fault.remedy


def test_defaults_and_what_is_stored_count_as_well(bench, most) -> None:
    bench.apply(*ports(10), policy("old", taking(EVERYBODY)))
    denying = Policy(
        "new", "acme", defaults=Defaults(outward=Default(Action.DENY), inward=Default(Action.DENY))
    )
    most(33 + 2 * 13)
    bench.plan(WantedPolicy("acme", "new", denying))
    most(33 + 2 * 13 - 1)
    fault = refused(bench, WantedPolicy("acme", "new", denying))
    assert (fault.object, fault.path) == ("SecurityPolicy acme/new", "spec.defaults"), "what was written"
    assert "; the default of acme/new" in fault.message and "rule 1 of acme/old makes 33" in fault.message


def test_what_selectors_would_take_is_counted_when_it_comes(bench, most) -> None:
    bench.apply(*ports(10), policy("web", taking(WEB)))
    most(13 + 10)
    (port,) = ports(1, labels=(("tier", "web"),))
    bench.apply(*ports(5, labels=(("tier", "web"),)))
    assert refused(bench, *ports(1, (("tier", "web"),), first=5)).object == "Port acme/p5"
    new = ports(2, (("tier", "web"),), first=10)
    assert refused(bench, *new).object == "Port acme/p10"
    bench.plan(port, *ports(1, (("tier", "db"),), first=5))


def test_so_are_addresses_that_a_port_gets_later(bench, most) -> None:
    bench.apply(*ports(2), policy("web", taking(EVERYBODY)))
    most(3 + 2 + 5)
    more = tuple(ip_address(f"10.0.0.{last}") for last in (2, 50, 51, 52, 53))
    bench.plan(WantedPort("acme", "p0", "prod", addresses=more[:3]))
    assert refused(bench, WantedPort("acme", "p0", "prod", addresses=more)).object == "Port acme/p0"


def test_labels_of_networks_are_labels_of_their_ports(bench, most) -> None:
    home = Selection(networks=matching([("zone", "a")]))
    bench.apply(*ports(10), policy("web", taking(home)))
    most(32)
    prod = WantedNetwork("acme", "prod", (ip_network("10.0.0.0/24"), ip_network("fd00::/64")))
    bench.plan(replace(prod, labels=(("zone", "b"),)))
    fault = refused(bench, replace(prod, labels=(("zone", "a"),)))
    assert fault.object == "Network acme/prod" and fault.path == ""


def test_what_was_written_before_the_limit_may_stay_and_become_less(bench, most) -> None:
    rules = (taking(EVERYBODY), taking(EVERYBODY), taking(WEB))
    bench.apply(*ports(10), policy("web", *rules))
    most(40)
    refused(bench, *ports(1, first=10))
    refused(bench, policy("more", taking(WEB)))
    refused(bench, *ports(1, labels=(("tier", "web"),)))
    bench.apply(*ports(1, labels=(("tier", "db"),)))
    bench.apply(policy("web", *reversed(rules)), WantedNetwork("acme", "other", (ip_network("10.1.0.0/24"),)))
    bench.apply(policy("web", *rules[1:]))
    assert laws_policies.most(Draft(bench.contents), "acme") > 40, "it is still too heavy"
    bench.delete(Reference(Kind.PORT, "p9", "acme"))
    refused(bench, *ports(1, first=9))
    bench.delete(Reference(Kind.SECURITY_POLICY, "web", "acme"))
    bench.apply(*ports(1, first=9), policy("small", taking(EVERYBODY)))


def test_one_tenant_is_not_judged_by_what_another_has(bench, most) -> None:
    bench.apply(*ports(10), policy("web", taking(EVERYBODY)))
    most(30)
    bench.apply(*ports(20, tenant="umbra"), policy("web", taking(WEB), tenant="umbra", subject=WEB))
    fault = refused(bench, policy("web", taking(EVERYBODY), tenant="umbra"))
    assert "tenant umbra would make" in fault.message


def test_the_operators_policies_are_nobodys_burden(bench, most) -> None:
    bench.apply(*ports(10))
    most(1)
    bench.apply(WantedPolicy(None, "all", Policy("all", "", rules=(taking(Selection(tenants=EVERYTHING)),))))
    bench.apply(*ports(1, first=10))


def test_ports_are_counted_only_where_it_could_be_too_much(bench, most, censuses) -> None:
    """The sum that is known at a glance: 20 addresses for each of 3 rules, 10 subjects, and 3 of its own."""
    bench.apply(*ports(10), *ports(10, tenant="umbra"))
    rules = tuple(taking(Selection(matching([("n", f"{n}")]))) for n in range(3))
    most(3 * 33)
    bench.apply(policy("web", *rules))
    bench.apply(*ports(10), *ports(1, tenant="umbra", first=10))
    assert not censuses, "it could not be too much, or nobody has policies"
    bench.apply(*ports(3, first=10))
    assert len(censuses) == 1, "once, however many ports are new"
    assert censuses[0].looks == 3, "once for each requirement, however many ports there are"
    most(3 * 40)
    bench.apply(policy("more", *rules), *ports(1, first=13))
    assert len(censuses) == 2 and censuses[1].looks == 3, "who asks the same is answered once"
    del censuses[:]
    bench.apply(WantedPort("acme", "p0", "prod", enabled=False), *ports(1, tenant="umbra", first=11))
    bench.delete(Reference(Kind.PORT, "p0", "acme"))
    assert not censuses, "none of this makes it more"


def test_nothing_is_counted_of_what_is_gone(bench) -> None:
    bench.apply(*ports(3), policy("web", taking(EVERYBODY)), policy("old", taking(EVERYBODY)))
    bench.apply(policy("web"), WantedPort("acme", "p0", "prod", addresses=()))
    assert laws_policies.most(Draft(bench.contents), "acme") == 4 + 3 + 3
    names = (*((Kind.PORT, f"p{n}") for n in range(3)), *((Kind.SECURITY_POLICY, n) for n in ("web", "old")))
    bench.delete(*(Reference(kind, name, "acme") for kind, name in names))
    assert not bench.contents.burdens and not bench.contents.addressed


def test_names_are_labels_like_others(bench, most) -> None:
    named = Selection(matching([(NAME, "p3")]))
    bench.apply(*ports(10), policy("web", taking(named)))
    most(3 + 2 + 10)
    bench.apply(policy("web", taking(named)))
    most(3 + 2 + 9)
    refused(bench, policy("web", taking(named), taking(Selection(Selector(), matching([(NAME, "prod")])))))
