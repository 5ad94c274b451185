"""Live rates: of each host's own time; nothing that is not known is called zero."""

from __future__ import annotations

from itertools import pairwise

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from accounting.classes import UNCLASSIFIED
from accounting.ledger import INTERVALS, Ledger
from accounting.ledger.newest import carries, heard, sums
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from accounting.live import (
    AHEAD_MS,
    LONGEST_PATIENCE_MS,
    PATIENCE_MS,
    Heard,
    Live,
    Rate,
    Standing,
    Sum,
    bounds,
    live,
    standing,
)
from accounting.records import Run
from model.ids import HostName
from tests.unit.accounting.examples import interval, owner_of

NOW = 100 * DAY
OVER = 10_000
PORTS = (("port_uid", "port_name"),)


def _sum(host: str, key: str, size: int, from_ms: int, last_ms: int, packets: int = 1) -> Sum:
    return Sum(host, (key,), (key,), packets, size, from_ms, last_ms, last_ms - from_ms)


def _live(hosts: list[Heard], some: list[Sum], most: int = 100) -> Live:
    return live(hosts, some, OVER, NOW, most)


def test_each_hosts_rate_is_of_its_own_time() -> None:
    hosts = [Heard("a", NOW - 500), Heard("b", NOW - 40_000)]
    found = _live(
        hosts,
        [
            _sum("a", "x", 10_000, NOW - 10_500, NOW - 500, 20),
            # b reads once a minute: its newest interval begins before the ten seconds
            _sum("b", "x", 60_000, NOW - 100_000, NOW - 40_000),
        ],
    )
    (line,) = found.lines
    assert line.now == Rate(1_000 + 1_000, 2 + 1 / 60)
    assert line.age_ms == 40_000, "the age is that of the oldest part"
    assert [(p.from_ms, p.to_ms) for p in line.parts] == [
        (NOW - 10_500, NOW - 500),
        (NOW - 100_000, NOW - 40_000),
    ]
    assert [h.standing for h in found.hosts] == [Standing.FRESH, Standing.FRESH]


def test_lines_of_a_host_are_of_the_same_time() -> None:
    """One port has a long interval, since its agent was away; the other one is new."""
    some = [_sum("a", "x", 1, NOW - HOUR, NOW - 9_000), _sum("a", "y", 3_600, NOW - 1_000, NOW)]
    found = _live([Heard("a", NOW)], some)
    assert {(p.from_ms, p.to_ms) for line in found.lines for p in line.parts} == {(NOW - HOUR, NOW)}
    assert found.lines[0].now.bytes == pytest.approx(1.0)


def test_a_silent_host_is_named_and_its_last_rate_stands_apart() -> None:
    silent = NOW - 600_000
    hosts = [Heard("a", NOW), Heard("b", silent)]
    some = [
        _sum("a", "x", 10_000, NOW - OVER, NOW),
        _sum("b", "x", 50_000, silent - OVER, silent),
        _sum("b", "y", 20_000, silent - OVER, silent),
    ]
    found = _live(hosts, some)
    both, lost = found.lines
    assert (both.now.bytes, both.last.bytes, both.age_ms) == (1_000, 5_000, 0)
    assert (lost.keys, lost.now.bytes, lost.last.bytes, lost.age_ms) == (("y",), 0, 2_000, None)
    assert (found.total.bytes, found.last.bytes) == (1_000, 7_000)
    assert [(h.host, h.standing, h.age_ms, h.rate.bytes) for h in found.hosts] == [
        ("a", Standing.FRESH, 0, 1_000),
        ("b", Standing.SILENT, 600_000, 7_000),
    ]


def test_a_quiet_host_is_known_by_its_word_and_sends_nothing() -> None:
    found = _live([Heard("a", NOW - HOUR, word_ms=NOW - 7_000)], [])
    assert found.lines == ()
    (host,) = found.hosts
    assert (host.standing, host.age_ms, host.rate) == (Standing.FRESH, 7_000, Rate())


