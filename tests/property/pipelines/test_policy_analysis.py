"""No rule that is called unreachable ever decides; every rule that is not has something left to decide."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from model.policy import (
    PORTS,
    WITH_PORTS,
    Action,
    Defaults,
    Direction,
    Policy,
    Protocol,
    Rule,
    Selection,
    State,
)
from pipelines.policy import regions
from pipelines.policy.analysis import analyse
from pipelines.policy.entries import Entry, concerns, judging, standing
from pipelines.policy.regions import may_meet
from pipelines.policy.verdict import Connection, judge, meets
from tests.fakes.policies import (
    BOUNDS,
    CONNECTIONS,
    DB,
    PREFIXES,
    WORLD,
    blocks,
    policy_sets,
    services,
    states,
    tenants,
)


@given(policy_sets(), tenants, st.integers(0, 30))
@settings(max_examples=90)
def test_no_false_accusation(policies: tuple[Policy, ...], of_tenants: dict[str, Defaults], at: int) -> None:
    """Neither as things are, nor as they would be if all that counts were enforced."""
    accused = {(fault.object, fault.path) for fault in analyse(policies, of_tenants)}
    later = tuple(map(_enforced, policies)), {name: _of_both(both) for name, both in of_tenants.items()}
    for direction in Direction:
        for entry in standing(policies, of_tenants, direction):
            if _named(entry) in accused:
                for connection, world in product(_of(entry)[at::31], ((policies, of_tenants), later)):
                    outcome = judge(connection, *world)
                    ends = (one for one in (outcome.outward, outcome.inward) if one is not None)
                    assert not [one for one in ends if one.by and one.by.place == entry.place]


@given(policy_sets(), st.integers(0, 7))
@settings(max_examples=60)
def test_asked_about_some_it_says_what_is_theirs_and_what_is_their_doing(
    policies: tuple[Policy, ...], at: int
) -> None:
    """Of others at least what was not so without them, and never more than there is."""
    chosen = policies[at % len(policies)] if policies else Policy("p", "acme")
    own, others = (chosen.tenant, chosen.name), tuple(one for one in policies if one != chosen)
    whole, before = analyse(policies, {}), {(one.object, one.path) for one in analyse(others, {})}
    said = analyse(policies, {}, frozenset({own}))
    mine = f"SecurityPolicy {'/'.join(own)}" if chosen.tenant else f"OperatorPolicy {chosen.name}"
    assert [one for one in said if one.object == mine] == [one for one in whole if one.object == mine]
    new = [one for one in whole if one.object != mine and (one.object, one.path) not in before]
    assert [one for one in whole if one in said] == list(said) and {*new} <= {*said}


@given(policy_sets())
@settings(max_examples=30)
def test_what_meets_in_a_connection_may_meet(policies: tuple[Policy, ...]) -> None:
    for direction in Direction:
        entries = standing(policies, {}, direction)[:6]
        matched = [{id(connection) for connection in _of(entry)} for entry in entries]
        for (one, mine), (two, other) in product(zip(entries, matched, strict=True), repeat=2):
            assert may_meet(one, two) or not mine & other


def _of(entry: Entry) -> list[Connection]:
    """The connections that the entry matches by itself."""
    mine = {port.key for port in WORLD if concerns(entry, port)}
    ends = ((c, c.source if entry.direction is Direction.OUT else c.target) for c in CONNECTIONS)
    return [c for c, end in ends if end is not None and end.key in mine and meets(entry, c)]


def _named(entry: Entry) -> tuple[str, str]:
    tenant, policy = entry.place.tenant, entry.place.policy
    kind = f"SecurityPolicy {tenant}/" if tenant else "OperatorPolicy "
    return f"{kind}{policy}", f"spec.rules[{entry.place.number - 1}]"


def _enforced(policy: Policy) -> Policy:
    rules = tuple(replace(rule, state=State.ENFORCE, share=100) for rule in policy.rules)
    return replace(policy, rules=rules, defaults=_of_both(policy.defaults))


def _of_both(both: Defaults) -> Defaults:
    made = (one and replace(one, state=State.ENFORCE, share=100) for one in (both.outward, both.inward))
    return Defaults(*made)


def _addresses() -> list[tuple[int, int]]:
    found = set()
    for prefix in PREFIXES:
        low, high = regions.span(prefix)
        whole = regions.whole(prefix.version)
        found |= {(prefix.version, n) for n in (low, low - 1, high, high + 1) if whole[0] <= n <= whole[1]}
    return sorted(found)


ADDRESSES = _addresses()
NEAR = sorted({n for bound in BOUNDS for n in (bound - 1, bound, bound + 1) if n in PORTS})
CARRIED = (
    *((protocol, 0, 0, n) for protocol in WITH_PORTS for n in NEAR),
    *((protocol, k, c, 0) for protocol in (1, 58) for k, c in product((0, 3, 8, 128, 255), (0, 4, 9))),
    (47, 0, 0, 0),
    (99, 0, 0, 0),
)
"""(protocol, ICMP type, ICMP code, port) on both sides of whatever a drawn rule can say."""
FOREIGN = {4: Protocol.ICMPV6, 6: Protocol.ICMP}
exact = st.builds(
    Rule,
    st.just(Direction.IN),
    st.sampled_from(Action),
    st.lists(blocks(), max_size=2).map(tuple),
    st.lists(services, max_size=3).map(tuple),
    states,
)


@given(st.lists(exact, min_size=2, max_size=5).map(tuple))
@settings(max_examples=60)
def test_of_prefixes_and_services_every_unreachable_rule_is_named(rules: tuple[Rule, ...]) -> None:
    policy = Policy("p", "acme", subject=Selection(), rules=rules)
    accused = {fault.path for fault in analyse((policy,), {})}
    taken = [_matched(entry) for entry in judging(standing((policy,), {}, Direction.IN), DB)]
    for index, rule in enumerate(rules):
        left = set(taken[index])
        for other, before in zip(rules[:index], taken[:index], strict=True):
            if other.state is State.ENFORCE or rule.state is State.COUNT:
                left -= before
        assert (f"spec.rules[{index}]" in accused) == (not left), (index, rules)


def _matched(entry: Entry) -> set[tuple[int, int]]:
    """Every (address, what is carried) of the grid that it matches: peers and services apart, for speed."""
    of_peers, of_services = replace(entry, services=()), replace(entry, peers=())
    addresses = [
        index
        for index, (version, number) in enumerate(ADDRESSES)
        if meets(of_peers, _connection(version, number, CARRIED[0]))
    ]
    carried = [
        (version, index)
        for version, (index, one) in product(FOREIGN, enumerate(CARRIED))
        if one[0] != FOREIGN[version] and meets(of_services, _connection(version, 0, one))
    ]
    return {(a, c) for a in addresses for version, c in carried if ADDRESSES[a][0] == version}


def _connection(version: int, number: int, carried: tuple[int, int, int, int]) -> Connection:
    far = IPv4Address(number) if version == 4 else IPv6Address(number)
    near = next(address for address in DB.addresses if address.version == version)
    protocol, kind, code, port = carried
    return Connection(None, DB, far, near, protocol, port, kind, code)
