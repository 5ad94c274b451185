"""The ledger's tables are what its migrations make, and ledgers of before them are adopted in place."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from accounting.ledger import METADATA, Ledger
from accounting.ledger.retention import release
from accounting.ledger.rollup import rebuild, roll
from accounting.ledger.schema import HEAD, MIGRATIONS, REVISIONS, VERSION_TABLE
from accounting.ledger.tables import HOUR, hour_of
from model.errors import Unavailable
from tests.unit.accounting.examples import gap, interval, owner_of
from tests.unit.accounting.old_ledger import make_old


def _tables(url: str) -> dict[str, list[tuple[object, ...]]]:
    """What stands in every table."""
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        found = sa.MetaData()
        found.reflect(connection)
        contents = {
            table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
            for table in found.sorted_tables
        }
    engine.dispose()
    return contents


def test_the_last_revision_is_the_one_that_the_program_knows():
    script = ScriptDirectory(str(MIGRATIONS))
    assert script.get_heads() == [HEAD]
    assert tuple(r.revision for r in reversed(list(script.walk_revisions()))) == REVISIONS


@pytest.mark.parametrize("path", sorted(MIGRATIONS.glob("versions/v*.py")), ids=lambda p: p.stem)
def test_no_migration_depends_on_todays_tables(path):
    """Or a table that changes later would change what an old revision was."""
    imported = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)]
    assert imported and not [n.module for n in imported if str(n.module).startswith("accounting")]


@pytest.mark.parametrize("old", [False, True])
def test_the_migrations_make_todays_tables(url: str, old: bool):
    if old:
        make_old(url, [], [])
    Ledger(url).close()
    engine = sa.create_engine(url)
    with engine.connect() as connection:
        options = {"version_table": VERSION_TABLE, "compare_type": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, METADATA) == []
        connection.exec_driver_sql("DROP INDEX egress_hour_by_tenant")
        assert compare_metadata(context, METADATA), "the comparison sees an index that lacks"
    engine.dispose()


def test_an_old_ledger_is_adopted_with_all_that_it_holds(url: str):
    hours = (3_600_000, 7_200_000)
    records = [interval(n, from_ms=at - 5, to_ms=at) for n, at in enumerate(hours)]
    make_old(url, records, [gap(9, owner=owner_of(4, "red"))])
    before = _tables(url)["egress_interval"]
    ledger = Ledger(url)
    assert _tables(url)["egress_interval"] == before
    assert ledger.post([*records, gap(9, owner=owner_of(4, "red"))]).repeated == 3
    assert len(ledger.post([interval(0, bytes=7, from_ms=hours[0] - 5, to_ms=hours[0])]).conflicts) == 1
    ledger.close()
    after = _tables(url)
    assert after["egress_interval"] == before
    assert after["egress_unit"] == [("hv1", hour_of(at), 0, 1) for at in hours]
    assert after["egress_tenant"] == [("uid-blue", "blue"), ("uid-red", "red")]
    assert after["ledger_meta"] == [("schema_version", "3")]


def test_sums_and_what_was_dropped_survive_the_table_of_balances(url: str):
    """From 0002, as an operator's ledger is: nothing but the new table and the version differ."""
    made = Ledger(url)
    made.post([interval(1), interval(2, from_ms=HOUR, to_ms=HOUR + 5), gap(3)])
    roll(made, 10 * HOUR)
    release(made, HOUR)
    made.close()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE egress_balance")
        connection.exec_driver_sql("UPDATE ledger_version SET version_num = '0002'")
        connection.exec_driver_sql("UPDATE ledger_meta SET value = '2' WHERE name = 'schema_version'")
    engine.dispose()
    before = _tables(url)
    upgraded = Ledger(url)
    assert upgraded.post([interval(1), gap(3)]).repeated == 2
    upgraded.close()
    after = _tables(url)
    assert after.pop("egress_balance") == []
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {"ledger_meta", VERSION_TABLE}
    assert after[VERSION_TABLE] == [("0003",)]


def test_what_is_upgraded_already_is_left_alone(url: str):
    first = Ledger(url)
    first.post([interval(1), gap(2)])
    first.close()
    before = _tables(url)
    Ledger(url).close()
    assert _tables(url) == before


def test_an_upgrade_that_fails_leaves_the_old_ledger_as_it_was(url: str):
    make_old(url, [interval(1)], [])
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE egress_day (x INTEGER)")
    before = _tables(url)
    with pytest.raises(Unavailable) as caught:
        Ledger(url)
    assert caught.value.faults[0].rule == "ledger-unusable"
    assert _tables(url) == before
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE egress_day")
    engine.dispose()
    made = Ledger(url)
    assert made.post([interval(1)]).repeated == 1
    made.close()


def test_two_processes_may_open_the_same_at_once(fresh: Callable[[], str]):
    """Alembic is not for threads; the second process finds the first one's work, or waits for it."""
    url = fresh()
    make_old(url, [interval(n) for n in range(50)], [])
    words = "import sys; from accounting.ledger import Ledger; Ledger(sys.argv[1]).close()"
    running = [subprocess.Popen([sys.executable, "-c", words, url]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert len(_tables(url)["egress_interval"]) == 50


def test_a_process_that_was_there_before_an_upgrade_writes_no_more(ledger: Ledger):
    ledger.post([interval(1)])
    with ledger.writing() as connection:
        connection.exec_driver_sql("UPDATE ledger_version SET version_num = '0099'")
    for act in (lambda: ledger.post([interval(2)]), lambda: roll(ledger, 10**12), lambda: rebuild(ledger)):
        with pytest.raises(Unavailable) as caught:
            act()
        assert caught.value.faults[0].rule == "ledger-version"
    with ledger.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM egress_interval").scalar_one() == 1


def test_other_databases_are_refused():
    with pytest.raises(Unavailable) as caught:
        Ledger("mysql://localhost/x")
    assert "mysql" in caught.value.faults[0].message
