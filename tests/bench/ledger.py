"""The egress ledger: a minute's uploads of 1,000 hosts, an hour's sums, and a month's report of one tenant.

Place: part of `make bench`; needs no root for SQLite, but PostgreSQL is started as its own user. By name
(`--only ledger`) the month is that of 100 million intervals, otherwise a twentieth of it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from accounting.encode import plain
from accounting.ledger import Ledger, sqlite_url
from accounting.ledger.rollup import roll
from accounting.ledger.tables import DAY, HOUR
from accounting.records import Interval
from accounting.report import Grouping, Query, report
from controller.api.usage import Batch, record_of
from tests.bench import arrivals
from tests.bench.figures import Row, Table, spread, timed
from tests.bench.interval import BEGIN, HOSTS, ROWS, TENANTS, batch
from tests.postgresql import Postgresql

WRITERS = 4
DAYS = 30
INTERVALS_AN_HOUR = 14
"""Of each generated row of an hour: with 100 hosts of 100 rows a month of them is 100 million intervals."""
ROUNDS = 5


def run() -> tuple[Table, ...]:
    """In full."""
    return _all(minutes=2, hosts=100)


def brief() -> tuple[Table, ...]:
    """A tenth of the hosts upload, a twentieth of the month is generated."""
    return _all(minutes=1, hosts=5, uploading=HOSTS // 10)


def _all(minutes: int, hosts: int, uploading: int = HOSTS) -> tuple[Table, ...]:
    tables: list[Table] = []
    for name, database in (("PostgreSQL", _postgresql), ("SQLite", _sqlite)):
        with database() as urls:
            tables.append(_uploads(name, urls(), minutes, uploading))
            if name == "PostgreSQL":
                tables.append(arrivals.table(urls(), uploading, minutes))
            tables.append(_month(name, urls(), hosts))
    return tuple(tables)


@contextmanager
def _postgresql() -> Iterator[Callable[[], str]]:
    server = Postgresql(("shared_buffers=256MB", "max_wal_size=4GB"))
    try:
        server.start()
        yield server.database
    finally:
        server.stop()


@contextmanager
def _sqlite() -> Iterator[Callable[[], str]]:
    with tempfile.TemporaryDirectory(prefix="rfledger") as folder:
        names = iter(range(10))
        yield lambda: sqlite_url(Path(folder) / f"ledger{next(names)}.db")


def _uploads(name: str, url: str, minutes: int, hosts: int) -> Table:
    ledger = Ledger(url)
    try:
        seconds: list[float] = []
        jobs = [(host, minute) for minute in range(minutes) for host in range(hosts)]
        taking = timed(lambda: [_taken(batch(host, 0)) for host in range(min(hosts, 50))])
        whole = timed(lambda: _posted(ledger, jobs, seconds))
        rows = len(jobs) * ROWS
        wanted = HOSTS * ROWS / 60
        rolled = timed(lambda: roll(ledger, BEGIN + HOUR))
        again = timed(lambda: ledger.post(batch(0, 0)))
        lines = (
            Row(
                f"uploads by {WRITERS} writers",
                (rows / whole.wall, rows / whole.wall / wanted, *spread(seconds)[:2]),
            ),
            Row(f"{ROWS} rows once more", (ROWS / again.wall, None, again.wall * 1e3, None)),
        )
        notes = (
            f"{rows:,} rows, a batch of {ROWS} in each transaction, on disk when it is acknowledged;"
            f" {wanted:,.0f} rows/s are {HOSTS:,} hosts that upload {ROWS} a minute",
            f"before that the API takes {taking.processor / min(hosts, 50) * 1e3:.1f} ms of processor time"
            " for a batch: checks and records",
            f"summing up the hour of {hosts:,} hosts ({rows:,} intervals): {rolled.wall:.2f} s",
        )
    finally:
        ledger.close()
    return Table(f"Uploads into {name}", ("rows/s", "times the need", "p50 ms", "p99 ms"), lines, notes)


def _taken(records: Sequence[Interval]) -> None:
    body = Batch.model_validate(
        {"host": records[0].run.host, "records": [plain(record) for record in records]}
    )
    for place, one in enumerate(body.records):
        record_of(body.host, one, place)


def _posted(ledger: Ledger, jobs: list[tuple[int, int]], seconds: list[float]) -> None:
    problems: list[BaseException] = []

    def write(mine: list[tuple[int, int]]) -> None:
        try:
            for host, minute in mine:
                records = batch(host, minute)
                began = time.perf_counter()
                assert ledger.post(records).accepted == ROWS
                seconds.append(time.perf_counter() - began)
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=write, args=(jobs[n::WRITERS],)) for n in range(WRITERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


_NUMBERS = """WITH RECURSIVE
    t(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM t WHERE n < {hours} - 1),
    h(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM h WHERE n < {hosts} - 1),
    s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {rows} - 1)"""
_SUM_NAMES = """port_uid, port_name, tenant_uid, tenant_name, network_uid, network_name, class, class_name,
    datapath, first_ms, last_ms, packets, bytes, carried_bytes, intervals"""
_TENANT = "CAST((h.n * {rows} + s.n) / 2 % {tenants} AS VARCHAR)"
_PORT = "CAST((h.n * {rows} + s.n) / 2 AS VARCHAR)"
_HOURS = f"""INSERT INTO egress_hour (host, hour_ms, place, sealed, {_SUM_NAMES})
    {_NUMBERS}
    SELECT 'hv' || CAST(h.n AS VARCHAR), {{begin}} + t.n * CAST({HOUR} AS BIGINT), s.n + 1, 1,
        {_PORT} || '-8f0e-4f0c-9f0e-5b0f8e1c8f0e', 'vm-' || {_PORT},
        'uid-of-tenant-' || {_TENANT} || '-4f0c-9f0e-5b0f8e1c8f0e', 'tenant-' || {_TENANT},
        'net-' || {_TENANT}, 'net', s.n % 2,
        CASE s.n % 2 WHEN 0 THEN 'same-network' ELSE 'everything-else' END, 'system',
        {{begin}} + t.n * CAST({HOUR} AS BIGINT) - 1000,
        {{begin}} + t.n * CAST({HOUR} AS BIGINT) + {HOUR - 1},
        1000000 + s.n, 1000000000 + s.n, 1000, {INTERVALS_AN_HOUR}
    FROM t, h, s WHERE true"""
_DAYS = f"""INSERT INTO egress_day (host, day_ms, place, {_SUM_NAMES})
    SELECT host, hour_ms - hour_ms % {DAY}, place, port_uid, port_name, tenant_uid, tenant_name, network_uid,
        network_name, class, class_name, datapath, min(first_ms), max(last_ms), sum(packets), sum(bytes),
        sum(CASE WHEN hour_ms % {DAY} = 0 THEN carried_bytes ELSE 0 END), sum(intervals)
    FROM egress_hour GROUP BY host, hour_ms - hour_ms % {DAY}, place, port_uid, port_name, tenant_uid,
        tenant_name, network_uid, network_name, class, class_name, datapath"""
_UNITS = "INSERT INTO egress_unit SELECT host, hour_ms, 2, 1 FROM egress_hour GROUP BY host, hour_ms"
_NAMES = "INSERT INTO egress_tenant SELECT DISTINCT tenant_uid, tenant_name FROM egress_day"


def _month(name: str, url: str, hosts: int) -> Table:
    ledger = Ledger(url)
    try:
        filling = timed(lambda: _fill(ledger, hosts))
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE" if engine.dialect.name == "sqlite" else "VACUUM ANALYZE")
        engine.dispose()
        end = BEGIN + DAYS * DAY
        asked = (
            ("the month, by port", BEGIN, end, Grouping.PORT),
            ("the month, by class", BEGIN, end, Grouping.CLASS),
            ("the month, by host", BEGIN, end, Grouping.HOST),
            ("from 10:00 on the first to 15:00 on the last day, by port", BEGIN + 10 * HOUR, end - 9 * HOUR,
             Grouping.PORT),
        )  # fmt: skip
        rows = []
        for words, from_ms, to_ms, by in asked:
            query = Query("tenant-7", from_ms, to_ms, (by,))
            first = timed(lambda query=query: report(ledger, query)).wall
            more = [timed(lambda query=query: report(ledger, query)).wall for _ in range(ROUNDS)]
            rows.append(Row(f"{name}: {words}", (first * 1e3, median(more) * 1e3)))
        whole = report(ledger, Query("tenant-7", BEGIN, end, (Grouping.PORT,)))
        counts = hosts * ROWS * DAYS * 24
        notes = (
            f"generated sums of {counts * INTERVALS_AN_HOUR:,} intervals: {counts:,} rows of hours,"
            f" {counts // 24:,} of days, {TENANTS} tenants; made in {filling.wall:.0f} s",
            f"of this tenant: {len(whole.rows)} ports, {sum(r.intervals for r in whole.rows):,} intervals",
        )
    finally:
        ledger.close()
    return Table(f"A month's report of one tenant, {name}", ("first ms", "p50 ms"), tuple(rows), notes)


def _fill(ledger: Ledger, hosts: int) -> None:
    values = {"hours": DAYS * 24, "hosts": hosts, "rows": ROWS, "tenants": TENANTS, "begin": BEGIN}
    with ledger.writing() as connection:
        for statement in (_HOURS, _DAYS, _UNITS, _NAMES):
            connection.exec_driver_sql(statement.format(**values).replace("%", _percent(connection)))


def _percent(connection: sa.Connection) -> str:
    """Psycopg takes a single one for a place to fill in."""
    return "%%" if connection.dialect.name == "postgresql" else "%"
