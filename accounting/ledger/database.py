"""Database: posts what agents upload, idempotently, through SQLAlchemy Core; SQLite or PostgreSQL.

Place: opened by the API alone, by several processes of it if need be; read by `accounting.report`. The key of
an interval is (host, boot id, vswitchd start, epoch, port, class, sequence), those of gaps and balances leave
epoch and class out. The same key with other content is refused, kept aside and counted. Each post marks the
hours that it adds to, in the same transaction, so that sums never lack what was posted. Must not correct or
estimate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from accounting.encode import plain
from accounting.ledger import schema
from accounting.ledger.engine import open_engine, reading, writing
from accounting.ledger.tables import (
    BALANCES,
    CONFLICTS,
    DROPPED,
    GAPS,
    INTERVALS,
    TENANTS,
    UNITS,
    UnitState,
    hour_of,
)
from accounting.records import Balance, Billable, Gap, Interval
from model.errors import Fault, Unavailable

_ASKED: Final = 500
"""Keys in one question: some databases limit the parameters of a statement."""

Key = tuple[Any, ...]
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch. `conflicts`: refused, since the ledger holds other content under their keys."""

    accepted: int
    repeated: int
    conflicts: tuple[str, ...] = ()


class Ledger:
    """One database; may be used by many threads."""

    def __init__(self, url: str) -> None:
        """`url` as SQLAlchemy writes it. Makes or upgrades tables; Unavailable if out of reach or newer."""
        try:
            self._engine = open_engine(url)
            with writing(self._engine) as connection:
                schema.prepare(connection)
        except (SQLAlchemyError, OSError, ValueError, ImportError) as error:
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
            with self.writing() as connection:
                receipts = [
                    _post(connection, INTERVALS, [r for r in records if isinstance(r, Interval)]),
                    _post(connection, GAPS, [r for r in records if isinstance(r, Gap)]),
                    _post(connection, BALANCES, [r for r in records if isinstance(r, Balance)]),
                ]
        except SQLAlchemyError as error:
            what = f"the ledger could not keep {len(records)} records"
            raise unwritable(what, "nothing is lost: agents post them again", error) from error
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
        """A connection in one read transaction, so that all its queries see one state.

        Unavailable: the database did not answer a query.
        """
        try:
            with reading(self._engine) as connection:
                yield connection
        except SQLAlchemyError as error:
            raise Unavailable(
                Fault(
                    "egress ledger",
                    "ledger-unreadable",
                    f"the ledger could not be read: {error}",
                    "see that the database's file or server can be reached; nothing is lost meanwhile",
                )
            ) from error

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """A connection in one transaction that writes; for this room. Unavailable: it was upgraded."""
        with writing(self._engine) as connection:
            schema.hold(connection)
            yield connection

    def close(self) -> None:
        """Give the connections back."""
        self._engine.dispose()


def unwritable(what: str, meanwhile: str, error: SQLAlchemyError) -> Unavailable:
    """The database refused a transaction, or did not answer; nothing of it was kept."""
    remedy = f"{meanwhile}; see the database's disk and load"
    return Unavailable(Fault("egress ledger", "ledger-unwritable", f"{what}: {error}", remedy))


def upsert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that can say what to do with a key that is there already."""
    if connection.dialect.name == "postgresql":
        return postgresql.insert(table)
    return sqlite.insert(table)


def mark(connection: sa.Connection, units: set[tuple[str, int]]) -> None:
    """Call these (host, hour) stale, and hold each till the transaction ends: nobody sums it up meanwhile."""
    if not units:
        return
    # In order, as everybody who holds several: two that wait for each other would both fail.
    rows = [{"host": h, "hour_ms": at, "state": UnitState.STALE, "changes": 1} for h, at in sorted(units)]
    insert = upsert(connection, UNITS)
    more = {"state": UnitState.STALE, "changes": UNITS.c.changes + 1}
    connection.execute(insert.on_conflict_do_update(index_elements=["host", "hour_ms"], set_=more), rows)


def _post(connection: sa.Connection, table: sa.Table, records: Sequence[Billable]) -> Receipt:
    keys = [column.name for column in table.primary_key.columns]
    rows: dict[Key, Row] = {}
    origins: dict[Key, Billable] = {}
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
    # Sorted, so that two posts of the same records wait for each other in one direction only.
    kept = _insert(connection, table, [rows[key] for key in sorted(rows)], keys)
    known = _digests(connection, table, [key for key in rows if key not in kept], keys)
    for key, digest in known.items():
        if digest == rows[key]["digest"]:
            repeated += 1
        else:
            conflicts.append(_refuse(connection, origins[key], key, rows[key]["digest"]))
    if table is INTERVALS:
        let_go = _forget_dropped(connection, {key: rows[key] for key in kept}, keys)
        repeated += len(let_go)
        kept -= let_go
        mark(connection, {(rows[key]["host"], hour_of(rows[key]["to_ms"])) for key in kept})
    _note_tenants(connection, [rows[key] for key in kept])
    return Receipt(len(kept), repeated, tuple(conflicts))


def _insert(connection: sa.Connection, table: sa.Table, rows: list[Row], keys: list[str]) -> set[Key]:
    """Insert what is new; the keys of those rows."""
    if not rows:
        return set()
    columns = [table.c[name] for name in keys]
    if connection.dialect.name == "postgresql":
        result = connection.execute(_from_json(table), {"rows": _json(rows)})
    else:
        statement = upsert(connection, table).on_conflict_do_nothing()
        result = connection.execute(statement.returning(*columns), rows)
    return {tuple(row) for row in result}


@cache
def _from_json(table: sa.Table) -> Any:
    """An INSERT of what is new in the parameter `rows`, which gives their keys. Made once: it costs more than
    all of a batch's Python."""
    binary = {column.name for column in table.c if isinstance(column.type, sa.LargeBinary)}
    names = [column.name for column in table.c]
    sent = _sent([sa.column(c.name, sa.Text() if c.name in binary else c.type) for c in table.c])
    values = [sa.func.decode(sent.c[n], "hex") if n in binary else sent.c[n] for n in names]
    statement = postgresql.insert(table).from_select(names, sa.select(*values)).on_conflict_do_nothing()
    return statement.returning(*table.primary_key.columns)


