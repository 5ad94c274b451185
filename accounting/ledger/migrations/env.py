"""Env: what Alembic runs to reach the database: the connection and transaction that `schema` holds already.

Place: loaded by Alembic, by its name. Must not open a connection: all of an upgrade is one transaction.
"""

from __future__ import annotations

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    version_table=context.config.attributes["version_table"],
    # SQLite's tables can be made and changed within a transaction; Alembic believes it of few databases.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
