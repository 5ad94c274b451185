"""The word of a host on rules: bounded, the same when parsed; nothing of it is believed that does not fit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model import evidence
from model.evidence import Amount, HostEvidence, RuleName, RuleSeen, Struck, bound, parse, render
from model.ids import Uid

RULES = [RuleName(n, f"{n:016x}") for n in range(1, 6)]
PORTS = [Uid(f"port-{n}") for n in range(6)]
amounts = st.builds(Amount, st.integers(0, 1 << 40), st.integers(0, 1 << 50))
spots = st.tuples(st.sampled_from(RULES), st.sampled_from(PORTS))
spans = st.dictionaries(spots, st.tuples(st.integers(0, 9), st.integers(10, 12)), max_size=20)
hits = st.dictionaries(
    spots, st.tuples(amounts, st.integers(0, 99), st.lists(st.text(max_size=9), max_size=3))
)


def word(times: dict[Any, Any], struck: dict[Any, Any]) -> HostEvidence:
    return bound(
        (RuleSeen(rule, Amount(rule.number, 1)) for rule in RULES),
        ((*spot, *span) for spot, span in times.items()),
        (Struck(*spot, a, last, tuple(samples)) for spot, (a, last, samples) in struck.items()),
    )


def claimed(said: HostEvidence) -> dict[tuple[RuleName, Uid], tuple[int, int]]:
    return {(r, p): (w.since, w.until) for w in said.watches for r in w.rules for p in w.ports}


@given(spans, hits)
def test_what_is_rendered_is_parsed_and_nothing_is_lost(
    times: dict[Any, Any], struck: dict[Any, Any]
) -> None:
    said = word(times, struck)
    assert parse(render(said)) == said
    assert claimed(said) == times
    total = sum(a.packets for a, _, _ in struck.values())
    assert sum(h.amount.packets for h in (*said.hits, *said.rest)) == total


@given(spans, hits)
def test_what_is_cut_claims_no_time_and_hides_no_hit(times: dict[Any, Any], struck: dict[Any, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for name, most in (("MOST_HITS", 2), ("MOST_PORTS", 3), ("MOST_MEMBERS", 6), ("MOST_SPANS", 2)):
            patch.setattr(evidence, name, most)
        said = word(times, struck)
    assert claimed(said).items() <= times.items()
    assert len(said.hits) <= 2 and len(said.watches) <= 2
    total = sum(a.packets for a, _, _ in struck.values())
    assert sum(h.amount.packets for h in (*said.hits, *said.rest)) == total


def test_many_rules_with_one_time_on_the_same_ports_are_one_line() -> None:
    said = word({(rule, port): (1, 20) for rule in RULES for port in PORTS}, {})
    assert len(said.watches) == 1


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda part: (
            st.lists(part, max_size=4)
            | st.dictionaries(
                st.sampled_from(["rules", "ports", "watched", "hits", "rest"]), part, max_size=5
            )
        ),
        max_leaves=12,
    )
)
def test_whatever_a_host_writes_is_a_word_or_a_value_error(value: Any) -> None:
    try:
        found = parse(json.dumps(value))
    except ValueError:
        return
    assert isinstance(found, HostEvidence)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"rules":[[1,"a",0,0,0,0]],"hits":[[1,0,1,1,1,[]]],"ports":["p"]}',
        '{"rules":[[1,"a",0,0,0,0]],"watched":[[1,2,[0],[0]]]}',
        '{"rules":[[-1,"a",0,0,0,0]]}',
        '{"rules":[[true,"a",0,0,0,0]]}',
        '{"watched":[[1,2,[0]]]}',
        " " * (evidence.LONGEST + 1),
    ],
)
def test_what_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)
