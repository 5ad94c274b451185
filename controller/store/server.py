"""Server: the store on one machine: a standalone ovsdb-server that serves both databases and dies with us.

Place: started by `ringfenced store` and `ringfenced all`; a RAFT cluster is run by its own units instead and
only named by its remotes. Creates missing database files, upgrades old ones, refuses newer ones. Must not
write rows.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from controller.store.calling import Caller
from controller.store.faults import Lost
from controller.store.listening import Listening, parse_all
from controller.store.records import DATABASE, REPORTS
from controller.store.schema import VERSION, intent_schema, parse_version
from controller.store.schema_of_reports import reports_schema
from controller.store.showing import Showing
from controller.store.wire import Connection, check_version
from controller.tls.papers import Papers
from model.errors import Fault, Invalid, RingfenceError, Unavailable

log = logging.getLogger(__name__)

_TOOL_TIMEOUT: Final = 120.0
_START_TIMEOUT: Final = 20.0
_STOP_TIMEOUT: Final = 10.0
_POLL: Final = 0.02
_PATIENCE: Final = 5.0
"""Seconds for an answer of one that starts, at most."""
_PATH_LIMIT: Final = 107
"""Longest path of a unix socket, in bytes (unix(7))."""


class Server:
    """`directory` holds everything: files, socket, pid, log. `remotes`: what to listen on besides its socket,
    see `listening`. `papers`: its own, for those over TLS.

    Start it from a thread that lives as long as the server shall: the kernel ends the server when that thread
    ends (prctl(2), PR_SET_PDEATHSIG).
    """

    def __init__(
        self,
        directory: Path,
        remotes: Sequence[str] = (),
        socket: Path | None = None,
        papers: Papers | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._socket = (socket or self._directory / "store.sock").absolute()
        self._remotes = tuple(remotes)
        self._papers = papers
        self._showing: Showing | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def remote(self) -> str:
        """What clients connect to."""
        return f"unix:{self._socket}"

    @property
    def pid(self) -> int:
        """Process id of the running server; 0 if it does not run."""
        running = self._process is not None and self._process.poll() is None
        return self._process.pid if running and self._process is not None else 0

    def start(self) -> None:
        """Prepare the files, start, and return once it answers. Raises Invalid or Unavailable."""
        if len(str(self._socket).encode()) > _PATH_LIMIT:
            raise Invalid(
                Fault(
                    "store", "path-too-long", f"{self._socket} is too long for a socket", "Shorten the path."
                )
            )
        listening = parse_all(self._remotes, certified=self._papers is not None)
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o750)
        self._socket.parent.mkdir(parents=True, exist_ok=True)
        if self._papers is not None:
            self._showing = Showing(self._papers, self._socket.parent)
        try:
            self._launch(listening)
        except BaseException:
            self._hide()
            raise

    def _launch(self, listening: Sequence[Listening]) -> None:
        files = [self._prepare("ringfence.db", intent_schema())]
        files.append(self._prepare("reports.db", reports_schema()))
        self._process = subprocess.Popen(
            self._command(files, listening),
            env=None if self._showing is None else self._showing.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._await_answer(self._process)
        log.info("store started pid=%d remote=%s", self._process.pid, self.remote)

    def renew(self) -> None:
        """Let it show renewed certificates, if there are any; to be called every now and then."""
        if self._showing is not None:
            self._showing.renew()

    def stop(self) -> None:
        """End it in good order, or by force after ten seconds."""
        self._hide()
        process = self._process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(_STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(_STOP_TIMEOUT)
            log.info("store stopped pid=%d", process.pid)
        self._process = None

    def _hide(self) -> None:
        showing, self._showing = self._showing, None
        if showing is not None:
            showing.close()

    def _command(self, files: Sequence[Path], listening: Sequence[Listening]) -> list[str]:
        directory = self._directory
        return [
            _tool("setpriv"),
            "--pdeathsig",
            "KILL",
            _tool("ovsdb-server"),
            *(str(file) for file in files),
            f"--remote=punix:{self._socket}",
            *(f"--remote={place}" for place in listening),
            *(() if self._showing is None else self._showing.options()),
            f"--unixctl={directory / 'store.ctl'}",
            f"--pidfile={directory / 'store.pid'}",
            f"--log-file={directory / 'store.log'}",
            "--no-chdir",
            "-vconsole:off",
        ]

    def _await_answer(self, process: subprocess.Popen[bytes]) -> None:
        deadline, patience = time.monotonic() + _START_TIMEOUT, _POLL * 5
        connection = Connection(self.remote)
        try:
            while process.poll() is None and time.monotonic() < deadline:
                try:
                    connection.call("list_dbs", [], timeout=patience)
                    # Another server may hold this socket: then ours is about to end, with no pid written.
                    if self._written_pid() == process.pid:
                        return
                    time.sleep(_POLL)
                except Unavailable:
                    # Each time a new connection: on a slow machine none would ever come far enough.
                    patience = min(patience * 2, _PATIENCE)
                    time.sleep(_POLL)
        except RingfenceError:
            self.stop()
            raise
        finally:
            connection.close()
        self.stop()
        message = f"ovsdb-server did not come up: {self._last_words()}"
        raise Unavailable(
            Fault("store", "store-not-started", message, f"See {self._directory / 'store.log'}.")
        )

    def _written_pid(self) -> int:
        try:
            return int((self._directory / "store.pid").read_text())
        except (OSError, ValueError):
            return 0

    def _last_words(self) -> str:
        try:
            lines = (self._directory / "store.log").read_text(errors="replace").splitlines()
        except OSError:
            return "it wrote no log"
        return lines[-1] if lines else "its log is empty"

    def _prepare(self, name: str, schema: dict[str, Any]) -> Path:
        """The database file, made or upgraded where needed."""
        path = self._directory / name
        written = self._directory / f"{schema['name']}.ovsschema"
        written.write_text(json.dumps(schema, indent=1))
        if not path.exists():
            _run("ovsdb-tool", "create", str(path), str(written))
            return path
        upgrade(path, written)
        return path


def upgrade(path: Path, schema: Path) -> None:
    """Bring a database file to the schema's version; rows stay. The old file is kept beside it, named by
    version.

    Raises Invalid if the file is newer than the schema, or of another database.
    """
    found, ours = (
        _run("ovsdb-tool", "db-version", str(path)),
        _run("ovsdb-tool", "schema-version", str(schema)),
    )
    name, expected = _run("ovsdb-tool", "db-name", str(path)), _run("ovsdb-tool", "schema-name", str(schema))
    if name != expected:
        message = f"{path} holds database {name}, not {expected}"
        raise Invalid(Fault(f"database {expected}", "store-other", message, "Name the right directory."))
    if found == ours:
        return
    if parse_version(found) > parse_version(ours):
        raise Invalid(
            Fault(
                f"database {name}",
                "store-newer",
                f"{path} has schema {found}, newer than this program's {ours}",
                "Upgrade this program; the database can't be taken back.",
            )
        )
    shutil.copy2(path, path.with_name(f"{path.name}.{found}"))
    _run("ovsdb-tool", "convert", str(path), str(schema))
    log.info("store upgraded file=%s from=%s to=%s", path, found, ours)


def convert(remote: str, caller: Caller | None = None) -> None:
    """Bring a running database (of a RAFT cluster, which has no one file) to this program's version.

    Rows stay. Clients, this one too, are disconnected by the server and come back. Raises Invalid if the
    database is newer, Unavailable.
    """
    found: list[str] = []
    connection = Connection(remote, caller=caller, accept=found.append)
    try:
        connection.call("list_dbs", [])
        if parse_version(found[-1]) < parse_version(VERSION):
            log.info("store upgrade begins remote=%s from=%s to=%s", remote, found[-1], VERSION)
            try:
                connection.call("convert", [DATABASE, intent_schema()], _TOOL_TIMEOUT)
            except Lost:
                connection.call("list_dbs", [])  # connects again: `found` tells whether it was done
            else:
                found.append(VERSION)
        check_version(found[-1])
        _convert_reports(connection)
    finally:
        connection.close()


def _convert_reports(connection: Connection) -> None:
    if REPORTS not in connection.call("list_dbs", []):
        return
    ours, theirs = reports_schema(), connection.call("get_schema", [REPORTS])
    if parse_version(str(theirs["version"])) < parse_version(ours["version"]):
        connection.call("convert", [REPORTS, ours], _TOOL_TIMEOUT)


def _tool(name: str) -> str:
    # The daemons live in sbin, which is not on every user's PATH.
    found = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    if found is None:
        raise Unavailable(
            Fault(
                "store",
                "tool-missing",
                f"{name} is not installed",
                "Install openvswitch-switch and util-linux.",
            )
        )
    return found


def _run(tool: str, *arguments: str) -> str:
    done = subprocess.run(
        [_tool(tool), *arguments], capture_output=True, text=True, timeout=_TOOL_TIMEOUT, check=False
    )
    if done.returncode:
        message = f"{tool} {' '.join(arguments)}: {done.stderr.strip()}"
        raise Unavailable(Fault("store", "store-tool-failed", message, "See the message."))
    return done.stdout.strip()
