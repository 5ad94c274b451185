"""A ledger as the program made it before there were migrations: its tables, written down as SQL.

Place: what the tests of migrations begin with. Must not follow the product: this is what is out there.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from accounting.ledger.database import _row
from accounting.records import Gap, Interval

_RUN = """host VARCHAR(255) NOT NULL, boot_id VARCHAR(255) NOT NULL, vswitchd_start VARCHAR(255) NOT NULL,
    port INTEGER NOT NULL, sequence BIGINT NOT NULL"""
_OWNER = """port_uid VARCHAR(255) NOT NULL, port_name VARCHAR(255) NOT NULL, tenant_uid VARCHAR(255) NOT NULL,
    tenant_name VARCHAR(255) NOT NULL, network_uid VARCHAR(255) NOT NULL, network_name VARCHAR(255) NOT NULL,
    from_ms BIGINT NOT NULL, to_ms BIGINT NOT NULL, digest {blob} NOT NULL"""
_STATEMENTS = (
    "CREATE TABLE ledger_meta (name VARCHAR(64) NOT NULL, value VARCHAR(255) NOT NULL, PRIMARY KEY (name))",
    f"""CREATE TABLE egress_interval ({_RUN}, class INTEGER NOT NULL, epoch INTEGER NOT NULL, {_OWNER},
    class_name VARCHAR(255) NOT NULL, packets BIGINT NOT NULL, bytes BIGINT NOT NULL,
    datapath VARCHAR(32) NOT NULL, header_bytes INTEGER NOT NULL, counter_packets BIGINT NOT NULL,
    counter_bytes BIGINT NOT NULL,
    PRIMARY KEY (host, boot_id, vswitchd_start, port, sequence, class, epoch))""",
    "CREATE INDEX egress_interval_by_tenant ON egress_interval (tenant_uid, to_ms)",
    "CREATE INDEX egress_interval_by_tenant_name ON egress_interval (tenant_name, tenant_uid)",
    f"""CREATE TABLE egress_gap ({_RUN}, {_OWNER}, cause VARCHAR(32) NOT NULL, bound BIGINT,
    PRIMARY KEY (host, boot_id, vswitchd_start, port, sequence))""",
    "CREATE INDEX egress_gap_by_tenant ON egress_gap (tenant_uid, to_ms)",
    """CREATE TABLE egress_conflict (key TEXT NOT NULL, digest {blob} NOT NULL, content TEXT NOT NULL,
    times BIGINT NOT NULL, PRIMARY KEY (key, digest))""",
    "INSERT INTO ledger_meta VALUES ('schema_version', '1')",
)


def make_old(url: str, intervals: Sequence[Interval], gaps: Sequence[Gap]) -> None:
    """Such a ledger, holding these records."""
    engine = sa.create_engine(url)
    blob = "BYTEA" if engine.dialect.name == "postgresql" else "BLOB"
    with engine.begin() as connection:
        for statement in _STATEMENTS:
            connection.exec_driver_sql(statement.format(blob=blob))
        found = sa.MetaData()
        found.reflect(connection)
        for name, records in (("egress_interval", intervals), ("egress_gap", gaps)):
            if records:
                connection.execute(sa.insert(found.tables[name]), [_row(record) for record in records])
    engine.dispose()
