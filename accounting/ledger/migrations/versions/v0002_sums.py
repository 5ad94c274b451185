"""0002: hourly and daily sums, names of tenants, and what is known of intervals that are no longer kept.

Place: run by Alembic. Must not import today's tables: this is what they became then. What a ledger holds
already is marked as not summed up yet; the sums follow, a few hours at a time, while it serves.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0002"
down_revision: Final = "0001"
branch_labels: Final = None
depends_on: Final = None

_NAME: Final = sa.String(255)
_WHOLE: Final = sa.BigInteger()
_FILL: Final = (
    "INSERT INTO egress_unit (host, hour_ms, state, changes)"
    " SELECT host, to_ms - to_ms % 3600000, 0, 1 FROM egress_interval"
    " GROUP BY host, to_ms - to_ms % 3600000",
    "INSERT INTO egress_tenant (tenant_uid, tenant_name)"
    " SELECT tenant_uid, tenant_name FROM egress_interval"
    " UNION SELECT tenant_uid, tenant_name FROM egress_gap",
    # A program that knows no sums would post intervals that they then lack: it refuses this version.
    "UPDATE ledger_meta SET value = '2' WHERE name = 'schema_version'",
)


def upgrade() -> None:
    """Five tables more, and an index of a host's hours in place of one of names."""
    op.create_table(
        "egress_tenant",
        sa.Column("tenant_uid", _NAME, primary_key=True),
        sa.Column("tenant_name", _NAME, primary_key=True),
    )
    op.create_index("egress_tenant_by_name", "egress_tenant", ["tenant_name"])
    op.create_table(
        "egress_unit",
        *_key("hour_ms"),
        sa.Column("state", sa.SmallInteger, nullable=False),
        sa.Column("changes", _WHOLE, nullable=False),
    )
    op.create_index("egress_unit_by_state", "egress_unit", ["state", "hour_ms"])
    sealed = sa.Column("sealed", sa.SmallInteger, nullable=False)
    op.create_table("egress_hour", *_key("hour_ms"), _place(), sealed, *_sums())
    op.create_index("egress_hour_by_tenant", "egress_hour", ["tenant_uid", "hour_ms"])
    op.create_table("egress_day", *_key("day_ms"), _place(), *_sums())
    op.create_index("egress_day_by_tenant", "egress_day", ["tenant_uid", "day_ms"])
    op.create_table(
        "egress_dropped",
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("boot_id", _NAME, primary_key=True),
        sa.Column("vswitchd_start", _NAME, primary_key=True),
        sa.Column("first_sequence", _WHOLE, primary_key=True, autoincrement=False),
        sa.Column("last_sequence", _WHOLE, nullable=False),
    )
    op.create_index("egress_interval_by_host", "egress_interval", ["host", "to_ms"])
    op.drop_index("egress_interval_by_tenant_name", "egress_interval")
    for statement in _FILL:
        op.execute(statement)


def _key(time: str) -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("host", _NAME, primary_key=True),
        sa.Column(time, _WHOLE, primary_key=True, autoincrement=False),
    )


def _place() -> sa.Column[Any]:
    return sa.Column("place", sa.Integer, primary_key=True, autoincrement=False)


def _sums() -> tuple[sa.Column[Any], ...]:
    names = ("port_uid", "port_name", "tenant_uid", "tenant_name", "network_uid", "network_name")
    numbers = ("first_ms", "last_ms", "packets", "bytes", "carried_bytes", "intervals")
    return (
        *(sa.Column(name, _NAME, nullable=False) for name in names),
        sa.Column("class", sa.Integer, nullable=False),
        sa.Column("class_name", _NAME, nullable=False),
        sa.Column("datapath", sa.String(32), nullable=False),
        *(sa.Column(name, _WHOLE, nullable=False) for name in numbers),
    )
