"""Tables: what the ledger keeps, as SQLAlchemy writes it. Pure declarations.

Place: read by everything in this room and by reports. The migrations say the same once more, version by
version, and a test compares the two. Must not be changed without a migration.

Times are Unix milliseconds (UTC); hours and days are named by their first millisecond and end before their
last. Bytes are layer-3 bytes.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Final

import sqlalchemy as sa

from accounting.records import DAY as DAY
from accounting.records import HOUR as HOUR

METADATA: Final = sa.MetaData()
_NAME = sa.String(255)
_WHOLE = sa.BigInteger()


class UnitState(IntEnum):
    """Of one host's hour."""

    STALE = 0
    """Its intervals are not in the sums, or not all of them: reports read the intervals themselves."""
    ROLLED = 1
    """Its sums are those of its intervals."""
    SEALED = 2
    """Its sums are all that is left of its intervals."""


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
    )


def _reading_columns() -> tuple[sa.Column[Any], ...]:
    return (
        *_owner_columns(),
        sa.Column("from_ms", _WHOLE, nullable=False),
        sa.Column("to_ms", _WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
    )


def _sum_columns() -> tuple[sa.Column[Any], ...]:
    """`first_ms`, `last_ms`: the earliest begin and the latest end of the intervals.

    `carried_bytes`: of the intervals that began before this hour or day.
    """
    return (
        *_owner_columns(),
        sa.Column("class", sa.Integer, nullable=False),
        sa.Column("class_name", _NAME, nullable=False),
        sa.Column("datapath", sa.String(32), nullable=False),
        sa.Column("first_ms", _WHOLE, nullable=False),
        sa.Column("last_ms", _WHOLE, nullable=False),
        sa.Column("packets", _WHOLE, nullable=False),
        sa.Column("bytes", _WHOLE, nullable=False),
        sa.Column("carried_bytes", _WHOLE, nullable=False),
        sa.Column("intervals", _WHOLE, nullable=False),
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
    *_reading_columns(),
    sa.Column("class_name", _NAME, nullable=False),
    sa.Column("packets", _WHOLE, nullable=False),
    sa.Column("bytes", _WHOLE, nullable=False),
    sa.Column("datapath", sa.String(32), nullable=False),
    sa.Column("header_bytes", sa.Integer, nullable=False),
    sa.Column("counter_packets", _WHOLE, nullable=False),
    sa.Column("counter_bytes", _WHOLE, nullable=False),
    sa.Index("egress_interval_by_tenant", "tenant_uid", "to_ms"),
    sa.Index("egress_interval_by_host", "host", "to_ms"),
)
GAPS: Final = sa.Table(
    "egress_gap",
    METADATA,
    *_run_columns(),
    *_reading_columns(),
    sa.Column("cause", sa.String(32), nullable=False),
    sa.Column("bound", _WHOLE, nullable=True),
    sa.Index("egress_gap_by_tenant", "tenant_uid", "to_ms"),
)
BALANCES: Final = sa.Table(
    "egress_balance",
    METADATA,
    *_run_columns(),
    *_reading_columns(),
    sa.Column("wire_bytes", _WHOLE, nullable=True),
    sa.Column("counted_bytes", _WHOLE, nullable=False),
    sa.Index("egress_balance_by_tenant", "tenant_uid", "from_ms"),
    sa.Index("egress_balance_by_time", "from_ms"),
)
"""What interfaces took in beside what was counted, with layer-2 headers: of the hour in which it begins."""
CONFLICTS: Final = sa.Table(
    "egress_conflict",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary(32), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("times", _WHOLE, nullable=False),
)
TENANTS: Final = sa.Table(
    "egress_tenant",
    METADATA,
    sa.Column("tenant_uid", _NAME, primary_key=True),
    sa.Column("tenant_name", _NAME, primary_key=True),
    sa.Index("egress_tenant_by_name", "tenant_name"),
)
"""Every name that a tenant bore in an interval or a gap."""
UNITS: Final = sa.Table(
    "egress_unit",
    METADATA,
    sa.Column("host", _NAME, primary_key=True),
    sa.Column("hour_ms", _WHOLE, primary_key=True, autoincrement=False),
    sa.Column("state", sa.SmallInteger, nullable=False),
    sa.Column("changes", _WHOLE, nullable=False),
    sa.Index("egress_unit_by_state", "state", "hour_ms"),
)
"""What is summed up at once: the intervals of one host that ended in one hour. `changes`: posts."""
HOURS: Final = sa.Table(
    "egress_hour",
    METADATA,
    sa.Column("host", _NAME, primary_key=True),
    sa.Column("hour_ms", _WHOLE, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sealed", sa.SmallInteger, nullable=False),
    *_sum_columns(),
    sa.Index("egress_hour_by_tenant", "tenant_uid", "hour_ms"),
)
"""Sums of a unit. `sealed` 1: their intervals are no longer kept, so this row is made never again.

`place` numbers a unit's rows, so that no fault can put the same sums in twice.
"""
DAYS: Final = sa.Table(
    "egress_day",
    METADATA,
    sa.Column("host", _NAME, primary_key=True),
    sa.Column("day_ms", _WHOLE, primary_key=True, autoincrement=False),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    *_sum_columns(),
    sa.Index("egress_day_by_tenant", "tenant_uid", "day_ms"),
)
"""Sums of a host's hours of one day."""
DROPPED: Final = sa.Table(
    "egress_dropped",
    METADATA,
    sa.Column("host", _NAME, primary_key=True),
    sa.Column("boot_id", _NAME, primary_key=True),
    sa.Column("vswitchd_start", _NAME, primary_key=True),
    sa.Column("first_sequence", _WHOLE, primary_key=True, autoincrement=False),
    sa.Column("last_sequence", _WHOLE, nullable=False),
)
"""Which intervals were here and are no longer kept, so that a repeated upload of one is known as such."""


def hour_of(at_ms: int) -> int:
    """The hour that `at_ms` is in."""
    return at_ms - at_ms % HOUR


def day_of(at_ms: int) -> int:
    """The day that `at_ms` is in."""
    return at_ms - at_ms % DAY
