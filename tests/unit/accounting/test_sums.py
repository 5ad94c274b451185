"""The operator's routes of the ledger's sums: how far, whether right, and anew."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from accounting.ledger import HOURS
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from controller.api.sums import LONGEST_MS
from tests.unit.accounting.examples import interval
from tests.unit.accounting.test_upload import Site, site

__all__ = ["site"]


@pytest.fixture
def full(site: Site) -> Site:
    """Served, with an interval in each of five hours."""
    site.up()
    site.ledger.post([interval(n, from_ms=n * HOUR, to_ms=n * HOUR + 5) for n in range(1, 6)])
    return site


def test_how_far_sums_have_come(full: Site) -> None:
    wanted = {"stale": 5, "rolled": 0, "sealed": 0, "oldestStaleMs": HOUR}
    assert full.ask("GET", "/v1/usage/sums") == (200, wanted)
    roll(full.ledger, DAY)
    wanted = {"stale": 0, "rolled": 5, "sealed": 0, "oldestStaleMs": None}
    assert full.ask("GET", "/v1/usage/sums") == (200, wanted)


def test_a_check_names_what_differs_and_a_rebuild_mends_it(full: Site) -> None:
    roll(full.ledger, DAY)
    target = f"/v1/usage/sums/check?from=0&to={DAY}"
    good = {"hours": 5, "hoursThatDiffer": [], "daysThatDiffer": []}
    assert full.ask("GET", target) == (200, good)
    with full.ledger.writing() as connection:
        connection.execute(sa.update(HOURS).where(HOURS.c.hour_ms == 2 * HOUR).values(bytes=1))
    status, found = full.ask("GET", target)
    assert status == 200
    assert found["hoursThatDiffer"] == [{"host": "hv1", "beginMs": 2 * HOUR}]
    assert found["daysThatDiffer"] == [{"host": "hv1", "beginMs": 0}]
    assert full.ask("POST", "/v1/usage/sums/rebuild") == (200, {"hours": 5})
    roll(full.ledger, DAY)
    assert full.ask("GET", target) == (200, good)


@pytest.mark.parametrize("ends", [(5, 5), (6, 5), (0, LONGEST_MS + 1)])
def test_a_time_that_is_none_is_refused(full: Site, ends: tuple[int, int]) -> None:
    status, found = full.ask("GET", f"/v1/usage/sums/check?from={ends[0]}&to={ends[1]}")
    assert (status, found["faults"][0]["rule"]) == (422, "time-span")


def test_a_ledger_that_does_not_answer_is_said_so(full: Site) -> None:
    with full.ledger.writing() as connection:
        connection.exec_driver_sql("DROP TABLE egress_unit")
    for method, target, rule in (
        ("GET", "/v1/usage/sums", "ledger-unreadable"),
        ("GET", "/v1/usage/report?tenant=blue&from=0&to=9", "ledger-unreadable"),
        ("POST", "/v1/usage/sums/rebuild", "ledger-unwritable"),
    ):
        status, found = full.ask(method, target)
        assert (status, found["faults"][0]["rule"]) == (503, rule)
