"""The API as a process: starts before its store, answers once that is there, tidies up when told to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from accounting.encode import plain
from controller.agent.post import TlsPost
from controller.api.serve import Cluster
from controller.api.service import Storage
from controller.cli.client import Api, Refused, Unreachable
from controller.store.server import Server
from controller.tls.endpoint import Endpoint
from controller.tls.papers import Current, calling
from tests.fakes.authority import Authority
from tests.unit.accounting.examples import interval

ROOT = Path(__file__).parents[3]
PROGRAM = """
from pathlib import Path
from controller.api.serve import run
from controller.api.settings import Settings, Uploads
from controller.tls.endpoint import Endpoint
from controller.tls.papers import Papers
folder = "{0}"
store, ledger = f"unix:{{folder}}/store.sock", f"sqlite:///{{folder}}/ledger.db"
files = (Path(folder, "api.crt"), Path(folder, "api.key"), Path(folder, "api.trust"))
door = Uploads(Endpoint("127.0.0.1", {1}), Papers(*files))
run(Settings(store, Path(folder, "api.sock"), "no-such-group", ledger, uploads=door, asn=64999))
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
    authority = Authority(tmp_path)
    authority.server()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(tmp_path, port)],
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
        post = TlsPost(Endpoint("127.0.0.1", port), Current(authority.host("hv1"), calling))
        batch = {"host": "hv1", "records": [plain(interval(1))]}
        assert post(json.dumps(batch).encode())[0] == 200
        assert usage.get("/v1/usage/report", {"tenant": "blue", "from": 0, "to": 9_000})["rows"]
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
