"""The way in: a minute's uploads of 1,000 hosts through the API into PostgreSQL, processes as in production.

Place: part of the benchmark `ledger`. The API is a process of its own, as `ringfenced api` runs it, and so
is each sender, which posts bodies made before, each on a connection of its own, as agents do.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import sqlalchemy as sa

from accounting.encode import plain
from controller.agent.upload import UnixPost
from controller.cli.client import Api, Refused, Unreachable
from tests.bench.figures import Row, Table, spread
from tests.bench.interval import HOSTS, ROWS, batch

SENDERS = 2
AT_ONCE = 8
"""Connections of each sender that wait for an answer at the same time."""
PATIENCE = 60.0
ROOT = Path(__file__).parents[2]
_API = """
import sys
from pathlib import Path
from controller.api.serve import run
from controller.api.settings import Settings
run(Settings("unix:/nowhere/store.sock", Path(sys.argv[1]), "no-such-group", sys.argv[2]))
"""
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Took:
    """`api`, `database`: processor seconds; `each`: seconds until the answer to each batch."""

    wall: float
    api: float
    database: float
    each: list[float]


def table(url: str, hosts: int, minutes: int) -> Table:
    """`minutes` of uploads of `hosts`, all at once, into an empty PostgreSQL."""
    took = _run(url, hosts, minutes)
    batches = hosts * minutes
    rows, wanted = batches * ROWS, HOSTS * ROWS / 60
    p50, p99, _ = spread(took.each)
    line = (
        rows / took.wall,
        rows / took.wall / wanted,
        p50,
        p99,
        took.api / batches * 1e3,
        took.database / batches * 1e3,
        100 * (took.api + took.database) / rows * wanted,
    )
    return Table(
        "Uploads through the API into PostgreSQL",
        ("rows/s", "times the need", "p50 ms", "p99 ms", "API ms", "database ms", "% of a core"),
        (Row(f"through the API, {SENDERS * AT_ONCE} connections of {SENDERS} senders", line),),
        (
            f"{rows:,} rows, {ROWS} in a request, each acknowledged when it is on disk; the need:"
            f" {wanted:,.0f} rows/s, {HOSTS:,} hosts that upload {ROWS} a minute",
            "ms: processor time for a request, of the API's process and of all of PostgreSQL's;"
            " % of a core: both, at the need. Senders, which hosts are, take theirs from the same cores",
        ),
    )


def _run(url: str, hosts: int, minutes: int) -> Took:
    with tempfile.TemporaryDirectory(prefix="rfarrive") as folder:
        bodies = Path(folder) / "bodies"
        with bodies.open("wb") as out:
            for minute in range(minutes):
                for host in range(hosts):
                    records = batch(host, minute)
                    body = {"host": records[0].run.host, "records": [plain(record) for record in records]}
                    out.write(json.dumps(body, separators=(",", ":")).encode() + b"\n")
        with _api(Path(folder) / "api.sock", url) as (socket, process):
            server = _leader(url)
            before = _processor(process.pid), _family(server)
            began = time.perf_counter()
            each = _sent(socket, bodies)
            wall = time.perf_counter() - began
            after = _processor(process.pid), _family(server)
        engine = sa.create_engine(url)
        with engine.connect() as connection:
            kept = connection.execute(sa.text("SELECT count(*) FROM egress_interval")).scalar_one()
        engine.dispose()
    if kept != hosts * minutes * ROWS:
        raise RuntimeError(f"the ledger holds {kept} rows, not {hosts * minutes * ROWS}")
    return Took(wall, after[0] - before[0], after[1] - before[1], each)


def _sent(socket: Path, bodies: Path) -> list[float]:
    """Seconds until each answer, of all senders."""
    commands = [
        [sys.executable, "-m", "tests.bench.arrivals", str(socket), str(bodies), str(number)]
        for number in range(SENDERS)
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    senders = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for command in commands]
    found = [json.loads(sender.communicate()[0] or b"null") for sender in senders]
    if any(sender.returncode for sender in senders):
        raise RuntimeError("a sender failed")
    return [seconds for some in found for seconds in some]


@contextmanager
def _api(socket: Path, url: str) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    process = subprocess.Popen(
        [sys.executable, "-c", _API, str(socket), url],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(socket)
        yield socket, process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(socket: Path) -> None:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            Api(f"unix:{socket}").get("/v1/usage/sums")
            return
        except (Unreachable, Refused) as error:
            if time.monotonic() > end:
                raise TimeoutError("the API does not answer") from error
            time.sleep(0.05)


def _leader(url: str) -> int:
    """The process of which all of PostgreSQL's others are children."""
    made = sa.make_url(url)
    query = {key: value for key, value in made.query.items() if isinstance(value, str)}
    with psycopg.connect(dbname=made.database, user=made.username, **query) as connection:
        return _parent(connection.info.backend_pid)


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


def _processor(pid: int) -> float:
    """Processor seconds of a process, and of its children that have ended (proc(5))."""
    return sum(map(int, _stat(pid)[11:15])) / _TICK


def _family(leader: int) -> float:
    """The same of PostgreSQL: its leader, and the children that live."""
    total = _processor(leader)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if _parent(int(entry.name)) == leader:
                    total += _processor(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    return total


def _send(socket: Path, bodies: Path, number: int) -> None:
    """One sender: its share of the bodies, a few at a time; prints the seconds of each."""
    mine = bodies.read_bytes().splitlines()[number::SENDERS]
    post, seconds, problems = UnixPost(socket), [], []

    def work(some: list[bytes]) -> None:
        try:
            for body in some:
                began = time.perf_counter()
                status, answer = post(body)
                seconds.append(time.perf_counter() - began)
                if status != 200 or json.loads(answer)["accepted"] != ROWS:
                    raise RuntimeError(f"the API answers {status}: {answer[:300]!r}")
        except BaseException as error:  # noqa: BLE001
            problems.append(error)

    threads = [threading.Thread(target=work, args=(mine[n::AT_ONCE],)) for n in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    print(json.dumps(seconds))


if __name__ == "__main__":
    _send(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
