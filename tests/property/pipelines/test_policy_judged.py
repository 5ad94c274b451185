"""Drawn policies in the whole pipeline: a packet passes both ends if the slow verdict says so, its answer
goes with it, and a change judges again what was established, answers included."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from model.policy import Action, Change, Defaults, Direction, Policy, Protocol, Rule, State, Tier
from pipelines.check import check_flows
from pipelines.compile import compile
from pipelines.policy.verdict import Connection, judge
from tests.fakes.policies import CONNECTIONS, policy_sets, tenants
from tests.fakes.under_policy import Hosted

_ASKING = {Protocol.ICMP: 8, Protocol.ICMPV6: 128}
"""Other messages begin no connection, and conntrack calls them invalid."""
INSIDE = tuple(
    one
    for one in CONNECTIONS
    if one.source is not None
    and one.target is not None
    and one.kind == _ASKING.get(Protocol(one.protocol) if one.protocol in _ASKING else Protocol.TCP, 0)
)
WATCHED = Policy(
    "watched", "", Tier.OPERATOR, rules=tuple(Rule(d, Action.ALLOW, state=State.COUNT) for d in Direction)
)
"""It decides nothing, but connections are known from then on: who comes under policy in their midst is judged
by the first packet that is seen (docs/policy.md)."""
inside = st.lists(st.sampled_from(INSIDE), min_size=8, max_size=8, unique=True)


@given(policy_sets(), tenants, inside)
@settings(max_examples=15)
def test_a_packet_passes_both_ends_if_both_allow_it(
    policies: tuple[Policy, ...], of_tenants: dict[str, Defaults], tried: list[Connection]
) -> None:
    hosted = Hosted()
    hosted.rule(policies, of_tenants)
    for connection in tried:
        hosted.tracker.zones.clear()
        allowed = judge(connection, policies, of_tenants).allowed
        assert hosted.ask(connection) is allowed
        if allowed:
            assert hosted.answer(connection)
            assert hosted.ask(connection)


@given(policy_sets(), policy_sets(), tenants, inside)
@settings(max_examples=15)
def test_a_change_judges_established_connections_again(
    before: tuple[Policy, ...],
    after: tuple[Policy, ...],
    of_tenants: dict[str, Defaults],
    tried: list[Connection],
) -> None:
    for connection in tried[:4]:
        hosted = Hosted()
        hosted.rule((*before, WATCHED), of_tenants)
        if not hosted.ask(connection):
            continue
        assert hosted.answer(connection)
        hosted.rule(after, {})
        allowed = judge(connection, after, {}).allowed  # also where no policy is left
        assert hosted.answer(connection) is allowed
        assert hosted.ask(connection) is allowed


@given(policy_sets(), policy_sets(), tenants)
@settings(max_examples=10)
def test_flows_follow_changes_as_if_made_anew(
    before: tuple[Policy, ...], after: tuple[Policy, ...], of_tenants: dict[str, Defaults]
) -> None:
    hosted = Hosted()
    for policies, defaults in ((before, {}), (after, of_tenants)):
        hosted.rule(policies, defaults)
        fresh = compile(hosted.snapshot)
        assert {flow.key(): flow for flow in hosted.program.flows()} == {
            flow.key(): flow for flow in fresh.flows()
        }
        assert hosted.flows == {flow.key(): flow for flow in fresh.flows()}
        check_flows(fresh.flows())


@given(policy_sets(), inside)
@settings(max_examples=8)
def test_what_a_policy_keeps_stays(policies: tuple[Policy, ...], tried: list[Connection]) -> None:
    """Of policies that keep connections a change ends none."""
    kept = tuple(replace(one, on_change=Change.KEEP) for one in policies)
    hosted = Hosted()
    hosted.rule((WATCHED,), {})
    assert all(hosted.ask(connection) for connection in tried[:4])
    hosted.rule((*kept, WATCHED), {})
    assert all(hosted.answer(connection) for connection in tried[:4])
    assert all(hosted.ask(connection) for connection in tried[:4])
