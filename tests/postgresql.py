"""A PostgreSQL server of a test's own: made, started and ended by it, on a unix socket in its own folder.

Place: started by tests and benchmarks that need the real one. Must not touch a server of this machine, open
TCP, or outlive the process that made it.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import LiteralString

import psycopg
import sqlalchemy as sa

PATIENCE = 60.0
USER = "postgres"
"""Of Debian's package. PostgreSQL refuses to run as root."""


def programs() -> Path:
    """The folder of the newest PostgreSQL that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3]))
    assert found, "PostgreSQL is missing: run 'make setup'"
    return found[-1].parent


@dataclass
class Postgresql:
    """One server. `options`: settings, as on its command line."""

    options: Sequence[str] = ()
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="rfpg")))
    _process: subprocess.Popen[bytes] | None = None
    _made: int = 0

    def start(self) -> None:
        """Until it answers. A second start goes on with what is on disk."""
        data = self.folder / "data"
        if not data.exists():
            account = pwd.getpwnam(USER)
            os.chown(self.folder, account.pw_uid, account.pw_gid)
            made = subprocess.run(
                [*_as_user(), programs() / "initdb", "-D", data, "-U", USER, "-A", "trust", "-E", "UTF8",
                 "--locale=C.UTF-8", "--no-sync"],
                capture_output=True, text=True, timeout=PATIENCE, cwd=self.folder,
            )  # fmt: skip
            assert made.returncode == 0, made.stderr
        settings = ("listen_addresses=", f"unix_socket_directories={self.folder}", *self.options)
        words = [word for setting in settings for word in ("-c", setting)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_as_user(), programs() / "postgres", "-D", data, *words],
                stdout=log, stderr=log, cwd=self.folder,
            )  # fmt: skip
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                psycopg.connect(host=str(self.folder), user=USER, dbname="postgres").close()
                return
            except psycopg.OperationalError as error:
                log_text = (self.folder / "log").read_text(errors="replace")
                assert self._process.poll() is None, log_text
                assert time.monotonic() < deadline, f"{error}\n{log_text}"
                time.sleep(0.05)

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"ledger{self._made}"
        self._execute(f"CREATE DATABASE {name}")
        return self._url(name)

    def schema(self) -> str:
        """The URL of an empty schema: to who uses it a database of its own, and a hundredth of the files."""
        self._made += 1
        name = f"ledger{self._made}"
        self._execute(f"CREATE SCHEMA {name}")
        return self._url("postgres", options=f"-csearch_path={name}")

    def _execute(self, statement: LiteralString) -> None:
        with psycopg.connect(
            host=str(self.folder), user=USER, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement)

    def _url(self, database: str, **more: str) -> str:
        query = {"host": str(self.folder), **more}
        return sa.URL.create(
            "postgresql+psycopg", username=USER, database=database, query=query
        ).render_as_string()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """As a power cut would, but for what the kernel holds: at once, and all of it."""
        assert self._process is not None
        self._process.send_signal(signal.SIGQUIT)
        self._process.wait(PATIENCE)
        self._process = None

    def stop(self) -> None:
        """End it and remove what it made."""
        if self._process is not None:
            self.kill()  # what it holds is not wanted: a tidy end would write all of it to the disk first
        shutil.rmtree(self.folder)


def _as_user() -> list[str | Path]:
    return [
        "setpriv", f"--reuid={USER}", f"--regid={USER}", "--init-groups", "--pdeathsig", "KILL", "--",
    ]  # fmt: skip