def test_a_host_that_was_never_heard_of_has_no_rate_and_no_age() -> None:
    (host,) = _live([Heard("a")], []).hosts
    assert (host.standing, host.age_ms, host.to_ms) == (Standing.UNHEARD, None, None)


@pytest.mark.parametrize(
    ("longest", "patience"),
    [
        (1_000, PATIENCE_MS),
        (10_000, PATIENCE_MS),
        (20_000, 60_000),
        (60_000, LONGEST_PATIENCE_MS),
        (HOUR, LONGEST_PATIENCE_MS),
    ],
)
def test_patience_follows_how_often_a_host_reads(longest: int, patience: int) -> None:
    assert standing(Heard("a", NOW - patience), longest, NOW) is Standing.FRESH
    assert standing(Heard("a", NOW - patience - 1), longest, NOW) is Standing.SILENT


def test_the_fastest_come_first_and_the_rest_is_said() -> None:
    some = [_sum("a", str(n), 10 * n, NOW - OVER, NOW) for n in range(1, 8)]
    found = _live([Heard("a", NOW)], some, most=3)
    assert [line.keys for line in found.lines] == [("7",), ("6",), ("5",)]
    assert (found.omitted, found.omitted_rate.bytes) == (4, pytest.approx(10))
    assert found.total.bytes == pytest.approx(28)


def test_a_renamed_port_is_one_line_under_its_last_name() -> None:
    times = (("old", NOW - 10_000, NOW - 5_000), ("new", NOW - 5_000, NOW))
    old, new = (Sum("a", ("uid",), (n,), 1, 5_000, b, e, e - b) for n, b, e in times)
    for some in ([old, new], [new, old]):
        (line,) = _live([Heard("a", NOW)], some).lines
        assert (line.names, line.now.bytes) == (("new",), 1_000)


@given(
    cuts=st.lists(st.integers(1, 60_000), min_size=2, max_size=20, unique=True).map(sorted),
    late=st.integers(0, 20_000),
)
@settings(max_examples=200, deadline=None)
def test_a_steady_sender_is_seen_as_it_sends_however_its_host_reads(cuts: list[int], late: int) -> None:
    """7 bytes a millisecond, in intervals of any lengths: the rate is never a higher one."""
    begin = NOW - late - cuts[-1]
    hosts = [Heard("a", begin + cuts[-1])]
    bound = bounds(hosts, OVER)["a"]
    parts = [(begin + a, begin + b) for a, b in pairwise(cuts)]
    newest = [(a, b) for a, b in parts if b > bound]
    some = [_sum("a", "x", 7 * (b - a), a, b) for a, b in newest]
    (line,) = _live(hosts, some).lines
    assert line.now.bytes <= 7_000.001
    if min(newest)[0] <= bound:  # it sent all the time that the rate is of
        assert line.now.bytes == pytest.approx(7_000)


def _host(name: str) -> Run:
    return Run(HostName(name), "boot", "start")


def test_the_newest_intervals_of_each_host_are_read(ledger: Ledger) -> None:
    ledger.post(
        [
            interval(1, from_ms=NOW - 30_000, to_ms=NOW - 20_000, bytes=1, packets=1),
            interval(2, from_ms=NOW - 20_000, to_ms=NOW - 10_000, bytes=2, packets=1),
            interval(3, from_ms=NOW - 20_000, to_ms=NOW - 10_000, bytes=4, packets=2, owner=owner_of(8)),
            interval(4, run=_host("hv2"), from_ms=NOW - HOUR, to_ms=NOW - HOUR + 10, bytes=8, packets=1),
            interval(5, run=_host("hv3"), from_ms=NOW - 5 * DAY, to_ms=NOW - 5 * DAY + 1),
            interval(6, run=_host("hv4"), from_ms=NOW, to_ms=NOW + 2 * HOUR),
        ]
    )
    with ledger.reading() as connection:
        found = heard(connection, NOW, {})
        assert found == (
            Heard("hv1", NOW - 10_000),
            Heard("hv2", NOW - HOUR + 10),
            Heard("hv4", None, ahead_ms=NOW + 2 * HOUR),
        )
        spans = {host: (bound, bound + OVER) for host, bound in bounds(found, OVER).items()}
        assert sums(connection, spans, PORTS, sa.true()) == [
            Sum("hv1", ("uid-7",), ("vm7",), 1, 2, NOW - 20_000, NOW - 10_000, 10_000),
            Sum("hv1", ("uid-8",), ("vm8",), 2, 4, NOW - 20_000, NOW - 10_000, 10_000),
            Sum("hv2", ("uid-7",), ("vm7",), 1, 8, NOW - HOUR, NOW - HOUR + 10, 10),
        ]
        red = sums(connection, spans, PORTS, INTERVALS.c.tenant_uid == "uid-red")
        assert red == []


