"""Frames for a MAC that does not have their packet's destination: what a port is forbidden to send by address
it can't send by MAC either, and what counts only says so."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from model.policy import Action, Defaults, Direction, Endpoint, Policy, Protocol
from pipelines import cookies
from pipelines import tables as t
from pipelines.policy.entries import Tenants
from pipelines.policy.seated import rulings
from pipelines.policy.verdict import Connection, Judged, judge, stray
from pipelines.walk import Walk
from tests.fakes.policies import CONNECTIONS, WORLD, policy_sets, tenants
from tests.fakes.under_policy import Hosted

_ASKING = {Protocol.ICMP: 8, Protocol.ICMPV6: 128}
_OURS = {address for one in WORLD for address in one.addresses}


def beside(connection: Connection) -> Endpoint | None:
    """Somebody of the sender's network, who has not the address that it sends to."""
    source, far = connection.source, connection.target_address
    if source is None or (connection.target is None and far in _OURS):
        return None  # of whom the pipeline would know more than the connection says
    near = (one for one in WORLD if one.network == source.network and one is not source)
    return next((one for one in near if far not in one.addresses), None)


ASTRAY = tuple(
    (connection, to)
    for connection in CONNECTIONS
    if (to := beside(connection)) is not None
    and connection.kind == _ASKING.get(Protocol(connection.protocol) if connection.kind else Protocol.TCP, 0)
    and any(one.version == connection.target_address.version for one in to.addresses)
)
astray = st.lists(st.sampled_from(ASTRAY), min_size=8, max_size=8, unique=True)


def inward(policies: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """Of these only what judges at the end that gets it."""
    return tuple(
        replace(
            one,
            rules=tuple(rule for rule in one.rules if rule.direction is Direction.IN),
            defaults=replace(one.defaults, outward=None),
        )
        for one in policies
    )


def expected(
    connection: Connection, to: Endpoint, policies: tuple[Policy, ...], of_tenants: Tenants
) -> tuple[bool, Judged | None]:
    """Whether it arrives there; what is said of it for its MAC alone, None if it does not get so far."""
    outward = judge(connection, policies, of_tenants).outward
    if outward is None or outward.action is Action.DENY:
        return False, None
    assert connection.source is not None
    found = stray(connection.source, policies, of_tenants)
    into = {name: replace(both, outward=None) for name, both in of_tenants.items()}
    there = judge(replace(connection, target=to), inward(policies), into).inward
    assert there is not None
    return found.action is Action.ALLOW and there.action is Action.ALLOW, found


def said(hosted: Hosted, way: Walk) -> tuple[object, ...]:
    """The places of the rules for which a frame was dropped or counted as straying."""
    places = {ruling.number: ruling.entry.place for ruling in rulings(hosted.snapshot)}
    met = (s.flow for s in way.steps if s.table == t.ADDRESSEE.number and s.flow is not None)
    parsed = (cookies.parse(flow.cookie) for flow in met)
    return tuple(places[one.rule >> 1] for one in parsed if one is not None and one.rule)


@given(policy_sets(), tenants, astray)
@settings(max_examples=20)
def test_who_may_not_send_to_an_address_can_not_send_to_its_mac(
    policies: tuple[Policy, ...], of_tenants: dict[str, Defaults], tried: list[tuple[Connection, Endpoint]]
) -> None:
    hosted = Hosted()
    hosted.rule(policies, of_tenants)
    for connection, to in tried:
        hosted.tracker.zones.clear()
        arrives, judged = expected(connection, to, policies, of_tenants)
        for _ in range(2):  # as the first packet of a connection, and of one that was let out
            way = hosted.stray(connection, to)
            assert (to.key in {sent.port for sent in way.sent}) is arrives
            entry = None if judged is None else judged.by or judged.hit
            assert said(hosted, way) == (() if entry is None else (entry.place,))


@given(policy_sets(), tenants, astray)
@settings(max_examples=10)
def test_a_connection_that_is_known_vouches_for_no_mac(
    policies: tuple[Policy, ...], of_tenants: dict[str, Defaults], tried: list[tuple[Connection, Endpoint]]
) -> None:
    hosted = Hosted()
    hosted.rule(policies, of_tenants)
    for connection, to in tried:
        hosted.tracker.zones.clear()
        if connection.target is None or not hosted.ask(connection):
            continue
        assert hosted.answer(connection)
        arrives, _ = expected(connection, to, policies, of_tenants)
        assert (to.key in {sent.port for sent in hosted.stray(connection, to).sent}) is arrives
        assert hosted.ask(connection)
