"""Two processes of the API on one PostgreSQL: both take uploads, both sum up, and it counts once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from accounting.encode import plain
from accounting.ledger import HOURS, Ledger
from controller.cli.client import Api, Refused, Unreachable
from tests.postgresql import Postgresql
from tests.unit.accounting.test_rollup import at, contents, of, rows

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from controller.api.serve import run
from controller.api.settings import Settings
run(Settings("unix:/nowhere/store.sock", Path(sys.argv[1]), "no-such-group", sys.argv[2]))
"""


def _start(socket: Path, url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(socket), url],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )


def _ask(socket: Path, wanted: Any, target: str) -> Any:
    """The answer, as soon as it is what is `wanted`."""
    deadline = time.monotonic() + 90
    while True:
        found: Any = None
        try:
            found = Api(f"unix:{socket}").get(target)
            if wanted(found):
                return found
        except (Unreachable, Refused) as error:
            found = error
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_two_processes_take_the_same_and_count_it_once(postgresql: Postgresql, tmp_path: Path):
    url = postgresql.schema()
    ledger = Ledger(url)
    batch = [of(n, at(1, n % 24, n % 60), bytes=1 << (n % 40)) for n in range(200)]
    ledger.post(batch[:150])
    sockets = [tmp_path / "one.sock", tmp_path / "two.sock"]
    processes = [_start(socket, url) for socket in sockets]
    try:
        for socket in sockets:
            _ask(socket, lambda found: found["stale"] == 0 and found["rolled"] == 24, "/v1/usage/sums")
        body = {"host": "hv1", "records": [plain(interval) for interval in batch]}
        receipts = [Api(f"unix:{socket}").post("/v1/usage", body=body) for socket in sockets]
        assert [(r["accepted"], r["repeated"]) for r in receipts] == [(50, 150), (0, 200)]
        # Killed and started again, it sums up what it finds.
        processes[0].send_signal(signal.SIGKILL)
        processes[0].wait(30)
        processes[0] = _start(sockets[0], url)
        _ask(sockets[0], lambda found: found["stale"] == 0, "/v1/usage/sums")
        for process in processes:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in processes] == [0, 0]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait(30)
    assert sum(row["bytes"] for row in rows(ledger, HOURS)) == sum(i.bytes for i in batch)
    assert sum(len(table) for table in contents(ledger)) == 25
    ledger.close()
