"""Ledgers for the accounting tests: on SQLite, and on a PostgreSQL that is started when one is asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from accounting.ledger import Ledger, sqlite_url
from tests.postgresql import Postgresql


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Postgresql]:
    """One server for all tests of this process; each test asks it for a database of its own."""
    made = Postgresql()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], str]:
    """Makes URLs of empty databases."""
    if request.param == "postgresql":
        server: Postgresql = request.getfixturevalue("postgresql")
        return server.schema
    names = iter(range(1_000))
    return lambda: sqlite_url(tmp_path / f"ledger{next(names)}.db")


@pytest.fixture
def url(fresh: Callable[[], str]) -> str:
    """The URL of an empty database."""
    return fresh()


@pytest.fixture
def ledger(url: str) -> Iterator[Ledger]:
    """An empty ledger."""
    made = Ledger(url)
    yield made
    made.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "ringfence-test", path], check=True, timeout=20)
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True, timeout=20)
