"""After a promotion with its companions exactly what was predicted is dropped, on the ports that it takes."""

from __future__ import annotations

from itertools import combinations, product

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from model.policy import Action, Default, Defaults, Direction, Policy, Rule, State, Tier
from pipelines.policy.entries import Entry, Place, lot, standing
from pipelines.policy.promotion import companions, promote, promote_tenants
from pipelines.policy.verdict import Connection, Outcome, judge
from tests.fakes.policies import APP, CONNECTIONS, WEB, connections, policy_sets, tenants


def closed(every: list[tuple[Entry, ...]], chosen: frozenset[Place], share: int) -> frozenset[Place]:
    """With all companions, and theirs."""
    while True:
        more = {other.place for of in every for _, other in companions(of, chosen, share)}
        if more <= chosen:
            return chosen
        chosen |= more


def predicted(connection: Connection, before: Outcome, chosen: frozenset[Place], share: int) -> bool:
    """Whether a hit was noted of a rule that is enforced at that port now."""
    ends = ((connection.source, before.outward), (connection.target, before.inward))
    return before.allowed and any(
        judged.hit.place in chosen and lot(port.uid) < share
        for port, judged in ends
        if port is not None and judged is not None and judged.hit is not None
    )


SAID = (None, *product(Action, State))
ALLOWS = (Action.ALLOW, State.ENFORCE)
DROPS_NOTHING_NEW = (ALLOWS, (Action.ALLOW, State.COUNT), (Action.DENY, State.ENFORCE))
SHUT = (None, *(Default(Action.DENY, state) for state in State))


@pytest.mark.parametrize("operator", SAID, ids=str)
def test_every_way_that_rules_stand_above_each_other(operator: tuple[Action, State] | None) -> None:
    """All that a rule above, two rules and a default can say of one connection, and all choices of them; what
    passes the first rule may be allowed by one behind it."""
    connection = next(c for c in CONNECTIONS if c.source is WEB and c.target is APP)
    dropped = 0
    for first, second, default, below in product(SAID, SAID, SHUT, (None, ALLOWS)):
        policies = (
            Policy("o", "", Tier.OPERATOR, rules=_rules(operator, below)),
            Policy("t", "acme", rules=_rules(first, second), defaults=Defaults(inward=default)),
        )
        before = judge(connection, policies, {})
        every = [standing(policies, {}, Direction.IN)]
        counting = [entry.place for entry in every[0] if entry.state is State.COUNT]
        for size in range(1, len(counting) + 1):
            for some in combinations(counting, size):
                chosen = closed(every, frozenset(some), 100)
                after = judge(connection, promote(policies, chosen, 100), {})
                ended = before.allowed and not after.allowed
                assert ended == predicted(connection, before, chosen, 100), (policies, some)
                dropped += ended
    assert bool(dropped) == (operator not in DROPS_NOTHING_NEW)


def _rules(*said: tuple[Action, State] | None) -> tuple[Rule, ...]:
    return tuple(Rule(Direction.IN, one[0], state=one[1]) for one in said if one is not None)


@given(
    policy_sets(),
    tenants,
    st.sampled_from((30, 60, 100, 100)),
    st.sets(st.integers(0, 20), min_size=1, max_size=8),
    st.lists(connections, min_size=25, max_size=25),
)
@settings(max_examples=80)
def test_what_was_predicted_is_dropped_and_nothing_else(
    policies: tuple[Policy, ...],
    of_tenants: dict[str, Defaults],
    share: int,
    wanted: set[int],
    tried: list[Connection],
) -> None:
    every = [standing(policies, of_tenants, direction) for direction in Direction]
    counting = [e for of in every for e in of if e.state is State.COUNT or e.share < 100]
    chosen = frozenset(entry.place for at, entry in enumerate(counting) if at in wanted)
    if not chosen:
        return
    chosen = closed(every, chosen, share)
    later = promote(policies, chosen, share), promote_tenants(of_tenants, chosen, share)
    for connection in tried:
        before, after = judge(connection, policies, of_tenants), judge(connection, *later)
        dropped = before.allowed and not after.allowed
        assert dropped == predicted(connection, before, chosen, share), (before, after)
        if dropped:
            event("dropped")
