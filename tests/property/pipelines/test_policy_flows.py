"""The flows of drawn policies say what the slow verdict says: who passes, by which rule, with which hit.

What the fake choice among conjunctions is worth, tests/contract/test_policy.py shows on a real switch.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, ip_network
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.masks import FULL, masked, prefixes
from model.policy import Action, Block, Default, Defaults, Direction, Policy, PortRange, Rule, State, Tier
from pipelines import lookup
from pipelines.compile import compile
from pipelines.conjunctions import clauses
from pipelines.overlap import overlaps
from pipelines.policy.verdict import Connection, Judged, judge
from pipelines.walk import walk
from tests.fakes import world
from tests.fakes.chains import DECIDED, NOTED, Laid, lay, packet, run
from tests.fakes.policies import (
    APP,
    BOUNDS,
    CONNECTIONS,
    PREFIXES,
    WEB,
    blocks,
    connections,
    policy_sets,
    tenants,
)


def judged(laid: Laid, connection: Connection, direction: Direction) -> Judged:
    """The verdict in the flows' words."""
    last, seen = run(laid, packet(laid, connection, direction))
    by, hit = (laid.entry(seen.get(field.name, 0)) for field in (DECIDED, NOTED))
    if last is None:
        return Judged(Action.DENY, None)
    assert last == laid.counted.allowed
    return Judged(Action.ALLOW, by, hit)


def same(said: Judged, wanted: Judged) -> bool:
    """A drop names its rule by the counter of its flow, not in a register."""
    if wanted.action is Action.DENY:
        return said.action is Action.DENY
    names = [one and one.place for one in (said.by, wanted.by, said.hit, wanted.hit)]
    return said.action is Action.ALLOW and names[0] == names[1] and names[2] == names[3]


@given(policy_sets(), tenants, st.lists(connections, min_size=15, max_size=15))
@settings(max_examples=80)
def test_flows_agree_with_the_verdict(
    policies: tuple[Policy, ...], of_tenants: dict[str, Defaults], tried: list[Connection]
) -> None:
    laid = {direction: lay(policies, of_tenants, direction) for direction in Direction}
    for connection in tried:
        outcome = judge(connection, policies, of_tenants)
        for direction, wanted in ((Direction.OUT, outcome.outward), (Direction.IN, outcome.inward)):
            if wanted is not None:
                assert same(judged(laid[direction], connection, direction), wanted)


EMPTY = compile(world.empty())


@given(policy_sets(), tenants, st.lists(connections, min_size=15, max_size=15))
@settings(max_examples=25)
def test_the_lookup_finds_what_a_look_at_all_flows_finds(
    policies: tuple[Policy, ...], of_tenants: dict[str, Defaults], tried: list[Connection]
) -> None:
    for direction in Direction:
        laid = lay(policies, of_tenants, direction)
        found = lookup.build(EMPTY, laid.flows)
        for connection in tried:
            if (connection.source if direction is Direction.OUT else connection.target) is None:
                continue
            seen = packet(laid, connection, direction)
            assert walk(found, seen, start=laid.start) == walk(laid.switch, seen, start=laid.start)


DEFAULTS = (Action.ALLOW, Action.DENY)
SAID = (None, *product(Action, State))


@pytest.mark.parametrize("operator", SAID, ids=str)
def test_tiers_hand_on_to_each_other(operator: tuple[Action, State] | None) -> None:
    """Every way that one rule a tier, and a default at the end, can follow each other."""
    connection = next(c for c in CONNECTIONS if c.source is WEB and c.target is APP)
    for tenant, baseline, last in product(SAID, SAID, (None, *product(DEFAULTS, State))):
        said = ((Tier.OPERATOR, operator), (Tier.TENANT, tenant), (Tier.BASELINE, baseline))
        policies = tuple(
            Policy(
                tier.name,
                "acme" if tier is Tier.TENANT else "",
                tier,
                rules=(Rule(Direction.IN, one[0], state=one[1]),),
            )
            for tier, one in said
            if one is not None
        )
        of_tenants = {"acme": Defaults(inward=None if last is None else Default(*last))}
        wanted = judge(connection, policies, of_tenants).inward
        assert wanted is not None
        found = judged(lay(policies, of_tenants, Direction.IN), connection, Direction.IN)
        assert same(found, wanted), (said, last)


@given(policy_sets(), tenants)
@settings(max_examples=30)
def test_no_two_flows_are_one_to_a_switch(
    policies: tuple[Policy, ...], of_tenants: dict[str, Defaults]
) -> None:
    for direction in Direction:
        flows = lay(policies, of_tenants, direction).flows
        assert len({flow.key() for flow in flows}) == len(flows)
        deciding = [flow for flow in flows if not clauses(flow.shape)]
        assert not list(overlaps(deciding))


ports = st.one_of(st.sampled_from(BOUNDS), st.integers(0, FULL))


@given(ports, ports, st.lists(ports, min_size=20, max_size=20))
def test_masks_match_a_range_and_nothing_else(one: int, two: int, tried: list[int]) -> None:
    first, last = sorted((one, two))
    found = masked(PortRange(first, last))
    assert len(found) <= 30
    assert sum(FULL + 1 - mask for _, mask in found) == last - first + 1
    for port in (*tried, first, last, first - 1, last + 1):
        hits = [value for value, mask in found if 0 <= port <= FULL and port & mask == value]
        assert len(hits) == (first <= port <= last)


@given(st.lists(blocks(), max_size=3))
def test_prefixes_are_the_blocks_without_what_is_excepted(some: list[Block]) -> None:
    found = prefixes(some)
    edges = [edge for prefix in PREFIXES for edge in (prefix[0], prefix[-1])]
    for address in (*edges, IPv4Address("10.0.0.3"), IPv4Address("192.0.2.1")):
        wanted = any(
            address in block.prefix and not any(address in hole for hole in block.excepted) for block in some
        )
        assert sum(address in prefix for prefix in found) == wanted


def test_an_exception_costs_the_bits_between() -> None:
    holed = Block(ip_network("10.0.0.0/8"), (ip_network("10.1.2.3/32"),))
    found = prefixes([holed])
    assert len(found) == 24
    assert all(isinstance(prefix, IPv4Network) for prefix in found)
