"""Burdens are what pipelines really make of drawn policies, or a little more; a glance never says less than a
count, and a count takes whom selectors take."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_network

from hypothesis import given, settings
from hypothesis import strategies as st
from immutables import Map

from ipam.burdens import OWN, Part, burden, weigh
from ipam.census import Census, Counted
from model.ids import Uid
from model.labels import selects
from model.policy import (
    Action,
    Block,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
    borne,
)
from pipelines import cookies
from pipelines import tables as t
from pipelines.compile import compile
from pipelines.cookies import Kind
from pipelines.policy.clauses import mark
from pipelines.shapes.policy import CHAINS
from tests.fakes.policies import WORLD, policy_sets, selections
from tests.fakes.under_policy import BARE, ruled

ACME = tuple(one for one in WORLD if one.tenant == "acme")
CENSUS = Census(Counted(p.name, p.labels, p.network, p.network_labels, len(p.addresses)) for p in ACME)
REAL = {table for chain in CHAINS.values() for table in chain.real}
FORESEEN = {table for chain in CHAINS.values() for table in chain.foreseen}
TALLIES = {t.LEFT.number, t.ENTERED.number}
of_acme = policy_sets().map(lambda made: tuple(one for one in made if one.tier is Tier.TENANT))


@given(of_acme)
@settings(max_examples=50)
def test_no_rule_makes_more_than_it_weighs_in_either_world(policies: tuple[Policy, ...]) -> None:
    _held(*policies)


def _held(*policies: Policy) -> None:
    snapshot, _ = ruled(BARE, policies, {})
    program = compile(snapshot)
    flows = [(cookies.parse(flow.cookie), flow.shape.table) for flow in program.flows()]
    bearing = program.index.policed.grouped.bearing
    of_rules = [(said.rule, table) for said, table in flows if said is not None and said.kind is Kind.POLICY]
    seats = {one.policy.name: (*one.seats, one.outward, one.inward) for one in snapshot.policies.values()}
    for policy in policies:
        ends = [seat for seat in seats[policy.name][-2:] if seat is not None]
        for index, part in enumerate(weigh((policy,), CENSUS)):
            seat = [*seats[policy.name][:-2], *ends][index]
            assert seat is not None
            numbers = {mark(seat.number, state) for state in State}
            made = Counter(
                "real" if table in REAL | TALLIES else "foreseen"
                for rule, table in of_rules
                if rule in numbers and table in REAL | TALLIES | FORESEEN
            )
            assert max(made.values(), default=0) <= part.total
            if index < len(policy.rules):
                groups = len(bearing.get((seat.number, Uid(f"policy-{policy.name}")), Map()))
                _exact(policy, index, replace(part, subjects=groups), made["real"])


def test_every_kind_of_peer_and_service_is_counted_as_it_is_made() -> None:
    """Ranges that meet, exceptions, either ICMP, what has no ports, and ports of SCTP, looked for twice."""
    wide, narrow = ip_network("10.0.0.0/8"), ip_network("10.0.0.2/32")
    six = Block(ip_network("fd00::/16"), (ip_network("fd00::2/128"),))
    told = (
        *(Service(protocol, PortRange(1, 65_534)) for protocol in (Protocol.TCP, Protocol.SCTP)),
        *(Service(Protocol.UDP, PortRange(first, first + 100)) for first in (50, 150, 400)),
        *(Service(protocol) for protocol in (Protocol.SCTP, Protocol.ICMP, Protocol.ICMPV6, 47)),
        *(Service(Protocol.ICMP, kind=8, code=code) for code in (None, 0, 4)),
    )
    for services in (told, told[:1], told[1:2], told[2:5], told[5:6], told[6:], ()):
        for peers in ((Selection(), Block(wide, (narrow,))), (Block(wide), Block(narrow)), (six,), ()):
            rules = tuple(Rule(Direction.IN, action, peers, services) for action in Action)
            _held(Policy("all", "acme", rules=rules))


def _exact(policy: Policy, index: int, part: Part, made: int) -> None:
    """Of a rule that is enforced wherever it judges, all but what it counts by is there, and a flow for each
    group of ports that it judges."""
    rule = policy.rules[index]
    if rule.state is State.COUNT or rule.share < 100 or not part.subjects:
        return
    tallies = 2 if rule.action is Action.ALLOW else 0
    concluded = 1 if rule.peers or rule.services else 0
    assert made == part.total - OWN + tallies + concluded


@given(of_acme)
def test_a_glance_never_says_less(policies: tuple[Policy, ...]) -> None:
    addresses = sum(len(one.addresses) for one in ACME)
    for policy in policies:
        exactly = sum(part.total for part in weigh((policy,), CENSUS))
        assert exactly <= burden(policy).most(len(ACME), addresses)


def test_nor_of_the_services_that_are_most_flows() -> None:
    wide = tuple(Service(protocol, PortRange(1, 65_534)) for protocol in (Protocol.TCP, Protocol.SCTP))
    for services in (wide[:1], wide[1:], wide):
        policy = Policy("all", "acme", rules=(Rule(Direction.IN, Action.ALLOW, services=services),))
        exactly = sum(part.total for part in weigh((policy,), CENSUS))
        assert exactly == burden(policy).most(len(ACME), 0) > 60


@given(st.lists(selections, max_size=3))
def test_a_census_takes_whom_selectors_take(asked: list[Selection]) -> None:
    taken = [
        one
        for one in ACME
        if any(
            selects(each.ports, borne(one.name, one.labels))
            and selects(each.networks, borne(one.network, one.network_labels))
            for each in asked
        )
    ]
    found = CENSUS.taken(asked)
    assert CENSUS.ports(found) == len(taken)
    assert CENSUS.addresses(found) == sum(len(one.addresses) for one in taken)
