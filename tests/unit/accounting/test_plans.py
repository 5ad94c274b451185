"""How a report finds its rows: by indexes that begin with the tenant, whatever it is by, of one or of all."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from accounting.ledger import Ledger
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from accounting.report import Grouping, Query
from accounting.report.sums import statement
from accounting.report.times import days_of
from tests.unit.accounting.examples import interval, owner_of

TENANTS = 20
END = 40 * DAY
TABLES = "egress_(interval|hour|day)"


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def filled(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    """Twenty tenants for forty days; of the last hours nothing is summed up."""
    made = Ledger(
        "sqlite://" if request.param == "sqlite" else request.getfixturevalue("postgresql").schema()
    )
    made.post(
        [
            interval(n, from_ms=at, to_ms=at, owner=owner_of(n % TENANTS, f"tenant-{n % TENANTS}"))
            for n, at in enumerate(at + step for at in range(0, END, 8 * HOUR) for step in range(10))
        ]
    )
    roll(made, END - 7 * HOUR)
    with made.writing() as connection:
        connection.exec_driver_sql("ANALYZE")
    yield made
    made.close()


def _plan(ledger: Ledger, query: Query, uids: tuple[str, ...] | None) -> str:
    with ledger.reading() as connection:
        asked = statement(connection, query, days_of(query.zone, query.from_ms, query.to_ms), uids)
        text = str(asked.compile(connection.engine, compile_kwargs={"literal_binds": True}))
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")
        else:
            # So few rows fit a page: reading all of them is cheaper here, and only here.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            rows = connection.exec_driver_sql(f"EXPLAIN {text}")
        return "\n".join(str(row[-1]) for row in rows)


@pytest.mark.parametrize("uids", [("uid-tenant-3",), None])
@pytest.mark.parametrize(
    ("by", "begin", "zone"),
    [
        ((Grouping.PORT,), DAY, "UTC"),
        ((Grouping.CLASS, Grouping.DAY), DAY + 5, "UTC"),
        ((Grouping.TENANT, Grouping.HOUR), DAY + HOUR, "UTC"),
        ((Grouping.DAY,), DAY, "Europe/Berlin"),
    ],
)
def test_indexes_are_used(filled: Ledger, by, begin: int, zone: str, uids):
    plan = _plan(filled, Query("tenant-3" if uids else None, begin, END, by, zone=zone), uids)
    assert re.search(f"{TABLES}_{'by_tenant' if uids else '(by_tenant|pkey)'}", plan), plan
    assert not re.search(rf"SCAN {TABLES}\b|Seq Scan on {TABLES}\b", plan), plan


def test_the_probe_sees_a_scan(filled: Ledger):
    with filled.reading() as connection:
        word = "EXPLAIN QUERY PLAN" if connection.dialect.name == "sqlite" else "EXPLAIN"
        rows = connection.exec_driver_sql(f"{word} SELECT sum(bytes) FROM egress_hour")
        assert re.search(rf"SCAN {TABLES}\b|Seq Scan on {TABLES}\b", "\n".join(str(row[-1]) for row in rows))


def test_a_month_by_day_is_read_from_sums_of_days(filled: Ledger):
    plan = _plan(filled, Query("tenant-3", DAY, 31 * DAY, (Grouping.DAY,)), ("uid-tenant-3",))
    assert "egress_day" in plan
    assert "egress_interval" not in plan
    assert "egress_hour" not in plan
