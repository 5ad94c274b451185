"""Engine: how the ledger's database is opened, so that a commit that returned is on disk.

Place: used by `accounting.ledger.database`. Must not know tables.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

_BUSY_MS: Final = 10_000
"""How long a writer waits for another one before it gives up (SQLite)."""
_WRITES: Final = {"ringfence_writes": True}


def open_engine(url: str) -> sa.Engine:
    """An engine for SQLite or PostgreSQL; ValueError for another database."""
    wanted = sa.make_url(url)
    kind = wanted.get_backend_name()
    if kind == "postgresql":
        # Psycopg 3 also where the URL names no driver: it is the one that is locked and tested.
        if wanted.drivername == "postgresql":
            wanted = wanted.set(drivername="postgresql+psycopg")
        made = sa.create_engine(wanted, pool_pre_ping=True)
        _prepare_postgresql(made)
        return made
    if kind != "sqlite":
        raise ValueError(f"a ledger in {kind} is neither built nor tested: use sqlite or postgresql")
    made = sa.create_engine(wanted)
    _prepare_sqlite(made)
    return made


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


@contextmanager
def writing(of: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that writes: committed at the end, rolled back by an exception."""
    with of.connect().execution_options(**_WRITES) as connection, connection.begin():
        yield connection


@contextmanager
def reading(of: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that reads: all its queries see one state."""
    with of.connect() as connection:
        if of.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


def lock(connection: sa.Connection, number: int) -> None:
    """Wait till no other transaction holds lock `number`; given back with the transaction.

    SQLite needs none: a transaction that writes is alone from its begin.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(number)))


def _prepare_postgresql(made: sa.Engine) -> None:
    def connect(connection: Any, _: object) -> None:
        # Whatever the server's or the role's default is: a post that was answered survives a power cut.
        connection.autocommit = True
        connection.execute("SET synchronous_commit TO on")
        connection.autocommit = False

    sa.event.listen(made, "connect", connect)


def _prepare_sqlite(made: sa.Engine) -> None:
    """WAL and FULL: a commit that returned survives power loss. We begin transactions, not the driver.

    The file is made here, for its owner and group only: SQLite would take the process's umask.
    """
    name = made.url.database
    if name and name != ":memory:" and not name.startswith("file:"):
        Path(name).parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        os.close(os.open(name, os.O_RDWR | os.O_CREAT, 0o640))

    def connect(connection: Any, _: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=FULL")
        cursor.close()

    def begin(connection: sa.Connection) -> None:
        # IMMEDIATE: a transaction that reads first and then writes could otherwise fail half way as busy.
        writes = connection.get_execution_options().get("ringfence_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    sa.event.listen(made, "connect", connect)
    sa.event.listen(made, "begin", begin)
