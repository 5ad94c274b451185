"""The API as a process: starts before its store, answers once that is there, tidies up when told to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from controller.api.serve import Cluster
from controller.api.service import Storage
from controller.cli.client import Api, Refused, Unreachable
from controller.store.server import Server

ROOT = Path(__file__).parents[3]
PROGRAM = """
from pathlib import Path
from controller.api.serve import run
from controller.api.settings import Settings
folder = "{0}"
store, ledger = f"unix:{{folder}}/store.sock", f"sqlite:///{{folder}}/ledger.db"
run(Settings(store, Path(folder, "api.sock"), "no-such-group", ledger, asn=64999))
"""


def ask(folder: Path, path: str, deadline: float) -> object:
    """The answer, as soon as there is one that is no refusal."""
    while True:
        try:
            return Api(f"unix:{folder}/api.sock").get(path)
        except (Unreachable, Refused):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_it_starts_without_store_and_stops_without_trace(tmp_path: Path) -> None:
    deadline = time.monotonic() + 90
    store = Server(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(tmp_path)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
    )
    try:
        ask(tmp_path, "/openapi.json", deadline)
        store.start()
        assert ask(tmp_path, "/v1/status", deadline)["cluster"]["asn"] == 64999
        assert ask(tmp_path, "/v1/gangs", deadline)["items"] == []
        usage = Api(f"unix:{tmp_path}/api.sock")
        assert not usage.get("/v1/usage/report", {"tenant": "none", "from": 0, "to": 1})["known"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert not (tmp_path / "api.sock").exists()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)
        store.stop()


def test_the_store_of_the_process_can_all_that_is_asked_of_one() -> None:
    assert {name for name in vars(Storage) if not name.startswith("_")} <= set(vars(Cluster))
