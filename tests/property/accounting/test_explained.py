"""Whatever was posted, repeated, summed up, dropped and rebuilt: parts of figures are those of a model."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.classes import direction_of
from accounting.explain import Amount, total
from accounting.ledger import Ledger
from accounting.ledger.rollup import rebuild, roll
from accounting.ledger.tables import HOUR, hour_of
from accounting.report import Grouping, Query
from accounting.report.explained import Figure, chosen, explain, page
from model.errors import Invalid
from tests.property.accounting.test_ledger import ACTIONS, END, QUESTIONS, House, key_of

_PAGE = 7
_PICKED = (Grouping.NETWORK, Grouping.PORT, Grouping.HOST, Grouping.CLASS)
"""By what a figure may be picked, beside its tenant and time."""


def _compare(house: House, question: Query) -> None:
    """One row of the report, by what rows can be picked by."""
    inside = [
        i for i in house.posted.values()
        if question.tenant in (None, i.owner.tenant_name) and question.from_ms <= i.to_ms < question.to_ms
        and direction_of(i.series[1]) is question.direction
    ]  # fmt: skip
    by = [each for each in question.by if each in _PICKED] if inside else []
    keys = tuple(key_of(inside[0], each) for each in by)
    mine = [i for i in inside if tuple(key_of(i, each) for each in by) == keys]
    only = tuple(zip(by, keys, strict=True))
    figure = Figure(question.tenant, question.from_ms, question.to_ms, question.direction, only)
    try:
        found = explain(house.ledger, figure)
    except Invalid:
        cut = {hour_of(at) for at in (question.from_ms, question.to_ms) if at % HOUR}
        assert cut & {hour for _, hour in house.dropped}, "refused without a reason"
        return
    whole = Amount(sum(i.packets for i in mine), sum(i.bytes for i in mine), len(mine))
    assert (found.balance.exact, found.balance.figure) == (True, whole)
    assert total(flow.amount for flow in found.flows) == found.balance.intervals
    assert total(host.amount + host.summed for host in found.hosts) == whole
    choice, after, paged = chosen(house.ledger, figure), None, list[int]()
    for _ in range(len(mine) + 1):
        part = page(house.ledger, choice, after, _PAGE)
        paged += [row["bytes"] for row in part.intervals]
        after = part.after
        if after is None:
            break
    assert (sum(paged), len(paged)) == (found.balance.intervals.bytes, found.balance.intervals.intervals)


@settings(max_examples=max(settings.default.max_examples // 8, 10))  # each has a database of its own
@given(st.lists(ACTIONS, min_size=3, max_size=15), st.lists(QUESTIONS, min_size=1, max_size=3))
def test_parts_are_those_of_the_model(actions, questions):
    house = House(Ledger("sqlite://"))
    try:
        for name, value in actions:
            match name:
                case "post":
                    house.post(value)
                case "roll":
                    roll(house.ledger, value + HOUR)
                case "release":
                    house.release(value + HOUR)
                case "both":
                    roll(house.ledger, END + HOUR)
                    house.release(END + HOUR)
                case "rebuild":
                    rebuild(house.ledger)
        for question in questions:
            _compare(house, question)
    finally:
        house.ledger.close()
