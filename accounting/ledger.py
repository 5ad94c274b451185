"""Ledger: the central database of intervals and gaps, through SQLAlchemy Core; SQLite by default.

Place: opened by the API alone, which posts what agents upload; read by `accounting.report`. Posting is
idempotent: the key of an interval is (host, boot id, vswitchd start, epoch, port, class, sequence), that of a
gap leaves epoch and class out. The same key with other content is refused, kept aside and counted.
Must not correct or estimate.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from accounting.encode import plain
from accounting.records import Billable, Gap, Interval
from model.errors import Fault, Unavailable

SCHEMA_VERSION: Final = 1
_BUSY_MS: Final = 10_000
"""How long a writer waits for another one before it gives up (SQLite)."""
_WRITES: Final = {"ringfence_writes": True}

METADATA: Final = sa.MetaData()
_NAME = sa.String(255)
_WHOLE = sa.BigInteger()


def _run_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("boot_id", _NAME, primary_key=True),
        sa.Column("vswitchd_start", _NAME, primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", _WHOLE, primary_key=True, autoincrement=False),
    )


def _owner_columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("port_uid", _NAME, nullable=False),
        sa.Column("port_name", _NAME, nullable=False),
        sa.Column("tenant_uid", _NAME, nullable=False),
        sa.Column("tenant_name", _NAME, nullable=False),
        sa.Column("network_uid", _NAME, nullable=False),
        sa.Column("network_name", _NAME, nullable=False),
        sa.Column("from_ms", _WHOLE, nullable=False),
        sa.Column("to_ms", _WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
    )


META: Final = sa.Table(
    "ledger_meta",
    METADATA,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.String(255), nullable=False),
)
INTERVALS: Final = sa.Table(
    "egress_interval",
    METADATA,
    *_run_columns(),
    sa.Column("class", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
    *_owner_columns(),
    sa.Column("class_name", _NAME, nullable=False),
    sa.Column("packets", _WHOLE, nullable=False),
    sa.Column("bytes", _WHOLE, nullable=False),
    sa.Column("datapath", sa.String(32), nullable=False),
    sa.Column("header_bytes", sa.Integer, nullable=False),
    sa.Column("counter_packets", _WHOLE, nullable=False),
    sa.Column("counter_bytes", _WHOLE, nullable=False),
    sa.Index("egress_interval_by_tenant", "tenant_uid", "to_ms"),
    sa.Index("egress_interval_by_tenant_name", "tenant_name", "tenant_uid"),
)
GAPS: Final = sa.Table(
    "egress_gap",
    METADATA,
    *_run_columns(),
    *_owner_columns(),
    sa.Column("cause", sa.String(32), nullable=False),
    sa.Column("bound", _WHOLE, nullable=True),
    sa.Index("egress_gap_by_tenant", "tenant_uid", "to_ms"),
)
CONFLICTS: Final = sa.Table(
    "egress_conflict",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("times", _WHOLE, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch. `conflicts`: refused, since the ledger holds other content under their keys."""

    accepted: int
    repeated: int
    conflicts: tuple[str, ...] = ()


