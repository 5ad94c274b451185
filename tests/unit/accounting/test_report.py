"""Reports: exact sums, half-open time by the interval's end, gaps, names that changed hands."""

from __future__ import annotations

from itertools import pairwise

import pytest

from accounting.ledger import Ledger
from accounting.records import UNKNOWN, Run
from accounting.report import UNATTRIBUTED, Direction, Grouping, Query, Report, report
from model.errors import Conflict
from model.ids import HostName
from tests.unit.accounting.examples import RUN, gap, interval, owner_of


def _ask(ledger: Ledger, by: Grouping, tenant="blue", from_ms=0, to_ms=10**15) -> Report:
    return report(ledger, Query(tenant, from_ms, to_ms, (by,)))


def _fill(ledger: Ledger) -> None:
    other_host = Run(HostName("hv2"), "boot-z", "start-9")
    ledger.post(
        [
            interval(1, bytes=2**61, packets=3),
            interval(2, bytes=2**61 + 1, packets=4, series=(7, 0, 3), class_name="same-network"),
            interval(3, bytes=5, packets=1, series=(8, 1, 1), owner=owner_of(8), run=other_host),
            interval(4, bytes=999, owner=owner_of(9, "red")),
        ]
    )


def test_sums_are_exact_and_only_the_tenants(ledger: Ledger):
    _fill(ledger)
    found = _ask(ledger, Grouping.PORT)
    assert [(r.name, r.packets, r.bytes, r.intervals) for r in found.rows] == [
        ("vm7", 7, 2**62 + 1, 2),
        ("vm8", 1, 5, 1),
    ]
    assert (found.packets, found.bytes, found.known) == (8, 2**62 + 6, True)


@pytest.mark.parametrize(
    ("by", "rows"),
    [
        (Grouping.CLASS, [("1", "everything-else", 2**61 + 5), ("0", "same-network", 2**61 + 1)]),
        (Grouping.HOST, [("hv1", "hv1", 2**62 + 1), ("hv2", "hv2", 5)]),
        (Grouping.NETWORK, [("uid-blue-net", "net", 2**62 + 6)]),
    ],
)
def test_each_grouping(ledger: Ledger, by: Grouping, rows):
    _fill(ledger)
    assert [(r.key, r.name, r.bytes) for r in _ask(ledger, by).rows] == rows


def test_an_interval_counts_where_it_ends_and_only_there(ledger: Ledger):
    ledger.post([interval(n, from_ms=n * 10 - 10, to_ms=n * 10, bytes=1 << n) for n in range(1, 11)])
    cuts = [0, 15, 40, 41, 100, 101]
    parts = [_ask(ledger, Grouping.PORT, from_ms=a, to_ms=b) for a, b in pairwise(cuts)]
    assert sum(p.bytes for p in parts) == sum(1 << n for n in range(1, 11))
    assert [p.bytes for p in parts] == [2, 4 + 8, 16, 32 + 64 + 128 + 256 + 512, 1024]
    assert [p.straddling_bytes for p in parts] == [0, 4, 16, 32, 1024]


def test_gaps_stand_in_every_report_that_they_touch(ledger: Ledger):
    ledger.post([interval(1, to_ms=1_500), gap(2, from_ms=1_000, to_ms=2_000, bound=500)])
    for from_ms, to_ms, shown in ((0, 1_000, 0), (0, 1_001, 1), (2_000, 3_000, 1), (2_001, 3_000, 0)):
        found = _ask(ledger, Grouping.PORT, from_ms=from_ms, to_ms=to_ms)
        assert found.gap_count == shown
        assert [r.gaps for r in found.rows if r.gaps] == [1] * shown
        assert found.gap_bound == 500 * shown


def test_an_unknown_bound_makes_the_sum_unknown(ledger: Ledger):
    ledger.post([interval(1), gap(2), gap(3, bound=None, port=8, owner=owner_of(8))])
    found = _ask(ledger, Grouping.PORT)
    assert [(r.name, r.gaps, r.gap_bound) for r in found.rows] == [("vm7", 1, 500), ("vm8", 1, None)]
    assert (found.gap_count, found.gap_bound) == (2, None)
    by_class = _ask(ledger, Grouping.CLASS)
    assert [(r.gaps, r.gap_bound) for r in by_class.rows] == [(2, None)]
    assert [(g.port_name, g.bound) for g in found.gaps] == [("vm7", 500), ("vm8", None)]


def test_a_renamed_port_is_one_row_under_its_last_name(ledger: Ledger):
    before = owner_of(7)
    after = owner_of(7).__class__(
        before.port_uid,
        "web",
        *[getattr(before, f) for f in ("tenant_uid", "tenant_name", "network_uid", "network_name")],
    )
    ledger.post([interval(1, to_ms=2_000), interval(2, to_ms=3_000, owner=after)])
    assert [(r.name, r.bytes) for r in _ask(ledger, Grouping.PORT).rows] == [("web", 2_000)]


