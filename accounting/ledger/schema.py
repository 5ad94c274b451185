"""Schema: brings a database to the tables that this program knows, in one transaction, or refuses it.

Place: called when a ledger is opened, one at a time in a process: Alembic keeps what it works on in its
module. Must not touch a ledger that a newer program wrote, and never goes back: an older program refuses
what this one made.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from accounting.ledger.engine import lock
from accounting.ledger.tables import META
from model.errors import Fault, Unavailable

BASE: Final = "0001"
"""What a ledger of before the migrations is."""
HEAD: Final = "0003"
"""The revision of `tables`."""
REVISIONS: Final = (BASE, "0002", HEAD)
VERSION_TABLE: Final = "ledger_version"
"""Alembic's; a name of our own, since the database may be another program's too."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x52_46_4C_01
_KNOWN: Final = ("1", "2", "3")
"""`schema_version` in `ledger_meta`: what programs look at that know no migrations."""


def prepare(connection: sa.Connection) -> None:
    """Make or upgrade the tables. Unavailable: the ledger is newer than this program."""
    lock(connection, _LOCK)
    tables = set(sa.inspect(connection).get_table_names())
    found = _revision(connection, tables)
    if found == HEAD:
        return
    settings = _settings(connection)
    if found is None and META.name in tables:
        command.stamp(settings, BASE)
    command.upgrade(settings, HEAD)


def hold(connection: sa.Connection) -> None:
    """Hold the tables as they are till the transaction ends. Unavailable: another process has upgraded them.

    A process that went on as before could leave out what a newer one relies on.
    """
    version = sa.table(VERSION_TABLE, sa.column("version_num", sa.String()))
    found = connection.execute(sa.select(version.c.version_num).with_for_update(read=True)).scalar()
    if found != HEAD:
        raise _newer(f"revision {found}", f"revision {HEAD}")


def _revision(connection: sa.Connection, tables: set[str]) -> str | None:
    """None: nothing of ours is there, or a ledger of before the migrations."""
    if META.name in tables:
        said = connection.execute(sa.select(META.c.value).where(META.c.name == "schema_version")).scalar()
        if said not in _KNOWN:
            raise _newer(f"schema version {said}", f"versions {', '.join(_KNOWN)}")
    if VERSION_TABLE not in tables:
        return None
    version = sa.table(VERSION_TABLE, sa.column("version_num"))
    found = connection.execute(sa.select(version.c.version_num)).scalars().all()
    for revision in found:
        if revision not in REVISIONS:
            raise _newer(f"revision {revision}", f"revisions {', '.join(REVISIONS)}")
    return max(found, default=None)


def _settings(connection: sa.Connection) -> Config:
    settings = Config()
    # ConfigParser would take a percent sign in a folder's name for a reference.
    settings.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    settings.set_main_option("path_separator", "os")
    settings.attributes["connection"] = connection
    settings.attributes["version_table"] = VERSION_TABLE
    return settings


def _newer(found: str, known: str) -> Unavailable:
    return Unavailable(
        Fault(
            "egress ledger",
            "ledger-version",
            f"the ledger has {found}, this program knows {known}",
            "start the version that wrote it, or one that can upgrade it",
        )
    )
