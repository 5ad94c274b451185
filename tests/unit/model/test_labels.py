"""Selectors: what they take, and what one takes of another, tried on all that two labels can make."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings

from model.labels import (
    EVERYTHING,
    Operator,
    Requirement,
    Selector,
    covers,
    labels,
    matching,
    overlap,
    satisfiable,
    selects,
)
from tests.fakes.policies import selectors

VALUES = (None, "app", "back", "db", "front", "web", "never-named")
OBJECTS = tuple(
    labels((key, value) for key, value in (("app", a), ("tier", t)) if value is not None)
    for a, t in product(VALUES, VALUES)
)


def asks(operator: Operator, *values: str) -> Selector:
    return Selector((Requirement("app", operator, values),))


@pytest.mark.parametrize(
    ("selector", "app", "taken"),
    [
        (EVERYTHING, None, True),
        (matching([("app", "web")]), "web", True),
        (matching([("app", "web")]), "db", False),
        (matching([("app", "web")]), None, False),
        (asks(Operator.IN, "db", "web"), "db", True),
        (asks(Operator.NOT_IN, "db"), "web", True),
        (asks(Operator.NOT_IN, "db"), "db", False),
        (asks(Operator.NOT_IN, "db"), None, True),
        (asks(Operator.EXISTS), "", True),
        (asks(Operator.EXISTS), None, False),
        (asks(Operator.DOES_NOT_EXIST), None, True),
        (asks(Operator.DOES_NOT_EXIST), "web", False),
    ],
)
def test_what_a_selector_takes(selector: Selector, app: str | None, taken: bool) -> None:
    assert selects(selector, () if app is None else (("app", app),)) is taken


@given(selectors, selectors)
@settings(max_examples=200)
def test_containment_and_overlap_are_those_of_the_objects(one: Selector, two: Selector) -> None:
    """`never-named` stands for all values that no selector lists."""
    of_one, of_two = ({o for o in OBJECTS if selects(s, o)} for s in (one, two))
    assert covers(one, two) == (of_one >= of_two)
    assert overlap(one, two) == bool(of_one & of_two)
    assert satisfiable(one) == bool(of_one)
