"""Ledgers for the accounting tests: on SQLite, on a PostgreSQL that is started when one is asked for, and one
with a month in it behind an API.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from accounting.ledger import Ledger, engine, sqlite_url
from controller.cli import main
from tests.postgresql import Postgresql
from tests.unit.accounting.october import PRICES, a_site
from tests.unit.accounting.test_upload import Site


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine writers of one SQLite file wait for each other longer than an API should have them
    wait; no test here is about how long."""
    monkeypatch.setattr(engine, "_BUSY_MS", 100_000)


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


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """For those who only read."""
    with a_site(tmp_path_factory.mktemp("site")) as made:
        yield made


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """For one who posts."""
    with a_site(tmp_path) as made:
        yield made


@pytest.fixture
def run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Types a command in the directory of the price list: to the test's own site, if it has one."""
    place: Site = request.getfixturevalue("site" if "site" in request.fixturenames else "shared")
    (tmp_path / "prices.yaml").write_text(PRICES)
    monkeypatch.chdir(tmp_path)

    def typed(*words: str) -> tuple[int, str, str]:
        try:
            code = main.main(["--api", f"unix:{place.socket}", "egress", *words])
        except SystemExit as stop:
            code = int(str(stop.code))
        out = capfd.readouterr()
        return code, out.out, out.err

    return typed
