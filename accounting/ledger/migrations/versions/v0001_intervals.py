"""0001: intervals, gaps and conflicts, as before there were migrations. Ledgers of that time are adopted.

Place: run by Alembic. Must not import today's tables: this is what they were.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0001"
down_revision: Final = None
branch_labels: Final = None
depends_on: Final = None

_NAME: Final = sa.String(255)
_WHOLE: Final = sa.BigInteger()


def upgrade() -> None:
    """Tables of version 1."""
    meta = op.create_table(
        "ledger_meta",
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("value", sa.String(255), nullable=False),
    )
    op.bulk_insert(meta, [{"name": "schema_version", "value": "1"}])
    op.create_table(
        "egress_interval",
        *_run(),
        sa.Column("class", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("epoch", sa.Integer, primary_key=True, autoincrement=False),
        *_owner(),
        sa.Column("class_name", _NAME, nullable=False),
        sa.Column("packets", _WHOLE, nullable=False),
        sa.Column("bytes", _WHOLE, nullable=False),
        sa.Column("datapath", sa.String(32), nullable=False),
        sa.Column("header_bytes", sa.Integer, nullable=False),
        sa.Column("counter_packets", _WHOLE, nullable=False),
        sa.Column("counter_bytes", _WHOLE, nullable=False),
    )
    op.create_index("egress_interval_by_tenant", "egress_interval", ["tenant_uid", "to_ms"])
    op.create_index("egress_interval_by_tenant_name", "egress_interval", ["tenant_name", "tenant_uid"])
    op.create_table(
        "egress_gap",
        *_run(),
        *_owner(),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("bound", _WHOLE, nullable=True),
    )
    op.create_index("egress_gap_by_tenant", "egress_gap", ["tenant_uid", "to_ms"])
    op.create_table(
        "egress_conflict",
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("digest", sa.LargeBinary(32), primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("times", _WHOLE, nullable=False),
    )


def _run() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("boot_id", _NAME, primary_key=True),
        sa.Column("vswitchd_start", _NAME, primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", _WHOLE, primary_key=True, autoincrement=False),
    )


def _owner() -> tuple[sa.Column[Any], ...]:
    names = ("port_uid", "port_name", "tenant_uid", "tenant_name", "network_uid", "network_name")
    return (
        *(sa.Column(name, _NAME, nullable=False) for name in names),
        sa.Column("from_ms", _WHOLE, nullable=False),
        sa.Column("to_ms", _WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
    )
