"""The ledger on real SQLite and PostgreSQL: idempotent, refuses contradictions, survives kill -9."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from accounting.ledger import GAPS, INTERVALS, Ledger, sqlite_url
from model.errors import Unavailable
from tests.postgresql import Postgresql
from tests.unit.accounting.examples import RUN, SECOND_RUN, gap, interval, owner_of


def _sum(ledger: Ledger) -> tuple[int, int]:
    with ledger.reading() as connection:
        row = connection.execute(sa.select(sa.func.count(), sa.func.sum(INTERVALS.c.bytes))).one()
    return int(row[0]), int(row[1] or 0)


def test_a_repeated_upload_changes_nothing(ledger: Ledger):
    batch = [interval(1), interval(2, bytes=2**62), gap(3)]
    first, second = ledger.post(batch), ledger.post(batch[::-1])
    assert (first.accepted, first.repeated, first.conflicts) == (3, 0, ())
    assert (second.accepted, second.repeated, second.conflicts) == (0, 3, ())
    assert _sum(ledger) == (2, 1_000 + 2**62)


def test_a_batch_may_repeat_itself(ledger: Ledger):
    receipt = ledger.post([interval(1), interval(1)])
    assert (receipt.accepted, receipt.repeated) == (1, 1)


@pytest.mark.parametrize(
    "other",
    [
        interval(1, run=SECOND_RUN),
        interval(1, series=(8, 1, 3)),
        interval(1, series=(7, 0, 3)),
        interval(1, series=(7, 1, 4)),
        interval(2),
    ],
)
def test_each_part_of_the_key_makes_another_interval(ledger: Ledger, other):
    assert ledger.post([interval(1)]).accepted == 1
    assert ledger.post([other]).accepted == 1


@pytest.mark.parametrize("change", [{"bytes": 1_001}, {"to_ms": 2_001}, {"owner": owner_of(7, "red")}])
def test_other_content_under_a_key_is_refused_and_counted(ledger: Ledger, change):
    ledger.post([interval(1)])
    for times in (1, 2):
        receipt = ledger.post([interval(1, **change), interval(2)])
        assert len(receipt.conflicts) == 1
        assert ledger.conflicts() == times
    assert _sum(ledger) == (2, 2_000)


def test_a_contradiction_within_a_batch_keeps_the_first(ledger: Ledger):
    receipt = ledger.post([interval(1), interval(1, bytes=5), gap(1), gap(1, bound=None)])
    assert receipt.accepted == 2
    assert len(receipt.conflicts) == 2
    assert _sum(ledger) == (1, 1_000)


def test_commits_are_synced(ledger: Ledger):
    with ledger.reading() as connection:
        if connection.dialect.name == "sqlite":
            assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
            assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2
        else:
            assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
            assert connection.exec_driver_sql("SHOW transaction_isolation").scalar() == "repeatable read"


def test_synced_also_where_the_role_says_otherwise(postgresql: Postgresql):
    url = postgresql.database()
    Ledger(url).close()
    name = sa.make_url(url).database
    with sa.create_engine(url).begin() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} SET synchronous_commit TO off")
    with sa.create_engine(url).connect() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "off"
    made = Ledger(url)
    with made.writing() as connection:
        assert connection.exec_driver_sql("SHOW synchronous_commit").scalar() == "on"
    made.close()


@pytest.mark.parametrize(
    "change", ["UPDATE ledger_meta SET value = '99'", "UPDATE ledger_version SET version_num = '0099'"]
)
def test_a_ledger_of_another_version_is_not_touched(url: str, change: str):
    first = Ledger(url)
    first.post([interval(1)])
    first.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql(change)
    engine.dispose()
    with pytest.raises(Unavailable) as caught:
        Ledger(url)
    assert caught.value.faults[0].rule == "ledger-version"


def test_a_file_that_is_no_database_is_refused(tmp_path: Path):
    (tmp_path / "ledger.db").write_bytes(b"this is not a database at all" * 100)
    with pytest.raises(Unavailable) as caught:
        Ledger(sqlite_url(tmp_path / "ledger.db"))
    assert caught.value.faults[0].rule == "ledger-unusable"


def test_a_failed_post_keeps_nothing_and_can_be_repeated(ledger: Ledger):
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE egress_gap RENAME TO elsewhere")
    with pytest.raises(Unavailable) as caught:
        ledger.post([interval(1), interval(2), gap(3)])
    assert caught.value.faults[0].rule == "ledger-unwritable"
    assert _sum(ledger) == (0, 0)
    with ledger._engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO egress_gap")
    assert ledger.post([interval(1), interval(2), gap(3)]).accepted == 3


def test_many_threads_post_the_same_and_it_counts_once(ledger: Ledger):
    batch = [interval(n) for n in range(200)]
    receipts = []
    threads = [
        threading.Thread(target=lambda n=n: receipts.append(ledger.post(batch[n::2] + batch[:50])))
        for n in (0, 1, 0, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(r.accepted for r in receipts) == 200
    assert _sum(ledger) == (200, 200_000)


WRITER = """
import sys
from pathlib import Path
from accounting.ledger import Ledger, sqlite_url
from tests.unit.accounting.examples import gap, interval
ledger = Ledger(sqlite_url(Path(sys.argv[1])))
for batch in range(100_000):
    ledger.post([interval(batch * 20 + n) for n in range(19)] + [gap(batch * 20 + 19)])
    print(batch, flush=True)
"""


@pytest.mark.parametrize("batches", [1, 7, 23])
def test_a_killed_writer_leaves_whole_acknowledged_batches(tmp_path: Path, batches: int):
    path = tmp_path / "ledger.db"
    root = Path(__file__).resolve().parents[3]
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)],
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout is not None
        acknowledged = -1
        while acknowledged < batches:
            line = writer.stdout.readline()
            assert line, "the writer died by itself"
            acknowledged = int(line)
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    finally:
        writer.kill()
        writer.wait(30)
    ledger = Ledger(sqlite_url(path))
    try:
        count, _ = _sum(ledger)
        with ledger.reading() as connection:
            gaps = connection.execute(sa.select(sa.func.count()).select_from(GAPS)).scalar_one()
        assert count == 19 * gaps, "a batch was kept in part"
        assert gaps in (acknowledged + 1, acknowledged + 2)
        again = [interval(n) for n in range(19)] + [gap(19)]
        assert ledger.post(again).repeated == 20
        assert ledger.post([interval(10**9, run=RUN)]).accepted == 1
    finally:
        ledger.close()