def test_devices_past_the_switch_say_nothing_of_the_switch(ledger: Ledger) -> None:
    ledger.post(
        [
            interval(1, from_ms=NOW - 40_000, to_ms=NOW - 30_000, bytes=1),
            interval(2, from_ms=NOW - 60_000, to_ms=NOW, bytes=2, series=(9, UNCLASSIFIED, 1), datapath="vf"),
        ]
    )
    with ledger.reading() as connection:
        found = heard(connection, NOW, {})
        assert found == (Heard("hv1", NOW - 30_000),)
        spans = {host: (bound, NOW) for host, bound in bounds(found, OVER).items()}
        assert [each.bytes for each in sums(connection, spans, PORTS, sa.true())] == [1]


def test_a_clock_that_was_ahead_hides_nothing_that_came_after(ledger: Ledger) -> None:
    ledger.post([interval(1, from_ms=NOW, to_ms=NOW + AHEAD_MS + 1), interval(2, from_ms=NOW, to_ms=NOW)])
    with ledger.reading() as connection:
        assert heard(connection, NOW, {}) == (Heard("hv1", NOW, ahead_ms=NOW + AHEAD_MS + 1),)


def test_what_hosts_say_counts_if_it_can_be(ledger: Ledger) -> None:
    ledger.post([interval(1, to_ms=NOW - HOUR), interval(2, run=_host("hv2"), to_ms=NOW - 3 * DAY)])
    words = {"hv1": NOW - 5, "hv2": None, "hv3": NOW, "hv4": None, "hv5": NOW + AHEAD_MS + 1}
    with ledger.reading() as connection:
        found = heard(connection, NOW, words)
    assert found == (
        Heard("hv1", NOW - HOUR, NOW - 5),
        Heard("hv2", NOW - 3 * DAY),
        Heard("hv3", None, NOW),
        Heard("hv4"),
        Heard("hv5"),
    )


def test_whose_bytes_a_silent_host_carries(ledger: Ledger) -> None:
    ledger.post(
        [
            interval(1, from_ms=NOW - DAY // 2, to_ms=NOW - DAY // 2, owner=owner_of(5, "red")),
            interval(2, from_ms=NOW - HOUR, to_ms=NOW - HOUR),
            interval(3, from_ms=NOW - 9 * DAY, to_ms=NOW - 9 * DAY, owner=owner_of(6, "old")),
        ]
    )
    roll(ledger, NOW - HOUR)
    with ledger.reading() as connection:
        told = {t: carries(connection, "hv1", NOW, [f"uid-{t}"]) for t in ("red", "blue", "old", "none")}
    assert told == {"red": True, "blue": True, "old": False, "none": False}


def test_a_fleet_is_asked_a_hundred_hosts_at_a_time(ledger: Ledger) -> None:
    ledger.post(
        [interval(n, run=_host(f"hv{n:03d}"), from_ms=NOW - 5, to_ms=NOW, bytes=n) for n in range(250)]
    )
    with ledger.reading() as connection:
        found = heard(connection, NOW, {})
        spans = {host: (bound, NOW) for host, bound in bounds(found, OVER).items()}
        assert sum(each.bytes for each in sums(connection, spans, PORTS, sa.true())) == sum(range(250))
