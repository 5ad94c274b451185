"""What happens to tenants, ports, hosts and centres over a month: nothing twice, nothing lost."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounting.ledger import Ledger
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from accounting.records import Run
from accounting.report import Grouping, Query, report
from model.errors import Conflict
from model.ids import HostName
from tests.unit.accounting.examples import gap, interval, owner_of

OTHER = Run(HostName("hv2"), "boot-z", "start-9")


def _ask(ledger: Ledger, *by: Grouping, tenant: str | None = "blue"):
    return report(ledger, Query(tenant, 0, 9 * DAY, by))


def test_what_comes_late_of_a_deleted_tenant_is_its_own(ledger: Ledger):
    """Its host was cut off: the tenant is gone, another one has its name, and then the bytes arrive."""
    again = type(owner_of(1))("uid-new", "vm", "uid-second", "blue", "uid-n", "net")
    ledger.post([interval(1, to_ms=HOUR), interval(2, to_ms=5 * DAY, owner=again, bytes=5)])
    roll(ledger, 9 * DAY)
    ledger.post([interval(3, to_ms=HOUR + 7, run=OTHER)])
    with pytest.raises(Conflict):
        _ask(ledger, Grouping.PORT)
    for _ in range(2):
        assert _ask(ledger, Grouping.DAY, tenant="uid-blue").bytes == 2_000
        assert _ask(ledger, Grouping.DAY, tenant="uid-second").bytes == 5
        by_tenant = _ask(ledger, Grouping.TENANT, tenant=None)
        assert [(r.key, r.name, r.bytes) for r in by_tenant.rows] == [
            ("uid-blue", "blue", 2_000), ("uid-second", "blue", 5)
        ]  # fmt: skip
        roll(ledger, 9 * DAY)


def test_a_port_that_moved_is_one_row_by_port_and_two_by_host(ledger: Ledger):
    ledger.post([interval(1), interval(1, run=OTHER, bytes=7)])
    assert [(r.name, r.bytes) for r in _ask(ledger, Grouping.PORT).rows] == [("vm7", 1_007)]
    assert [(r.names, r.bytes) for r in _ask(ledger, Grouping.PORT, Grouping.HOST).rows] == [
        (("vm7", "hv1"), 1_000), (("vm7", "hv2"), 7)
    ]  # fmt: skip


def test_two_centres_that_become_one_hold_nothing_twice(fresh: Callable[[], str]):
    """A host uploaded to two; what the second has is posted to the first, whatever both had."""
    first, second = Ledger(fresh()), Ledger(fresh())
    both = [interval(n, bytes=1 << n) for n in range(1, 5)]
    first.post([*both[:3], gap(9)])
    second.post([*both[1:], gap(9)])
    receipt = first.post([*both[1:], gap(9)])
    assert (receipt.accepted, receipt.repeated, receipt.conflicts) == (1, 3, ())
    found = _ask(first, Grouping.PORT)
    assert (found.bytes, found.gap_count) == (2 + 4 + 8 + 16, 1)
    first.close()
    second.close()
