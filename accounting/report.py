"""Report: sums of the ledger for one tenant and a half-open time [from, to), UTC.

Place: asked by the API for the CLI and people. Only reads. Must not estimate: sums are exact integers.

An interval is counted whole where its *end* lies in [from, to): so adjacent reports never count a byte twice
or leave one out. What intervals that began before `from` hold is told as `straddling_bytes`: at most that
much belongs before. A gap is shown in every report that it touches; its class can't be known, so by class it
stands in every row.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Final

import sqlalchemy as sa

from accounting.ledger import GAPS, TENANTS, Ledger
from accounting.ledger.sources import Window, usage
from model.errors import Conflict, Fault

UNATTRIBUTED: Final = "(unattributed)"
"""In place of a tenant: bytes of ports that their host did not know when it read them."""
GAPS_SHOWN: Final = 1_000


class Grouping(Enum):
    PORT = "port"
    CLASS = "class"
    HOST = "host"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Query:
    """`tenant`: its name or uid. Times: Unix milliseconds, `from_ms` in, `to_ms` out."""

    tenant: str
    from_ms: int
    to_ms: int
    by: Grouping


@dataclass(frozen=True, slots=True)
class Row:
    """`key`: uid, class id or host. `gap_bound`: bytes (layer 2) at most in its gaps, None = unknown."""

    key: str
    name: str
    packets: int
    bytes: int
    intervals: int
    gaps: int = 0
    gap_bound: int | None = 0


@dataclass(frozen=True, slots=True)
class GapLine:
    host: str
    port_uid: str
    port_name: str
    network_uid: str
    network_name: str
    cause: str
    from_ms: int
    to_ms: int
    bound: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """`known`: False if the ledger has never heard of this tenant. `gaps`: the first GAPS_SHOWN of them."""

    query: Query
    known: bool
    rows: tuple[Row, ...]
    packets: int
    bytes: int
    straddling_bytes: int
    gap_count: int
    gap_bound: int | None
    gaps: tuple[GapLine, ...]


def report(ledger: Ledger, query: Query) -> Report:
    """The report; Conflict if several tenants bore this name (their uids are named then)."""
    with ledger.reading() as connection:
        uids = _tenant_uids(connection, query.tenant)
        lines = _gaps(connection, query, uids)
        rows, straddling = _sums(connection, query, uids)
    rows = _with_gaps(rows, lines, query.by)
    return Report(
        query=query,
        known=bool(uids),
        rows=rows,
        packets=sum(r.packets for r in rows),
        bytes=sum(r.bytes for r in rows),
        straddling_bytes=straddling,
        gap_count=len(lines),
        gap_bound=_bound(lines),
        gaps=lines[:GAPS_SHOWN],
    )


def _tenant_uids(connection: sa.Connection, tenant: str) -> tuple[str, ...]:
    if tenant == UNATTRIBUTED:
        return ("",)
    named = sa.or_(TENANTS.c.tenant_name == tenant, TENANTS.c.tenant_uid == tenant)
    found = set(connection.execute(sa.select(TENANTS.c.tenant_uid).where(named)).scalars())
    if tenant in found:
        return (tenant,)
    if len(found) > 1:
        raise Conflict(
            Fault(
                f"tenant {tenant}",
                "tenant-name-reused",
                f"{len(found)} tenants bore this name, one after the other: {', '.join(sorted(found))}",
                "ask for one of these uids",
            )
        )
    return tuple(found)


def _sums(connection: sa.Connection, query: Query, uids: tuple[str, ...]) -> tuple[tuple[Row, ...], int]:
    """Rows in order of their names, and the straddling bytes."""
    table = usage(connection, Window(query.from_ms, query.to_ms, uids)).c
    key, name = _columns(query.by, table)
    statement = (
        sa.select(
            key,
            name,
            sa.func.max(table.last_ms),
            sa.func.sum(table.packets),
            sa.func.sum(table.bytes),
            sa.func.sum(table.intervals),
            sa.func.sum(table.carried_bytes),
        )
        .group_by(key, name)
        .order_by(sa.func.max(table.last_ms), name)
    )
    merged: dict[tuple[str, str], Row] = {}
    straddling = 0
    for raw_key, raw_name, _, packets, size, count, carried in connection.execute(statement):
        # Another name of a class id is another class. Ports and networks keep their uid: the last name wins.
        place = (str(raw_key), raw_name if query.by is Grouping.CLASS else "")
        old = merged.get(place, Row(str(raw_key), raw_name, 0, 0, 0))
        merged[place] = Row(
            str(raw_key),
            raw_name,
            old.packets + int(packets),
            old.bytes + int(size),
            old.intervals + int(count),
        )
        straddling += int(carried)
    return tuple(sorted(merged.values(), key=lambda r: (r.name, r.key))), straddling


def _columns(by: Grouping, table: Any) -> tuple[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    match by:
        case Grouping.PORT:
            return table.port_uid, table.port_name
        case Grouping.CLASS:
            return table["class"], table.class_name
        case Grouping.HOST:
            return table.host, table.host
        case Grouping.NETWORK:
            return table.network_uid, table.network_name


def _gaps(connection: sa.Connection, query: Query, uids: tuple[str, ...]) -> tuple[GapLine, ...]:
    table = GAPS.c
    columns = [table[name] for name in GapLine.__dataclass_fields__]
    statement = (
        sa.select(*columns)
        .where(table.tenant_uid.in_(uids), table.from_ms < query.to_ms, table.to_ms >= query.from_ms)
        .order_by(table.from_ms, table.host, table.port, table.sequence)
    )
    return tuple(GapLine(*row) for row in connection.execute(statement))


def _with_gaps(rows: tuple[Row, ...], gaps: tuple[GapLine, ...], by: Grouping) -> tuple[Row, ...]:
    """Each row with the gaps that touch it; a row of its own for gaps without intervals."""
    if by is Grouping.CLASS:
        return tuple(replace(r, gaps=len(gaps), gap_bound=_bound(gaps)) for r in rows)
    grouped: dict[str, list[GapLine]] = {}
    names: dict[str, str] = {}
    for gap in gaps:
        key, name = _gap_key(gap, by)
        grouped.setdefault(key, []).append(gap)
        names[key] = name
    known = {r.key for r in rows}
    bare = tuple(Row(key, names[key], 0, 0, 0) for key in grouped if key not in known)
    full = (
        replace(r, gaps=len(grouped.get(r.key, ())), gap_bound=_bound(grouped.get(r.key, ())))
        for r in rows + bare
    )
    return tuple(sorted(full, key=lambda r: (r.name, r.key)))


def _gap_key(gap: GapLine, by: Grouping) -> tuple[str, str]:
    match by:
        case Grouping.HOST:
            return gap.host, gap.host
        case Grouping.NETWORK:
            return gap.network_uid, gap.network_name
        case _:
            return gap.port_uid, gap.port_name


def _bound(gaps: Iterable[GapLine]) -> int | None:
    """The sum of the bounds; None as soon as one is unknown."""
    bounds = [gap.bound for gap in gaps]
    known = [b for b in bounds if b is not None]
    return sum(known) if len(known) == len(bounds) else None
