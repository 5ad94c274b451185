"""Metrics and alerts before promtool, Prometheus's own checker: Debian 13's, unpacked by `make setup-all`."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote

import pytest

from accounting.ledger import Ledger, sqlite_url
from accounting.room import Space
from controller.api.app import create
from controller.api.books import Books
from controller.api.exposition import Sample, expose
from controller.api.gauges import METRICS
from controller.api.listener import listen, server
from controller.store.writer import clock
from model.report import EgressReport
from tests.contract.test_exports import PROGRAMS, run
from tests.meta.tree import ROOT
from tests.unit.accounting.examples import gap, interval
from tests.unit.api.house import House, house, remote
from tests.unit.api.test_dashboard import QUERIES
from tests.unit.api.test_hosts import tell
from tests.unit.api.test_objects import apply, document

__all__ = ["house", "remote"]

pytestmark = pytest.mark.long

EVIL = 'a "quoted" \\ line\nand é {x="1"} 2 #'
RULES = ROOT / "packaging" / "prometheus" / "ringfence.rules.yml"
TESTS = ROOT / "tests" / "contract" / "ringfence.rules.test.yml"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Within the programs' root, with the rules and their tests."""
    assert (PROGRAMS / "complete").exists(), "run 'make setup-all'"
    made = Path(tempfile.mkdtemp(dir=PROGRAMS / "tmp"))
    try:
        shutil.copy(RULES, made)
        shutil.copy(TESTS, made)
        yield made
    finally:
        shutil.rmtree(made)


def judged(folder: Path) -> int:
    return run("promtool", "test", "rules", f"/tmp/{folder.name}/{TESTS.name}", text="").returncode


def test_promtool_takes_the_metrics() -> None:
    samples = [Sample(m.name, (EVIL,) * len(m.labels), 1.5) for m in METRICS]
    text = expose(METRICS, samples)
    ran = run("promtool", "check", "metrics", text=text)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert run("promtool", "check", "metrics", text=text.replace(" counter\n", " gauge\n")).returncode != 0
    broken = text.replace("\\n", "\n")
    assert run("promtool", "check", "metrics", text=broken).returncode != 0, "it sees what is not escaped"


def test_promtool_takes_the_rules_and_each_alert_fires_for_its_reason_only(folder: Path) -> None:
    ran = run("promtool", "check", "rules", f"/tmp/{folder.name}/{RULES.name}", text="")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert judged(folder) == 0
    text = TESTS.read_text(encoding="utf-8")
    for before, after in (("values: 60x60", "values: 61x60"), ("values: 901x90", "values: 900x90")):
        assert before in text
        (folder / TESTS.name).write_text(text.replace(before, after), encoding="utf-8")
        assert judged(folder) != 0


@pytest.fixture
def serving(house: House, tmp_path: Path) -> Iterator[Path]:
    """The socket of an API with a ledger, and of a host that counts."""
    ledger = Ledger(sqlite_url(tmp_path / "ledger.db"))
    ledger.post([interval(1), gap(2)])
    ledger.post([interval(1, bytes=7)])
    books = Books(ledger, clock, space=lambda _: Space(10**9, 10**10))
    books.once()
    apply(house, document("Hypervisor", "counts", vtep="192.0.2.231"))
    told = EgressReport(10**9, 10**9, 1, 3, clock() - 5_000, 1, 10**9, 10**10, 3_600)
    tell(house, "counts", 1, egress=told, stamp_ms=clock() + 3_600_000)
    path = tmp_path / "api.sock"
    listening = listen(path, "no-such-group")
    running = server(create(house.service, books=books), 64)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield path
    running.should_exit = True
    thread.join(20)
    listening.close()
    ledger.close()


@pytest.fixture
def target(serving: Path) -> Iterator[str]:
    """Where Prometheus may read: one address, forwarded to the API's socket."""

    class Forward(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            api = http.client.HTTPConnection("api", timeout=30)
            api.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            api.sock.connect(str(serving))
            api.request("GET", "/metrics")
            answer = api.getresponse()
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.headers["Content-Type"])
            self.end_headers()
            self.wfile.write(answer.read())
            api.close()

        def log_message(self, *_words: object) -> None:
            """Not into the tests' output."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Forward)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(20)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_prometheus_itself_reads_them(folder: Path, target: str, house: House) -> None:
    """Debian 13's, on loopback, with our rules."""
    (folder / "prometheus.yml").write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
                "rule_files": [RULES.name],
                "scrape_configs": [{"job_name": "ringfence", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    port, place = free_port(), f"/tmp/{folder.name}"
    command = [
        *("/usr/sbin/chroot", PROGRAMS, "/usr/bin/prometheus", f"--config.file={place}/prometheus.yml"),
        *(f"--storage.tsdb.path={place}/data", f"--web.listen-address=127.0.0.1:{port}"),
    ]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        found = asked(port, "ringfence_generation", folder / "log")
        assert found[0]["metric"]["job"] == "ringfence"
        contents = house.store.contents()
        assert contents.cluster is not None
        assert int(found[0]["value"][1]) <= contents.cluster.generation
        assert asked(port, "up", folder / "log")[0]["value"][1] == "1"
        for query in QUERIES:
            judge(port, query, folder / "log")
        (gaps,) = asked(port, quote('ringfence_ledger_gaps_total{cause="vswitchd-ended"}'), folder / "log")
        assert gaps["value"][1] == "1"
        with pytest.raises(AssertionError, match="parse error"):
            judge(port, QUERIES[0] + ")", folder / "log")
    finally:
        running.kill()
        running.wait(20)


def judge(port: int, query: str, log: Path) -> None:
    """Prometheus takes a query of the dashboard, and answers it: with nothing, only where nothing fills."""
    shown = re.sub(r"\[\d+[dhm]\]", "[1m]", query.replace("$host", ".*"))
    api = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    api.request("GET", f"/api/v1/query?query={quote(shown)}")
    answer = json.load(api.getresponse())
    api.close()
    assert answer["status"] == "success", answer
    if "ringfence_ledger_disk_full_seconds" not in shown:
        assert asked(port, quote(shown), log), query


def asked(port: int, query: str, log: Path) -> list[dict]:
    """What Prometheus knows, as soon as it knows anything."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            api = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            api.request("GET", f"/api/v1/query?query={query}")
            answer = json.load(api.getresponse())
            api.close()
            if answer.get("status") == "success" and answer["data"]["result"]:
                return list(answer["data"]["result"])
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    raise AssertionError(log.read_text()[-2000:])
