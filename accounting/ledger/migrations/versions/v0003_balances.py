"""0003: what ports' interfaces took in, beside what was counted of it.

Place: run by Alembic. Must not import today's tables: this is what they became then.
"""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from alembic import op

revision: Final = "0003"
down_revision: Final = "0002"
branch_labels: Final = None
depends_on: Final = None

_NAME: Final = sa.String(255)
_WHOLE: Final = sa.BigInteger()


def upgrade() -> None:
    """One table more."""
    names = ("port_uid", "port_name", "tenant_uid", "tenant_name", "network_uid", "network_name")
    op.create_table(
        "egress_balance",
        sa.Column("host", _NAME, primary_key=True),
        sa.Column("boot_id", _NAME, primary_key=True),
        sa.Column("vswitchd_start", _NAME, primary_key=True),
        sa.Column("port", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("sequence", _WHOLE, primary_key=True, autoincrement=False),
        *(sa.Column(name, _NAME, nullable=False) for name in names),
        sa.Column("from_ms", _WHOLE, nullable=False),
        sa.Column("to_ms", _WHOLE, nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("wire_bytes", _WHOLE, nullable=True),
        sa.Column("counted_bytes", _WHOLE, nullable=False),
    )
    op.create_index("egress_balance_by_tenant", "egress_balance", ["tenant_uid", "from_ms"])
    op.create_index("egress_balance_by_time", "egress_balance", ["from_ms"])
    # A program of before would refuse the records, and agents would put them aside: it refuses this version.
    op.execute("UPDATE ledger_meta SET value = '3' WHERE name = 'schema_version'")
