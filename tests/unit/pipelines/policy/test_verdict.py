"""The verdict on connections, case by case: order, tiers, defaults, both ends, what counts."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from model.entries import identities
from model.labels import matching
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Endpoint,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)
from pipelines.policy.entries import standing
from pipelines.policy.verdict import Connection, judge
from tests.fakes.policies import ALIEN, APP, DB, LONER, WEB

ALLOW, DENY, PASS = Action.ALLOW, Action.DENY, Action.PASS
COUNT = State.COUNT
CLOSED = Default(DENY)
FROM_WEB = (Selection(matching([("app", "web")])),)
HTTP = (Service(Protocol.TCP, PortRange(80, 80)),)
SHUT = Defaults(inward=CLOSED)
SILENT = Defaults()


def to(target: Endpoint, source: Endpoint | None = WEB, port: int = 80, **others: int) -> Connection:
    address = ip_address("198.51.100.7") if source is None else source.addresses[0]
    made = Connection(source, target, address, target.addresses[0], Protocol.TCP, port)
    return replace(made, **others)


def policy(*rules: Rule, name: str = "p", defaults: Defaults = SILENT, **others: object) -> Policy:
    return Policy(name, "acme", rules=rules, defaults=defaults, **others)  # type: ignore[arg-type]


def over(*rules: Rule, tier: Tier = Tier.OPERATOR, name: str = "o", defaults: Defaults = SILENT) -> Policy:
    return Policy(name, "", tier, rules=rules, defaults=defaults)


def inward(action: Action, *peers: object, services: tuple[Service, ...] = (), **others: object) -> Rule:
    return Rule(Direction.IN, action, peers, services, **others)  # type: ignore[arg-type]


def allowed(connection: Connection, *policies: Policy, tenant: Defaults = SILENT) -> bool:
    return judge(connection, policies, {"acme": tenant}).allowed


def test_without_policies_all_is_allowed_and_nobody_decided() -> None:
    outcome = judge(to(DB), (), {})
    assert outcome.allowed and outcome.inward is not None and outcome.inward.by is None


def test_the_first_rule_decides() -> None:
    rules = (inward(DENY, services=HTTP), inward(ALLOW))
    assert not allowed(to(DB), policy(*rules))
    assert allowed(to(DB, port=81), policy(*rules))
    assert allowed(to(DB), policy(*reversed(rules)))


def test_policies_judge_by_order_then_name() -> None:
    deny, allow = policy(inward(DENY), name="z"), policy(inward(ALLOW), name="a")
    assert allowed(to(DB), deny, allow)
    assert not allowed(to(DB), replace(deny, order=-1), allow)


def test_allows_of_all_policies_add_up_in_front_of_any_default() -> None:
    """As Kubernetes does: the first policy's default must not hide the second one's rule."""
    first = policy(inward(ALLOW, services=HTTP), name="a", defaults=SHUT)
    second = policy(inward(ALLOW, *FROM_WEB), name="b", defaults=SHUT)
    assert allowed(to(DB, port=443), first, second)
    assert allowed(to(DB, source=None), first, second)
    assert not allowed(to(DB, source=None, port=443), first, second)


def test_a_default_of_deny_beats_one_of_allow() -> None:
    open_, shut = policy(defaults=Defaults(inward=Default(ALLOW)), name="a"), policy(defaults=SHUT, name="b")
    assert not allowed(to(DB), open_, shut)
    assert allowed(to(DB), open_, tenant=SHUT)


def test_directions_are_isolated_apart() -> None:
    shut = replace(policy(defaults=SHUT), subject=Selection(matching([("app", "db")])))
    assert not allowed(to(DB), shut)
    assert allowed(to(WEB, source=DB), shut)


@pytest.mark.parametrize(("action", "open_"), [(ALLOW, True), (DENY, False), (PASS, False)])
def test_the_operator_comes_first_and_may_pass(action: Action, open_: bool) -> None:
    assert allowed(to(DB), over(inward(action)), policy(inward(DENY))) is open_


def test_pass_skips_the_rest_of_its_tier_its_default_included() -> None:
    rest = over(inward(PASS), inward(DENY), defaults=SHUT)
    assert allowed(to(DB), rest)
    assert not allowed(to(DB), rest, over(inward(DENY), tier=Tier.BASELINE))


def test_the_baseline_judges_what_the_tenant_leaves_open() -> None:
    below = over(inward(DENY), tier=Tier.BASELINE)
    assert not allowed(to(DB), below)
    assert allowed(to(DB), below, policy(inward(ALLOW)))
    assert allowed(to(DB), below, policy(defaults=Defaults(inward=Default(ALLOW))))


def test_the_tenant_s_default_is_last_and_its_own() -> None:
    assert not allowed(to(DB), tenant=SHUT)
    assert allowed(to(DB), policy(inward(ALLOW)), tenant=SHUT)
    assert allowed(to(ALIEN, source=None), tenant=SHUT)


def test_both_ends_must_allow() -> None:
    out = replace(policy(Rule(Direction.OUT, DENY, services=HTTP)), subject=FROM_WEB[0])
    outcome = judge(to(DB), (out,), {})
    assert not outcome.allowed and outcome.inward is None
    assert allowed(to(DB, source=APP), out)


def test_a_tenant_s_selectors_take_its_own_ports_only() -> None:
    """Two tenants whose ports bear the same labels."""
    meeting = to(DB, source=ALIEN)
    assert not allowed(meeting, policy(inward(ALLOW, *FROM_WEB), defaults=SHUT))
    everyone = Selection(matching([("app", "web")]), tenants=matching([]))
    assert allowed(meeting, over(inward(ALLOW, everyone), inward(DENY)))
    assert not allowed(meeting, over(inward(ALLOW, *FROM_WEB), inward(DENY)))


def test_names_are_labels() -> None:
    mine = Selection(matching([("ringfence/name", "p1")]), networks=matching([("ringfence/name", "blue")]))
    assert allowed(to(DB), policy(inward(ALLOW, mine), defaults=SHUT))
    assert not allowed(to(DB, source=APP), policy(inward(ALLOW, mine), defaults=SHUT))


def test_a_name_cannot_be_taken_by_a_label() -> None:
    posing = replace(APP, labels=(("ringfence/name", "p1"),))
    mine = Selection(matching([("ringfence/name", "p1")]))
    assert not allowed(to(DB, source=posing), policy(inward(ALLOW, mine), defaults=SHUT))


def test_blocks_take_addresses_whoever_has_them() -> None:
    block = Block(ip_network("10.0.0.0/24"), (ip_network("10.0.0.2/32"),))
    shut = policy(inward(ALLOW, block), defaults=SHUT)
    assert allowed(to(DB), shut)
    assert not allowed(to(DB, source=APP), shut)
    assert not allowed(to(LONER, source=None), shut)


@pytest.mark.parametrize(
    ("service", "open_"),
    [
        (Service(Protocol.TCP), True),
        (Service(Protocol.UDP), False),
        (Service(Protocol.TCP, PortRange(81, 90)), False),
        (Service(Protocol.TCP, PortRange(1, 80)), True),
        (Service(Protocol.ICMP), False),
    ],
)
def test_services(service: Service, open_: bool) -> None:
    assert allowed(to(DB), policy(inward(ALLOW, services=(service,)), defaults=SHUT)) is open_


def test_icmp_by_type_and_code_and_family() -> None:
    shut = policy(inward(ALLOW, services=(Service(Protocol.ICMP, kind=8),)), defaults=SHUT)
    echo = to(DB, protocol=1, port=0, kind=8)
    assert allowed(echo, shut)
    assert not allowed(replace(echo, kind=3), shut)
    six = replace(echo, source_address=WEB.addresses[1], target_address=DB.addresses[1])
    assert not allowed(six, shut)


def test_what_counts_drops_nothing_and_says_what_it_would_have_dropped() -> None:
    outcome = judge(to(DB), (policy(inward(DENY, state=COUNT)),), {})
    assert outcome.allowed
    assert [str(hit.place) for hit in outcome.hits] == ["rule 1 of acme/p"]


def test_a_counting_allow_shields_what_counts_below_it() -> None:
    """A staged policy as a whole: its exceptions count with it."""
    staged = policy(inward(ALLOW, *FROM_WEB, state=COUNT), defaults=Defaults(inward=Default(DENY, COUNT)))
    assert judge(to(DB), (staged,), {}).hits == ()
    (hit,) = judge(to(DB, source=APP), (staged,), {}).hits
    assert str(hit.place) == "the default of acme/p"


def test_what_is_dropped_anyway_is_no_hit() -> None:
    both = policy(inward(DENY, state=COUNT), inward(DENY))
    outcome = judge(to(DB), (both,), {})
    assert not outcome.allowed and outcome.hits == ()


def test_a_counting_pass_is_to_blame_for_what_the_next_tier_would_drop() -> None:
    above = over(inward(PASS, state=COUNT), inward(ALLOW))
    outcome = judge(to(DB), (above, policy(inward(DENY))), {})
    assert outcome.allowed
    assert [str(hit.place) for hit in outcome.hits] == ["rule 1 of o"]


def test_a_share_is_enforced_on_its_ports_and_counts_on_the_others() -> None:
    half = policy(inward(DENY, share=50))
    ports = [replace(DB, uid=f"port-{number}") for number in range(1000)]
    dropped = {port.uid for port in ports if not allowed(to(port), half)}
    assert 400 < len(dropped) < 600
    assert all(judge(to(port), (half,), {}).hits for port in ports if port.uid not in dropped)
    more = policy(inward(DENY, share=70))
    assert dropped < {port.uid for port in ports if not allowed(to(port), more)}


def test_a_rule_is_the_same_one_wherever_it_stands_and_another_if_it_means_another_thing() -> None:
    rule = inward(DENY, *FROM_WEB)
    known = {entry.identity for entry in standing([policy(rule)], {}, Direction.IN)}
    for same in (replace(rule, state=COUNT), replace(rule, share=5)):
        assert known < {e.identity for e in standing([policy(inward(ALLOW), same)], {}, Direction.IN)}
    for other in (replace(rule, services=HTTP), replace(rule, action=ALLOW), replace(rule, peers=())):
        assert not known & {e.identity for e in standing([policy(other)], {}, Direction.IN)}


def test_a_rule_is_the_same_one_however_its_lists_are_ordered() -> None:
    holes = (ip_network("10.1.0.0/16"), ip_network("10.2.0.0/16"))
    peers = (Block(ip_network("10.0.0.0/8"), holes), Selection(matching([("app", "web")])))
    services = (Service(Protocol.TCP, PortRange(80, 80)), Service(Protocol.UDP))
    rule = Rule(Direction.IN, DENY, peers, services)
    turned = (peers[1], Block(peers[0].prefix, holes[::-1]))
    plain = (Service(17), Service(6, PortRange(80, 80)))
    assert identities(policy(rule)) == identities(policy(Rule(Direction.IN, DENY, turned, plain)))
    more = Rule(Direction.IN, DENY, (*peers, Selection()), services)
    assert identities(policy(rule)) != identities(policy(more))