def test_a_class_id_that_got_another_name_is_another_class(ledger: Ledger):
    ledger.post(
        [
            interval(1, series=(7, 9, 1), class_name="storage"),
            interval(2, series=(7, 9, 1), class_name="peer"),
        ]
    )
    assert [r.name for r in _ask(ledger, Grouping.CLASS).rows] == ["peer", "storage"]


def test_two_tenants_of_one_name_are_never_summed(ledger: Ledger):
    old = owner_of(7)
    new = type(old)("uid-p", "vm1", "uid-second", "blue", "uid-n", "net")
    ledger.post([interval(1), interval(2, owner=new, bytes=5)])
    with pytest.raises(Conflict) as caught:
        _ask(ledger, Grouping.PORT)
    assert "uid-second" in caught.value.faults[0].message
    assert _ask(ledger, Grouping.PORT, tenant="uid-second").bytes == 5


def test_bytes_without_an_owner_can_be_asked_for(ledger: Ledger):
    ledger.post([interval(1, owner=UNKNOWN, bytes=77), interval(2, run=RUN)])
    assert _ask(ledger, Grouping.HOST, tenant=UNATTRIBUTED).bytes == 77
    assert _ask(ledger, Grouping.HOST).bytes == 1_000


def test_a_tenant_that_the_ledger_never_met(ledger: Ledger):
    found = _ask(ledger, Grouping.PORT, tenant="nobody")
    assert (found.known, found.rows, found.bytes) == (False, (), 0)


def test_all_tenants_by_tenant_and_class(ledger: Ledger):
    _fill(ledger)
    found = report(ledger, Query(None, 0, 10**15, (Grouping.TENANT, Grouping.CLASS)))
    assert [(r.keys, r.names, r.bytes) for r in found.rows] == [
        (("uid-blue", "1"), ("blue", "everything-else"), 2**61 + 5),
        (("uid-blue", "0"), ("blue", "same-network"), 2**61 + 1),
        (("uid-red", "1"), ("red", "everything-else"), 999),
    ]
    assert (found.known, found.bytes) == (True, 2**62 + 6 + 999)


def test_hours_and_days(ledger: Ledger):
    hour, day = 3_600_000, 86_400_000
    ledger.post([interval(1, to_ms=day - 1, bytes=1), interval(2, to_ms=day, bytes=2),
                 interval(3, to_ms=day + hour, bytes=4)])  # fmt: skip
    by_day, by_hour = (
        report(ledger, Query("blue", 0, 2 * day, (by,))) for by in (Grouping.DAY, Grouping.HOUR)
    )
    assert [(r.key, r.name, r.bytes) for r in by_day.rows] == [
        ("1970-01-01", "1970-01-01", 1), ("1970-01-02", "1970-01-02", 6)
    ]  # fmt: skip
    assert [(r.key, r.bytes) for r in by_hour.rows] == [
        ("1970-01-01T23:00:00Z", 1), ("1970-01-02T00:00:00Z", 2), ("1970-01-02T01:00:00Z", 4)
    ]  # fmt: skip


def test_a_report_is_of_one_direction(ledger: Ledger):
    ledger.post([interval(1, bytes=1), interval(2, bytes=2, series=(7, 1 + 256, 3)),
                 interval(3, bytes=4, series=(7, 512, 0), class_name="unclassified")])  # fmt: skip
    out, back = (
        report(ledger, Query("blue", 0, 9_000, (Grouping.CLASS,), direction)) for direction in Direction
    )
    assert [(r.key, r.name, r.bytes) for r in out.rows] == [
        ("1", "everything-else", 1), ("512", "unclassified", 4)
    ]  # fmt: skip
    assert [(r.key, r.name, r.bytes) for r in back.rows] == [("1", "everything-else", 2)]


def test_a_gap_stands_at_every_row_that_it_touches(ledger: Ledger):
    hour = 3_600_000
    ledger.post([interval(1, to_ms=hour + 5), gap(2, from_ms=5, to_ms=2 * hour, bound=500)])
    by = (Grouping.HOUR, Grouping.CLASS)
    found = report(ledger, Query("blue", 0, 9 * hour, by))
    assert [(r.keys, r.bytes, r.gaps, r.gap_bound) for r in found.rows] == [
        (("1970-01-01T00:00:00Z", ""), 0, 1, 500),
        (("1970-01-01T01:00:00Z", "1"), 1_000, 1, 500),
        (("1970-01-01T02:00:00Z", ""), 0, 1, 500),
    ]
    assert (found.gap_count, found.gap_bound) == (1, 500)
