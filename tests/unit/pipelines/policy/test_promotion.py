"""Promotion waits for what was asked: hours on every port, hits listed, companions along, a share first."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from model.ids import Uid
from model.labels import matching
from model.policy import (
    Action,
    Default,
    Defaults,
    Direction,
    Policy,
    PortRange,
    Protocol,
    Rule,
    Selection,
    Service,
    State,
    Tier,
)
from pipelines.policy.entries import Entry, Place, lot, standing
from pipelines.policy.promotion import Asked, Span, Weighed, Witness, covered, promote, promote_tenants, weigh

HOUR = 3_600_000
DAY = Asked(timedelta(hours=24))
PORTS = tuple(Uid(f"port-{number:03}") for number in range(200))
COUNT = State.COUNT


def tcp(port: int) -> tuple[Service, ...]:
    return (Service(Protocol.TCP, PortRange(port, port)),)


ALLOW_WEB = Rule(Direction.IN, Action.ALLOW, services=tcp(443), state=COUNT)
DENY_LOW = Rule(Direction.IN, Action.DENY, services=tcp(23), state=COUNT)
STAGED = Policy(
    "p", "acme", rules=(ALLOW_WEB, DENY_LOW), defaults=Defaults(inward=Default(Action.DENY, COUNT))
)


def entries(*policies: Policy) -> tuple[Entry, ...]:
    return standing(policies, {}, Direction.IN)


def places(of: tuple[Entry, ...], *numbers: int) -> frozenset[Place]:
    return frozenset(entry.place for entry in of if entry.place.number in numbers)


def seen(entry: Entry, port: Uid, hours: float = 24, hits: int = 0) -> Witness:
    return Witness(
        entry.identity, port, (Span(0, int(hours * HOUR)),), hits, ("10.0.0.9:5 -> :23",) * (hits > 0)
    )


def weighed(
    *numbers: int,
    asked: Asked = DAY,
    policy: Policy = STAGED,
    ports: tuple[Uid, ...] = PORTS,
    **others: object,
) -> Weighed:
    """With all evidence, but for what `others` say: hours and hits of one port."""
    every = entries(policy)
    chosen = places(every, *numbers)
    evidence = [seen(e, port) for e in every for port in ports]
    if others:
        one = next(e for e in every if e.place in chosen)
        evidence = [w for w in evidence if (w.identity, w.port) != (one.identity, ports[0])]
        evidence.append(seen(one, ports[0], **others))  # type: ignore[arg-type]
    return weigh(every, chosen, dict.fromkeys(chosen, ports), evidence, asked)


def rules(result: Weighed) -> list[str]:
    return [fault.rule for fault in result.faults]


def test_granted_with_the_evidence_that_was_asked_for() -> None:
    result = weighed(2)
    assert result.granted and result.hits == () and result.first == PORTS and result.short == ()


def test_one_port_that_was_watched_for_less_holds_it_up_and_is_named() -> None:
    result = weighed(2, hours=23.5)
    assert rules(result) == ["promotion-evidence-short"]
    assert result.faults[0].object == "rule 2 of acme/p"
    assert result.faults[0].message == (
        "1 of 200 ports were watched for less than 24.0 h: port-000 for 23.5 h"
    )
    assert result.short == (("rule 2 of acme/p", PORTS[0], timedelta(hours=23.5)),)


def test_a_port_that_nobody_watched_is_short_as_well() -> None:
    every = entries(STAGED)
    chosen = places(every, 2)
    result = weigh(every, chosen, dict.fromkeys(chosen, PORTS), (), DAY)
    assert rules(result) == ["promotion-evidence-short"] and len(result.short) == len(PORTS)
    assert result.faults[0].message.endswith("port-004 for 0.0 h and 195 more")


def test_an_allow_drops_nothing_and_needs_no_evidence() -> None:
    every = entries(STAGED)
    chosen = places(every, 1)
    assert weigh(every, chosen, dict.fromkeys(chosen, PORTS), (), DAY).granted


def test_evidence_of_what_the_rule_was_before_is_none() -> None:
    every = entries(STAGED)
    chosen = places(every, 2)
    former = entries(replace(STAGED, rules=(ALLOW_WEB, replace(DENY_LOW, services=tcp(22)))))
    evidence = [seen(entry, port) for entry in former for port in PORTS]
    assert rules(weigh(every, chosen, dict.fromkeys(chosen, PORTS), evidence, DAY)) == [
        "promotion-evidence-short"
    ]


@pytest.mark.parametrize(
    ("spans", "hours"),
    [
        ((), 0),
        (((0, 2),), 2),
        (((0, 2), (1, 3)), 3),
        (((5, 6), (0, 2)), 3),
        (((0, 9), (1, 2), (3, 4)), 9),
        (((0, 1), (1, 2)), 2),
        (((3, 3), (4, 2)), 0),
    ],
)
def test_no_moment_is_counted_twice(spans: tuple[tuple[int, int], ...], hours: int) -> None:
    watched = tuple(Span(since * HOUR, until * HOUR) for since, until in spans)
    assert covered(Witness("r", PORTS[0], watched)) == timedelta(hours=hours)


def test_hits_are_listed_with_samples_the_most_first() -> None:
    every = entries(STAGED)
    chosen = places(every, 2)
    (entry,) = (e for e in every if e.place in chosen)
    evidence = [seen(entry, port, hits=number % 3) for number, port in enumerate(PORTS)]
    result = weigh(every, chosen, dict.fromkeys(chosen, PORTS), evidence, DAY)
    assert result.granted and len(result.hits) == 133
    assert (result.hits[0].port, result.hits[0].hits) == (PORTS[2], 2)
    assert result.hits[0].samples == ("10.0.0.9:5 -> :23",)


def test_more_hits_than_are_accepted_hold_it_up() -> None:
    assert weighed(2, asked=replace(DAY, most_hits=3), hits=3).granted
    result = weighed(2, asked=replace(DAY, most_hits=2), hits=3)
    assert rules(result) == ["promotion-hits"]
    assert result.faults[0].message == (
        "it would have dropped 3 packets at 1 ports, 2 are accepted: port-000 3 (10.0.0.9:5 -> :23)"
    )


def test_a_default_needs_the_exceptions_that_count_above_it() -> None:
    result = weighed(0)
    assert rules(result) == ["promotion-companion"] * 2
    assert result.faults[0].remedy == "Promote rule 1 of acme/p before it, or together with it."
    assert weighed(0, 1, 2).granted


def test_what_has_nothing_to_do_with_it_may_stay_behind() -> None:
    assert weighed(2).granted  # rule 1 counts above it, for another port


def test_a_pass_needs_those_it_hands_on_to() -> None:
    above = Policy("o", "", Tier.OPERATOR, rules=(Rule(Direction.IN, Action.PASS, state=COUNT),))
    every = entries(above, STAGED)
    chosen = frozenset(e.place for e in every if e.place.policy == "o")
    evidence = [seen(e, port) for e in every for port in PORTS]
    result = weigh(every, chosen, dict.fromkeys(chosen, PORTS), evidence, DAY)
    assert rules(result) == ["promotion-companion"] * 3


def test_a_share_comes_first_and_is_part_of_every_larger_one() -> None:
    tenth, half = (weighed(2, asked=replace(DAY, share=share)).first for share in (10, 50))
    assert 8 <= len(tenth) <= 32 and 75 <= len(half) <= 125
    assert set(tenth) < set(half) < set(PORTS)
    assert tenth == tuple(port for port in PORTS if lot(port) < 10)


def test_a_share_that_takes_no_port_is_said() -> None:
    late = max(PORTS, key=lot)
    assert rules(weighed(2, asked=replace(DAY, share=1), ports=(late,))) == ["promotion-share-empty"]


def test_after_a_share_the_rest_is_weighed() -> None:
    tenth = promote((STAGED,), places(entries(STAGED), 2), 10)[0]
    result = weighed(2, policy=tenth)
    assert result.granted and result.first == tuple(port for port in PORTS if lot(port) >= 10)


def test_what_counts_nowhere_cannot_be_promoted() -> None:
    whole = promote((STAGED,), places(entries(STAGED), 2), 100)[0]
    assert rules(weighed(2, policy=whole)) == ["promotion-of-nothing"]
    assert rules(weighed(2, ports=())) == ["promotion-of-nothing"]


def test_promotion_takes_nothing_back() -> None:
    chosen = places(entries(STAGED), 0, 2)
    half = promote((STAGED,), chosen, 50)[0]
    assert promote((half,), chosen, 10) == (half,)
    assert half.rules == (ALLOW_WEB, replace(DENY_LOW, state=State.ENFORCE, share=50))
    assert half.defaults.inward == Default(Action.DENY, State.ENFORCE, 50)
    assert promote((half,), chosen, 100)[0].rules[1].share == 100


def test_a_tenant_s_default_is_promoted_too() -> None:
    both = Defaults(Default(Action.DENY, COUNT), Default(Action.DENY, COUNT))
    every = standing((), {"acme": both}, Direction.IN)
    chosen = frozenset(entry.place for entry in every)
    found = promote_tenants({"acme": both}, chosen, 100)
    assert found == {"acme": replace(both, inward=Default(Action.DENY))}


def test_networks_that_cannot_meet_need_nothing_of_each_other() -> None:
    """The exception is for other ports."""
    web = Selection(matching([("app", "web")]))
    apart = replace(STAGED, name="q", subject=Selection(matching([("app", "db")])))
    every = entries(replace(STAGED, subject=web), apart)
    chosen = frozenset(e.place for e in every if e.place.policy == "p")
    evidence = [seen(e, port) for e in every for port in PORTS]
    assert weigh(every, chosen, dict.fromkeys(chosen, PORTS), evidence, DAY).granted