class Ledger:
    """One database; may be used by many threads."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy writes it. Creates the tables; Unavailable if out of reach or newer."""
        try:
            self._engine = sa.create_engine(url)
            if self._engine.dialect.name == "sqlite":
                _prepare_sqlite(self._engine)
            with self._engine.connect().execution_options(**_WRITES) as connection, connection.begin():
                METADATA.create_all(connection)
                _check_version(connection)
        except (SQLAlchemyError, OSError) as error:
            raise Unavailable(
                Fault(
                    "egress ledger",
                    "ledger-unusable",
                    f"the ledger's database can't be opened: {error}",
                    "see that the database's file or server can be reached and written by the API",
                )
            ) from error

    def post(self, records: Sequence[Billable]) -> Receipt:
        """Keep all `records` in one transaction, on disk when this returns. Unavailable: nothing was kept."""
        try:
            with self._engine.connect().execution_options(**_WRITES) as connection, connection.begin():
                receipts = [
                    self._post(connection, INTERVALS, [r for r in records if isinstance(r, Interval)]),
                    self._post(connection, GAPS, [r for r in records if isinstance(r, Gap)]),
                ]
        except SQLAlchemyError as error:
            raise Unavailable(
                Fault(
                    "egress ledger",
                    "ledger-unwritable",
                    f"the ledger could not keep {len(records)} records: {error}",
                    "nothing is lost: agents post them again; see the database's disk and load",
                )
            ) from error
        return Receipt(
            sum(r.accepted for r in receipts),
            sum(r.repeated for r in receipts),
            tuple(c for r in receipts for c in r.conflicts),
        )

    def conflicts(self) -> int:
        """How many records were refused so far, counting repetitions."""
        with self.reading() as connection:
            total = connection.execute(sa.select(sa.func.coalesce(sa.func.sum(CONFLICTS.c.times), 0)))
            return int(total.scalar_one())

    @contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection in one read transaction, so that all its queries see one state."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()

    def _post(self, connection: sa.Connection, table: sa.Table, records: Sequence[Billable]) -> Receipt:
        keys = [column.name for column in table.primary_key.columns]
        rows: dict[tuple[Any, ...], dict[str, Any]] = {}
        origins: dict[tuple[Any, ...], Billable] = {}
        repeated, conflicts = 0, []
        for record in records:
            row = _row(record)
            key = tuple(row[name] for name in keys)
            first = rows.setdefault(key, row)
            if first["digest"] != row["digest"]:
                conflicts.append(_refuse(connection, record, key, row["digest"]))
            elif first is not row:
                repeated += 1
            else:
                origins[key] = record
        kept = self._insert(connection, table, list(rows.values()), keys)
        same = sa.and_(*(table.c[name] == sa.bindparam(name) for name in keys))
        known = sa.select(table.c.digest).where(same)
        for key, row in rows.items():
            if key in kept:
                continue
            place = {name: row[name] for name in keys}
            if connection.execute(known, place).scalar_one() == row["digest"]:
                repeated += 1
            else:
                conflicts.append(_refuse(connection, origins[key], key, row["digest"]))
        return Receipt(len(kept), repeated, tuple(conflicts))

    def _insert(
        self, connection: sa.Connection, table: sa.Table, rows: list[dict[str, Any]], keys: list[str]
    ) -> set[tuple[Any, ...]]:
        """Insert what is new; the keys of those rows."""
        if not rows:
            return set()
        statement: Any
        if self._engine.dialect.name == "postgresql":
            statement = postgresql.insert(table).on_conflict_do_nothing()
        else:
            statement = sqlite.insert(table).on_conflict_do_nothing()
        returning = statement.returning(*(table.c[name] for name in keys))
        return {tuple(row) for row in connection.execute(returning, rows)}


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


def _prepare_sqlite(engine: sa.Engine) -> None:
    """WAL and FULL: a commit that returned survives power loss. We begin transactions, not the driver.

    The file is made here, for its owner and group only: SQLite would take the process's umask.
    """
    name = engine.url.database
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

    sa.event.listen(engine, "connect", connect)
    sa.event.listen(engine, "begin", begin)


def _check_version(connection: sa.Connection) -> None:
    found = connection.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar()
    if found is None:
        connection.execute(sa.insert(META).values(name="schema_version", value=str(SCHEMA_VERSION)))
    elif found != str(SCHEMA_VERSION):
        raise Unavailable(
            Fault(
                "egress ledger",
                "ledger-version",
                f"the ledger has schema version {found}, this program knows version {SCHEMA_VERSION}",
                "start the version that wrote it, or one that can upgrade it",
            )
        )


def _row(record: Billable) -> dict[str, Any]:
    """The record as a row of its table."""
    raw: Mapping[str, Any] = plain(record)
    row = {name: value for name, value in raw.items() if name not in ("kind", "owner")}
    return {**row, **raw["owner"], "host": record.run.host, "digest": _digest(record)}


def _digest(record: Billable) -> bytes:
    return hashlib.sha256(_content(record).encode()).digest()


def _content(record: Billable) -> str:
    return json.dumps({"host": record.run.host, **plain(record)}, sort_keys=True, separators=(",", ":"))


def _refuse(connection: sa.Connection, record: Billable, key: tuple[Any, ...], digest: bytes) -> str:
    """Keep the refused content beside the ledger, once, with how often it came; the key as text."""
    name = json.dumps(key)
    here = sa.and_(CONFLICTS.c.key == name, CONFLICTS.c.digest == digest)
    counted = connection.execute(sa.update(CONFLICTS).where(here).values(times=CONFLICTS.c.times + 1))
    if counted.rowcount == 0:
        row = {"key": name, "digest": digest, "content": _content(record), "times": 1}
        connection.execute(sa.insert(CONFLICTS).values(row))
    return name
