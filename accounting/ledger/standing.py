"""Standing: what an operator must know of a ledger: its size, its disk, gaps, conflicts, hours without sums.

Place: asked by the API twice a minute, for metrics and alarms. Only reads; its questions stay cheap as the
ledger grows.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from accounting.ledger.database import Ledger
from accounting.ledger.tables import CONFLICTS, GAPS, UNITS, UnitState
from model.errors import RingfenceError


@dataclass(frozen=True, slots=True)
class Account:
    """`size`: bytes of the database. `gaps`: by cause. `conflicts`: records refused, with repetitions.
    `stale`: hours of hosts that are not summed up; `oldest_stale_ms`: the begin of the earliest, None = none.
    """

    size: int
    gaps: Mapping[str, int]
    conflicts: int
    stale: int
    oldest_stale_ms: int | None


def account(ledger: Ledger) -> Account:
    """As it is now. Unavailable: the database does not answer."""
    by_cause = sa.select(GAPS.c.cause, sa.func.count()).group_by(GAPS.c.cause).order_by(GAPS.c.cause)
    stale = sa.select(sa.func.count(), sa.func.min(UNITS.c.hour_ms)).where(UNITS.c.state == UnitState.STALE)
    refused = sa.select(sa.func.coalesce(sa.func.sum(CONFLICTS.c.times), 0))
    with ledger.reading() as connection:
        gaps = {str(cause): int(count) for cause, count in connection.execute(by_cause)}
        hours, oldest = connection.execute(stale).one()
        conflicts = int(connection.execute(refused).scalar_one())
        if connection.dialect.name == "postgresql":
            size = connection.execute(sa.text("SELECT pg_database_size(current_database())")).scalar_one()
        else:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            size = pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()
    return Account(int(size), gaps, conflicts, int(hours), oldest)


def disk_of(ledger: Ledger) -> Path | None:
    """Where on this machine the ledger grows; None if that is elsewhere, or the server does not tell us."""
    try:
        with ledger.reading() as connection:
            url = connection.engine.url
            if connection.dialect.name != "postgresql":
                return Path(url.database) if url.database and os.path.exists(url.database) else None
            where = url.query.get("host") or url.host or "/"
            if not str(where).startswith("/"):
                return None
            told = connection.exec_driver_sql("SELECT current_setting('data_directory')").scalar_one()
            return Path(str(told))
    except RingfenceError:
        return None
