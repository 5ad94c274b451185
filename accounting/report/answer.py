"""Answer: one report, all of it from one state of the ledger.

Place: behind `accounting.report`. An interval is counted whole where its *end* lies in [from, to): so
adjacent reports never count a byte twice or leave one out. What intervals that began before `from` hold is
told as `straddling_bytes`: at most that much belongs before. Must not write.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from accounting.ledger import TENANTS, Ledger
from accounting.report.gaps import bound_of, gap_lines, with_gaps
from accounting.report.query import UNATTRIBUTED, Query, Report
from accounting.report.residuals import with_residuals
from accounting.report.sums import order, sums
from accounting.report.times import days_of
from model.errors import Conflict, Fault

GAPS_SHOWN: Final = 1_000


def report(ledger: Ledger, query: Query) -> Report:
    """The report. Conflict: several tenants bore this name (their uids are named then). Invalid: no such
    zone, too many rows, or a part of an hour is asked for of which only sums are kept.
    """
    days = days_of(query.zone, query.from_ms, query.to_ms)
    with ledger.reading() as connection:
        uids = tenant_uids(connection, query.tenant)
        lines = gap_lines(connection, query, uids)
        bare, straddling = sums(connection, query, days, uids)
        rows = with_gaps(bare, lines, query, days)
        rows, residual = with_residuals(connection, rows, query, days, uids)
        known = bool(uids) if uids is not None else _any_tenant(connection)
    return Report(
        query=query,
        known=known,
        rows=tuple(sorted(rows, key=lambda row: order(row, query))),
        packets=sum(r.packets for r in rows),
        bytes=sum(r.bytes for r in rows),
        straddling_bytes=straddling,
        gap_count=len(lines),
        gap_bound=bound_of(lines),
        gaps=lines[:GAPS_SHOWN],
        residual=residual,
    )


def tenant_uids(connection: sa.Connection, tenant: str | None) -> tuple[str, ...] | None:
    """Whom a name or uid means: none, if the ledger never met it; None for all tenants. Conflict."""
    if tenant is None:
        return None
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


def _any_tenant(connection: sa.Connection) -> bool:
    return connection.execute(sa.select(TENANTS.c.tenant_uid).limit(1)).first() is not None
