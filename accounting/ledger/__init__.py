"""The ledger: intervals and gaps in one central database, their hourly and daily sums, and for how long.

Place: opened by the API alone; read by `accounting.report`. `tables` says what is kept, `migrations` how a
ledger of an older version gets there, `database` posts, `rollup` sums up, `retention` lets go of single
intervals, `sources` tells a report where to read. Must not correct or estimate.
"""

from accounting.ledger.database import Ledger, Receipt
from accounting.ledger.engine import sqlite_url
from accounting.ledger.tables import (
    BALANCES,
    CONFLICTS,
    DAYS,
    GAPS,
    HOURS,
    INTERVALS,
    META,
    METADATA,
    TENANTS,
    UNITS,
)

__all__ = [
    "BALANCES",
    "CONFLICTS",
    "DAYS",
    "GAPS",
    "HOURS",
    "INTERVALS",
    "META",
    "METADATA",
    "TENANTS",
    "UNITS",
    "Ledger",
    "Receipt",
    "sqlite_url",
]