def _sent(columns: Sequence[sa.ColumnClause[Any]]) -> sa.TableValuedAlias:
    """PostgreSQL: the parameter `rows` as a relation; a parameter a value would cost three times it."""
    text = sa.cast(sa.bindparam("rows", type_=sa.Text()), postgresql.JSON)
    return sa.func.json_to_recordset(text).table_valued(*columns).render_derived(name="sent", with_types=True)


def _json(rows: Sequence[Row]) -> str:
    return json.dumps(rows, default=bytes.hex, separators=(",", ":"))


def _digests(
    connection: sa.Connection, table: sa.Table, asked: list[Key], keys: list[str]
) -> dict[Key, bytes]:
    """What the ledger holds under these keys."""
    found: dict[Key, bytes] = {}
    columns = [table.c[name] for name in keys]
    if asked and connection.dialect.name == "postgresql":
        sent = _sent([sa.column(c.name, c.type) for c in columns])
        same = sa.and_(*(column == sent.c[column.name] for column in columns))
        statement = sa.select(*columns, table.c.digest).join_from(sent, table, same)
        rows = [dict(zip(keys, key, strict=True)) for key in asked]
        return {tuple(row[:-1]): row[-1] for row in connection.execute(statement, {"rows": _json(rows)})}
    for start in range(0, len(asked), _ASKED):
        some = sa.tuple_(*columns).in_(asked[start : start + _ASKED])
        for row in connection.execute(sa.select(*columns, table.c.digest).where(some)):
            found[tuple(row[:-1])] = bytes(row[-1])
    return found


def _forget_dropped(connection: sa.Connection, kept: Mapping[Key, Row], keys: list[str]) -> set[Key]:
    """Take out again what was here before and is kept as a part of sums only; its keys.

    After the insertion, not before it: an insertion that waited for a transaction that drops this very row
    goes on when that has ended, and must then see what it has dropped.
    """
    let_go: set[Key] = set()
    for host in sorted({row["host"] for row in kept.values()}):
        numbers = [row["sequence"] for row in kept.values() if row["host"] == host]
        ranges = connection.execute(
            sa.select(DROPPED).where(
                DROPPED.c.host == host,
                DROPPED.c.first_sequence <= max(numbers),
                DROPPED.c.last_sequence >= min(numbers),
            )
        ).all()
        for key, row in kept.items():
            life = (row["host"], row["boot_id"], row["vswitchd_start"])
            if any(tuple(r[:3]) == life and r[3] <= row["sequence"] <= r[4] for r in ranges):
                let_go.add(key)
    for key in sorted(let_go):
        same = (INTERVALS.c[name] == value for name, value in zip(keys, key, strict=True))
        connection.execute(sa.delete(INTERVALS).where(*same))
    return let_go


def _note_tenants(connection: sa.Connection, rows: Sequence[Row]) -> None:
    names = sorted({(row["tenant_uid"], row["tenant_name"]) for row in rows})
    if names:
        found = [{"tenant_uid": uid, "tenant_name": name} for uid, name in names]
        _insert(connection, TENANTS, found, ["tenant_uid", "tenant_name"])


def _row(record: Billable) -> Row:
    """The record as a row of its table."""
    raw: Mapping[str, Any] = plain(record)
    row = {name: value for name, value in raw.items() if name not in ("kind", "owner")}
    return {**row, **raw["owner"], "host": record.run.host, "digest": _digest(record)}


def _digest(record: Billable) -> bytes:
    return hashlib.sha256(_content(record).encode()).digest()


def _content(record: Billable) -> str:
    return json.dumps({"host": record.run.host, **plain(record)}, sort_keys=True, separators=(",", ":"))


def _refuse(connection: sa.Connection, record: Billable, key: Key, digest: bytes) -> str:
    """Keep the refused content beside the ledger, once, with how often it came; the key as text."""
    name = json.dumps(key)
    here = sa.and_(CONFLICTS.c.key == name, CONFLICTS.c.digest == digest)
    counted = connection.execute(sa.update(CONFLICTS).where(here).values(times=CONFLICTS.c.times + 1))
    if counted.rowcount == 0:
        row = {"key": name, "digest": digest, "content": _content(record), "times": 1}
        connection.execute(sa.insert(CONFLICTS).values(row))
    return name
