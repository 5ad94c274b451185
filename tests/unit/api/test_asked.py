"""Questions of ports in metrics and in a port's status: sums that never fall, words that are known."""

from __future__ import annotations

from controller.agent.responding import Unheard
from controller.api.asked import NAME, OTHER, OUTCOMES, Totals, status
from model.asked import Asked, Counts
from model.report import Report, State
from services.outcome import Outcome


def head(*totals: tuple[str, int]) -> Report:
    return Report("hv1", 1, 1, State.IN_SYNC, asked=Asked(totals))


def seen(totals: Totals, **heads: Report) -> dict[str, int]:
    found = totals.samples(heads)
    return {sample.labels[0]: int(sample.value) for sample in found if sample.value}


def test_every_word_of_the_agent_has_a_series() -> None:
    assert {*OUTCOMES} == {each.value for each in (*Outcome, *Unheard)}
    names = [(sample.name, sample.labels) for sample in Totals().samples({})]
    assert names == [(NAME, (word,)) for word in (*OUTCOMES, OTHER)]


def test_sums_follow_hosts_and_do_not_fall_with_an_agent() -> None:
    totals = Totals()
    assert seen(totals, hv1=head(("answered", 5)), hv2=head(("answered", 2))) == {"answered": 7}
    assert seen(totals, hv1=head(("answered", 6)), hv2=head(("answered", 2))) == {"answered": 8}
    assert seen(totals, hv1=head(("answered", 1), ("malformed", 1))) == {"answered": 9, "malformed": 1}
    assert seen(totals, hv2=head(("answered", 3))) == {"answered": 10, "malformed": 1}


def test_words_that_a_host_invents_are_one() -> None:
    assert seen(Totals(), hv1=head(("abc", 5), ("xyz", 2))) == {OTHER: 7}


def test_a_port_shows_what_it_asked() -> None:
    counts: Counts = (("answered", 3),)
    report = Report("hv1", 1, 1, State.IN_SYNC, asked=Asked((), (("u", counts),)))
    assert status(report, "u") == {"asked": {"answered": 3}}
    assert status(report, "v") == status(None, "u") == {}
