"""Rules that can never match, by name, with those that cover them."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from model.labels import Operator, Requirement, Selector, matching
from model.policy import (
    Action,
    Block,
    Default,
    Defaults,
    Direction,
    Peer,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)
from pipelines.policy.analysis import CONTRADICTED, EMPTY, UNREACHABLE, analyse

ALLOW, DENY, PASS = Action.ALLOW, Action.DENY, Action.PASS
WEB = Selection(matching([("app", "web")]))
FRONT = Selection(matching([("app", "web"), ("tier", "front")]))
SILENT = Defaults()
ALL = Selection()


def tcp(first: int, last: int | None = None) -> Service:
    return Service(Protocol.TCP, PortRange(first, first if last is None else last))


def block(text: str, *excepted: str) -> Block:
    return Block(ip_network(text), tuple(map(ip_network, excepted)))


def rule(action: Action, *parts: Peer | Service, **others: object) -> Rule:
    peers = tuple(part for part in parts if not isinstance(part, Service))
    services = tuple(part for part in parts if isinstance(part, Service))
    return Rule(Direction.IN, action, peers, services, **others)  # type: ignore[arg-type]


def found(*rules: Rule, before: tuple[Policy, ...] = ()) -> list[tuple[str, str]]:
    faults = analyse((*before, Policy("p", "acme", rules=rules)), {})
    return [(fault.rule, fault.message) for fault in faults]


def test_the_words_of_the_promise() -> None:
    rules = (
        [rule(ALLOW, tcp(n)) for n in (1, 2)] + [rule(DENY, WEB)] + [rule(ALLOW, tcp(n)) for n in (4, 5, 6)]
    )
    policy = Policy("p", "acme", rules=(*rules, rule(ALLOW, FRONT, tcp(443))))
    (fault,) = analyse((policy,), {})
    assert fault.object == "SecurityPolicy acme/p" and fault.path == "spec.rules[6]"
    assert fault.message == "rule 7 can never match: rule 3 covers it"
    assert (fault.rule, fault.remedy) == (
        CONTRADICTED,
        "Move it before rule 3, which says deny, or take one of the two out.",
    )


NEVER = [
    ((rule(ALLOW), rule(ALLOW, tcp(80))), UNREACHABLE, "rule 2 can never match: rule 1 covers it"),
    ((rule(PASS), rule(DENY)), CONTRADICTED, "rule 2 can never match: rule 1 covers it"),
    (
        (rule(ALLOW, tcp(80, 89)), rule(DENY, tcp(90, 99)), rule(ALLOW, tcp(85, 95))),
        CONTRADICTED,
        "rule 3 can never match: rule 1 and rule 2 cover it",
    ),
    (
        (rule(DENY, block("0.0.0.0/1")), rule(DENY, block("128.0.0.0/1")), rule(DENY, block("0.0.0.0/0"))),
        UNREACHABLE,
        "rule 3 can never match: rule 1 and rule 2 cover it",
    ),
    (
        (rule(DENY, block("0.0.0.0/0"), block("::/0")), rule(DENY, WEB)),
        UNREACHABLE,
        "rule 2 can never match: rule 1 covers it",
    ),
    (
        (rule(ALLOW, block("10.0.0.0/8", "10.1.0.0/16")), rule(DENY, block("10.2.0.0/16", "10.2.3.0/24"))),
        CONTRADICTED,
        "rule 2 can never match: rule 1 covers it",
    ),
    (
        (rule(DENY, Service(Protocol.ICMP)), rule(DENY, Service(Protocol.ICMP, kind=8, code=0))),
        UNREACHABLE,
        "rule 2 can never match: rule 1 covers it",
    ),
    (
        (rule(DENY, state=State.COUNT), rule(ALLOW, state=State.COUNT)),
        CONTRADICTED,
        "rule 2 can never match: rule 1 covers it",
    ),
    ((rule(ALLOW, name="all"), rule(ALLOW)), UNREACHABLE, "rule 2 can never match: rule 1 (all) covers it"),
]


@pytest.mark.parametrize(("rules", "kind", "message"), NEVER, ids=lambda v: v if isinstance(v, str) else "")
def test_what_can_never_match(rules: tuple[Rule, ...], kind: str, message: str) -> None:
    assert found(*rules) == [(kind, message)]


MATCHES = [
    (rule(ALLOW, tcp(80)), rule(ALLOW, tcp(80, 81))),
    (rule(ALLOW, tcp(80)), rule(ALLOW, Service(Protocol.UDP, PortRange(80, 80)))),
    (rule(ALLOW, FRONT), rule(ALLOW, WEB)),
    (rule(ALLOW, WEB), rule(ALLOW, block("10.0.0.0/8"))),
    (rule(ALLOW, Selection(networks=WEB.ports)), rule(ALLOW, Selection())),
    (rule(ALLOW, Selection(networks=WEB.ports)), rule(ALLOW, Selection(networks=matching([("app", "db")])))),
    (rule(DENY, block("0.0.0.0/0")), rule(DENY, WEB)),  # their IPv6 addresses
    (rule(DENY, block("10.0.0.0/8", "10.1.0.0/16")), rule(DENY, block("10.0.0.0/8"))),
    (rule(DENY, block("0.0.0.0/1")), rule(DENY, block("128.0.0.0/2")), rule(DENY, block("0.0.0.0/0"))),
    (rule(DENY, state=State.COUNT), rule(ALLOW)),
    (rule(DENY, share=50), rule(ALLOW)),
    (rule(DENY, *(Service(p) for p in Protocol)), rule(DENY)),
    (Rule(Direction.OUT, DENY), rule(DENY)),
]


@pytest.mark.parametrize("rules", MATCHES)
def test_what_could_match_is_not_accused(rules: tuple[Rule, ...]) -> None:
    assert found(*rules) == []


EMPTIES = [
    (
        rule(DENY, Service(Protocol.ICMP), block("fd00::/8")),
        "no connection of its services has such addresses",
    ),
    (rule(DENY, block("10.0.0.0/8", "10.0.0.0/9", "10.128.0.0/9")), "its peers are nobody"),
    (
        rule(
            DENY,
            Selection(
                Selector(
                    (Requirement("a", Operator.EXISTS), Requirement("a", Operator.DOES_NOT_EXIST)),
                )
            ),
        ),
        "its peers are nobody",
    ),
    (rule(DENY, tcp(90, 80)), "no connection of its services has such addresses"),
]


@pytest.mark.parametrize(("one", "reason"), EMPTIES, ids=lambda v: v if isinstance(v, str) else "")
def test_what_matches_nothing_by_itself(one: Rule, reason: str) -> None:
    assert found(one) == [(EMPTY, f"rule 1 can never match: {reason}")]


def over(*rules: Rule, defaults: Defaults = SILENT, subject: Selection = ALL) -> Policy:
    return Policy("guard", "", Tier.OPERATOR, subject=subject, rules=rules, defaults=defaults)


def test_across_policies_and_tiers() -> None:
    covered = [(CONTRADICTED, "rule 1 can never match: rule 1 of guard covers it")]
    assert found(rule(ALLOW, tcp(80)), before=(over(rule(DENY)),)) == covered
    assert found(rule(ALLOW, tcp(80)), before=(over(rule(PASS, tcp(80)), rule(DENY)),)) == []
    only = Selection(tenants=matching([("ringfence/name", "acme")]))
    assert found(rule(ALLOW, tcp(80)), before=(over(rule(DENY), subject=only),)) == covered
    other = Selection(tenants=matching([("ringfence/name", "umbrella")]))
    assert found(rule(ALLOW, tcp(80)), before=(over(rule(DENY), subject=other),)) == []
    first = Policy("a", "acme", rules=(rule(ALLOW, WEB),), subject=WEB)
    assert found(rule(ALLOW, WEB), before=(first,)) == []


def test_asked_about_a_policy_it_names_what_that_one_has_done() -> None:
    late = Policy("z", "acme", rules=(rule(ALLOW, tcp(80)), rule(ALLOW, tcp(80, 90)), rule(ALLOW, tcp(85))))
    early = Policy("a", "acme", rules=(rule(DENY, tcp(70, 85)), rule(DENY, tcp(75))))
    assert [fault.object for fault in analyse((early, late), {})] == ["SecurityPolicy acme/a"] + [
        "SecurityPolicy acme/z"
    ] * 2
    faults = analyse((early, late), {}, frozenset({("acme", "a")}))
    assert [(fault.object, fault.path) for fault in faults] == [
        ("SecurityPolicy acme/a", "spec.rules[1]"),
        ("SecurityPolicy acme/z", "spec.rules[0]"),
    ], "rule 3 of z was covered by its own rule 2 before"
    assert analyse((early, late), {}, frozenset({("acme", "other")})) == ()
    assert len(analyse((early, late), {}, frozenset({("acme", "z")}))) == 2


def test_a_default_of_the_operator_hides_all_below_it() -> None:
    shut = Defaults(inward=Default(DENY))
    (only,) = found(rule(ALLOW), before=(over(defaults=shut),))
    assert only == (CONTRADICTED, "rule 1 can never match: the default of guard covers it")
    assert found(rule(ALLOW), before=(over(rule(PASS, tcp(80)), defaults=shut),)) == []
    assert found(rule(ALLOW), before=(Policy("a", "acme", defaults=shut),)) == []


def test_the_fewest_are_blamed() -> None:
    rules = (rule(DENY, tcp(1, 10)), rule(DENY, tcp(5, 7)), rule(DENY, tcp(11, 20)), rule(DENY, tcp(1, 20)))
    messages = [message for _, message in found(*rules)]
    assert messages == [
        "rule 2 can never match: rule 1 covers it",
        "rule 4 can never match: rule 1 and rule 3 cover it",
    ]
