"""Explanations: parts add up to the figure that a report shows, and what they can't show is said."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from accounting.classes import INBOUND, Direction
from accounting.explain import Amount, words_of
from accounting.ledger import HOURS, INTERVALS, Ledger
from accounting.ledger.retention import release
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from accounting.records import UNKNOWN, Cause, Run
from accounting.report import Grouping, Query, report
from accounting.report import explained as room
from accounting.report.explained import Explanation, Figure, chosen, explain, page
from model.errors import Conflict, Invalid, NotFound
from model.ids import HostName
from tests.unit.accounting.examples import RUN, SECOND_RUN, gap, interval, owner_of

T = 100 * DAY
FAR = T + 10 * DAY
SECOND_HOST = Run(HostName("hv2"), "boot-z", "start-9")


def _ask(ledger: Ledger, *only: tuple[Grouping, str], begin: int = T, end: int = FAR, **more) -> Explanation:
    figure = Figure(more.pop("tenant", "blue"), begin, end, more.pop("direction", Direction.OUT), only)
    return explain(ledger, figure)


def _series(ledger: Ledger, count: int, size: int = 100, begin: int = T) -> None:
    """A flow with `count` intervals of an hour, of `size` bytes and a packet; its counter rises with them."""
    ledger.post(
        [
            interval(
                n + 1, from_ms=begin + n * HOUR, to_ms=begin + (n + 1) * HOUR - 1, packets=1, bytes=size,
                counter=(n + 1, (n + 1) * (size + 14)),
            )
            for n in range(count)
        ]
    )  # fmt: skip


def test_a_figure_is_its_flow_to_the_byte(ledger: Ledger):
    _series(ledger, 5)
    found = _ask(ledger, (Grouping.PORT, "vm7"))
    assert found.balance.exact
    assert found.balance.figure == found.balance.intervals == Amount(5, 500, 5)
    (flow,) = found.flows
    assert (flow.begins, flow.ends, flow.beyond) == ((0, 0), (5, 5 * 114), 0)
    (correction,) = found.corrections
    assert (correction.layer2, correction.header_bytes) == (570, 14)
    assert correction.layer2 - correction.header_bytes * correction.amount.packets == correction.amount.bytes
    (host,) = found.hosts
    assert (host.host, host.runs, host.epochs, host.flows) == ("hv1", 1, 1, 1)


def test_figures_read_from_sums_are_shown_by_intervals(ledger: Ledger):
    _series(ledger, 40)
    roll(ledger, T + 39 * HOUR)
    found = _ask(ledger)
    assert found.balance.exact
    assert found.spans.days
    assert found.spans.hours
    assert found.stale == 1


def test_a_sum_that_somebody_changed_is_found_out(ledger: Ledger):
    _series(ledger, 3)
    roll(ledger, T + 3 * HOUR)
    with ledger.writing() as connection:
        connection.execute(sa.update(HOURS).where(HOURS.c.hour_ms == T).values(bytes=HOURS.c.bytes + 1))
    found = _ask(ledger, end=T + 3 * HOUR)
    assert not found.balance.exact
    assert found.balance.figure.bytes - found.balance.parts.bytes == 1


def test_an_interval_that_somebody_took_out_is_found_out_twice(ledger: Ledger):
    _series(ledger, 3)
    roll(ledger, T + 3 * HOUR)
    with ledger.writing() as connection:
        connection.execute(sa.delete(INTERVALS).where(INTERVALS.c.sequence == 2))
    found = _ask(ledger)
    assert not found.balance.exact
    assert found.flows[0].beyond == 114, "the flow's own counter has risen by more"


def test_what_is_no_longer_kept_is_named_as_a_sum(ledger: Ledger):
    _series(ledger, 30)
    roll(ledger, T + 30 * HOUR)
    release(ledger, T + 10 * HOUR)
    found = _ask(ledger)
    assert found.balance.exact
    assert (found.balance.summed, found.balance.intervals) == (Amount(10, 1_000, 10), Amount(20, 2_000, 20))
    (summed,) = found.summed
    assert (summed.first_hour_ms, summed.last_hour_ms, summed.hours) == (T, T + 9 * HOUR, 10)
    assert found.dropped == 10
    assert found.flows[0].begins == (10, 1_140)


def test_one_port_class_host_and_network_of_many(ledger: Ledger):
    ledger.post(
        [
            interval(1, to_ms=T + 5, bytes=1),
            interval(2, to_ms=T + 5, bytes=2, series=(7, 0, 3), class_name="same-network"),
            interval(3, to_ms=T + 5, bytes=4, run=SECOND_HOST),
            interval(4, to_ms=T + 5, bytes=8, series=(8, 1, 1), owner=owner_of(8)),
            interval(5, to_ms=T + 5, bytes=16, owner=owner_of(9, "red")),
            interval(6, to_ms=T + 5, bytes=32, series=(7, 1 | INBOUND, 3)),
        ]
    )
    sizes = {
        (): 15,
        ((Grouping.PORT, "vm7"),): 7,
        ((Grouping.PORT, "uid-8"),): 8,
        ((Grouping.CLASS, "same-network"),): 2,
        ((Grouping.CLASS, "1"),): 13,
        ((Grouping.HOST, "hv2"),): 4,
        ((Grouping.NETWORK, "net"),): 15,
        ((Grouping.PORT, "vm7"), (Grouping.CLASS, "everything-else"), (Grouping.HOST, "hv1")): 1,
    }
    for only, size in sizes.items():
        found = _ask(ledger, *only)
        assert (found.balance.exact, found.balance.figure.bytes) == (True, size), only
    assert _ask(ledger, direction=Direction.IN).balance.figure.bytes == 32
    assert _ask(ledger, (Grouping.CLASS, "1"), direction=Direction.IN).balance.exact
    assert _ask(ledger, tenant=None).balance.figure.bytes == 31


def test_every_row_of_a_report_can_be_explained(ledger: Ledger):
    """Ports that were renamed, a class number under two names, several hosts and runs."""
    old = owner_of(7)
    ledger.post(
        [
            interval(1, to_ms=T + 5, bytes=1),
            interval(2, to_ms=T + 60, bytes=2, owner=replace(old, port_name="web")),
            interval(3, to_ms=T + 7, bytes=4, series=(7, 9, 1), class_name="storage"),
            interval(4, to_ms=T + 8, bytes=8, series=(7, 9, 2), class_name="archive", run=SECOND_HOST),
            interval(5, to_ms=T + 9, bytes=16, run=SECOND_RUN),
        ]
    )
    for by in (Grouping.PORT, Grouping.CLASS, Grouping.HOST, Grouping.NETWORK):
        rows = report(ledger, Query("blue", T, FAR, (by,))).rows
        assert rows
        for row in rows:
            found = _ask(ledger, (by, row.names[0]))
            assert (found.balance.exact, found.balance.figure.bytes) == (True, row.bytes)
    lives = [(flow.life.vswitchd_start, flow.amount.bytes) for flow in _ask(ledger).flows]
    assert lives == [("start-2", 16), ("start-9", 8), ("start-1", 4), ("start-1", 3)]


def test_bytes_that_are_elsewhere_are_missed_by_the_counter(ledger: Ledger):
    ledger.post(
        [
            interval(1, to_ms=T + 1, packets=1, bytes=100, counter=(1, 114)),
            interval(2, to_ms=T + 2, packets=1, bytes=50, counter=(2, 178), owner=UNKNOWN),
            interval(3, to_ms=T + 3, packets=1, bytes=100, counter=(3, 292)),
        ]
    )
    (flow,) = _ask(ledger).flows
    assert flow.beyond == 64


def test_a_counter_that_began_anew_is_said_to_have(ledger: Ledger):
    ledger.post(
        [
            interval(1, to_ms=T + 1, packets=1, bytes=100, counter=(1, 114)),
            interval(2, to_ms=T + 2, packets=1, bytes=50, counter=(1, 64)),
        ]
    )
    found = _ask(ledger)
    assert (found.balance.exact, found.flows[0].beyond) == (True, None)


def test_two_ways_of_counting_are_two_corrections(ledger: Ledger):
    ledger.post(
        [
            interval(1, to_ms=T + 1, packets=2, bytes=200, datapath="system", counter=(2, 228)),
            interval(2, to_ms=T + 2, packets=2, bytes=9, datapath="system", header_bytes=0, counter=(4, 237)),
        ]
    )
    found = _ask(ledger)
    assert [(c.datapath, c.header_bytes, c.layer2) for c in found.corrections] == [
        ("system", 0, 9),
        ("system", 14, 228),
    ]
    assert found.flows[0].beyond == 0


def test_gaps_straddling_and_conflicts_are_told(ledger: Ledger):
    ledger.post([interval(1, from_ms=T - 5, to_ms=T + 5, bytes=7), gap(2, from_ms=T, to_ms=T + 9, bound=99)])
    ledger.post([gap(3, from_ms=T, to_ms=T + 9, owner=owner_of(8), port=8)])
    ledger.post([interval(1, from_ms=T - 5, to_ms=T + 5, bytes=8), interval(9, to_ms=T - 1)])
    ledger.post([interval(1, from_ms=T - 5, to_ms=T + 5, bytes=8), interval(9, to_ms=T - 1, bytes=1)])
    found = _ask(ledger, (Grouping.PORT, "vm7"))
    assert found.balance.exact
    assert found.straddling == Amount(10, 7, 1)
    assert [(g.cause, g.bound) for g in found.gaps] == [("vswitchd-ended", 99)]
    (refused,) = found.conflicts
    assert (refused.times, refused.content["bytes"], refused.held_bytes) == (2, 8, 7)
    assert len(_ask(ledger).gaps) == 2


def test_hosts_from_which_more_may_come(ledger: Ledger):
    ledger.post(
        [
            interval(1, to_ms=T + 5),
            interval(2, to_ms=T + DAY, run=SECOND_HOST),
            interval(3, to_ms=T + 5, run=Run(HostName("hv3"), "boot", "start"), owner=owner_of(9, "red")),
        ]
    )
    assert _ask(ledger, end=T + DAY).behind == (("hv1", T + 5),)
    assert _ask(ledger, (Grouping.HOST, "hv1"), end=T + DAY).behind == (("hv1", T + 5),)
    assert _ask(ledger, end=T + 5).behind == ()


def test_a_row_that_is_none_or_two(ledger: Ledger):
    again = replace(owner_of(8), port_name="vm7")
    ledger.post([interval(1, to_ms=T + 5), interval(2, to_ms=T + 5, owner=again, series=(8, 1, 1))])
    with pytest.raises(NotFound, match="no row of port 'vm9'"):
        _ask(ledger, (Grouping.PORT, "vm9"))
    with pytest.raises(Conflict, match="uid-8"):
        _ask(ledger, (Grouping.PORT, "vm7"))
    assert _ask(ledger, (Grouping.PORT, "uid-8")).balance.exact
    nobody = _ask(ledger, tenant="nobody")
    assert (nobody.known, nobody.balance.exact, nobody.flows) == (False, True, ())


def test_too_many_intervals_are_refused_with_a_remedy(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(room, "MOST_INTERVALS", 4)
    _series(ledger, 5)
    with pytest.raises(Invalid, match="5 intervals are behind it, and 4 are read at most"):
        _ask(ledger)
    assert _ask(ledger, end=T + 4 * HOUR).balance.exact


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_pages_bring_each_interval_once(ledger: Ledger, size: int):
    records = [interval(n, from_ms=T, to_ms=T + n % 3, bytes=n, series=(7, n % 2, 1)) for n in range(1, 12)]
    records += [interval(n, from_ms=T, to_ms=T + 1, bytes=n, run=SECOND_HOST) for n in range(1, 5)]
    ledger.post([*records, interval(99, to_ms=T, owner=owner_of(1, "red"))])
    choice = chosen(ledger, Figure("blue", T, FAR, Direction.OUT, ()))
    found, after = [], None
    for _ in range(100):
        part = page(ledger, choice, after, size)
        found += part.intervals
        after = part.after
        if after is None:
            break
    assert [row["to_ms"] for row in found] == sorted(row["to_ms"] for row in found)
    assert sorted((row["host"], row["sequence"]) for row in found) == sorted(
        (r.run.host, r.sequence) for r in records
    )


def test_causes_have_words() -> None:
    assert "died with it" in words_of(Cause.RUN_ENDED.value)
    assert words_of("no-cause-of-ours") == "no-cause-of-ours"
    assert [cause for cause in Cause if words_of(cause.value).count(" ") < 3] == []
    assert RUN.host == "hv1"
