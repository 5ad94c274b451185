"""Uploads through a real API on a unix socket, with outages, refusals and restarts; and the usage routes."""

from __future__ import annotations

import http.client
import json
import random
import socket
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import uvicorn
from fastapi import APIRouter, FastAPI

from accounting.encode import plain, state_bytes, step_bytes
from accounting.journal import Journal, Written
from accounting.ledger import Ledger
from accounting.records import Closed, Run
from accounting.report import Grouping, Query, report
from accounting.state import State, Step
from controller.agent import upload
from controller.agent.upload import UnixPost, Uploader
from controller.api import replies
from controller.api.sums import sums
from controller.api.usage import MAX_RECORDS, usage
from controller.api.usage_export import usage_export
from controller.api.usage_report import usage_report
from model.ids import HostName
from tests.unit.accounting.examples import RUN, balance, gap, interval


class Service:
    """The usage routes on a unix socket, in a thread."""

    def __init__(self, path: Path, ledger: Ledger, *more: APIRouter) -> None:
        app = FastAPI()
        replies.install(app)
        app.include_router(usage(ledger))
        app.include_router(usage_report(ledger))
        app.include_router(usage_export(ledger))
        app.include_router(sums(ledger))
        for router in more:
            app.include_router(router)
        self._socket = socket.socket(socket.AF_UNIX)
        path.unlink(missing_ok=True)
        self._socket.bind(str(path))
        self._server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]})
        self._thread.start()
        deadline = time.monotonic() + 30
        while not self._server.started:
            assert time.monotonic() < deadline
            threading.Event().wait(0.01)

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(30)
        self._socket.close()


class Site:
    def __init__(self, directory: Path, url: str) -> None:
        self.socket = directory / "api.sock"
        self.ledger = Ledger(url)
        self.journal = Journal(directory / "journal")
        self.refused = directory / "refused.jsonl"
        self.service: Service | None = None

    def up(self, *more: APIRouter) -> None:
        """Serve, with these routes as well."""
        self.service = Service(self.socket, self.ledger, *more)

    def down(self) -> None:
        if self.service is not None:
            self.service.stop()
            self.service = None
            self.socket.unlink(missing_ok=True)

    def write(self, *records, run: Run = RUN) -> None:
        step = Step(run, 5, records)
        assert isinstance(
            self.journal.append(step_bytes(step), lambda: state_bytes(State(next_sequence=1))), Written
        )

    def uploader(self, host: str = "hv1") -> Uploader:
        return Uploader(self.journal, HostName(host), UnixPost(self.socket), self.refused, random.Random(1))

    def bytes(self) -> int:
        return report(self.ledger, Query("blue", 0, 10**12, (Grouping.PORT,))).bytes

    def ask(self, method: str, target: str, body: object = None) -> tuple[int, object]:
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        data = None if body is None else json.dumps(body)
        connection.request(method, target, data, {"Content-Type": "application/json"})
        response = connection.getresponse()
        value = json.loads(response.read())
        connection.close()
        return response.status, value


@pytest.fixture
def site(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upload, "_FIRST_PAUSE", 0.01)
    monkeypatch.setattr(upload, "_LONGEST_PAUSE", 0.05)
    made = Site(tmp_path, url)
    yield made
    made.down()
    made.journal.close()
    made.ledger.close()


def test_what_a_host_counted_under_another_name_is_billed_once(site: Site):
    """The ledger has it, the answer was lost, and then the host was renamed: it comes again, as the same."""
    site.up()
    site.write(interval(1))
    assert site.ledger.post([interval(1)]).accepted == 1
    renamed = replace(RUN, host=HostName("rack4-hv1"))
    site.write(replace(interval(2), run=renamed), run=renamed)
    uploader = site.uploader("rack4-hv1")
    uploader.start()
    try:
        assert uploader.wait_idle(30)
        assert site.bytes() == 2_000
    finally:
        uploader.stop()
    _, found = site.ask("GET", "/v1/usage/report?tenant=blue&from=0&to=9000&by=host")
    assert [(row["key"], row["bytes"]) for row in found["rows"]] == [("hv1", 1_000), ("rack4-hv1", 1_000)]


def test_what_is_journalled_reaches_the_ledger_once(site: Site):
    site.up()
    site.write(interval(1), gap(2), balance(3), Closed(interval(1).series))
    site.write()
    uploader = site.uploader()
    uploader.start()
    try:
        assert uploader.wait_idle(30)
        assert site.bytes() == 1_000
        assert site.ledger.post([interval(1), gap(2), balance(3)]).repeated == 3
        site.write(*(interval(n) for n in range(4, 4 + 1_201)))
        assert uploader.wait_idle(30)
        assert site.bytes() == 1_202_000
    finally:
        uploader.stop()
    assert site.journal.backlog == 0
    assert site.journal.acknowledged == 3


def test_an_api_that_is_away_costs_nothing_but_time(site: Site):
    uploader = site.uploader()
    uploader.start()
    try:
        for n in range(1, 6):
            site.write(interval(n))
            uploader.wake()
        assert not uploader.wait_idle(0.2)
        site.up()
        assert uploader.wait_idle(30)
        site.down()
        site.write(interval(6))
        assert not uploader.wait_idle(0.2)
        site.up()
        assert uploader.wait_idle(30)
        assert site.bytes() == 6_000
    finally:
        uploader.stop()


def test_an_upload_whose_answer_was_lost_is_repeated_without_harm(site: Site):
    site.up()
    real = UnixPost(site.socket)
    answers: list[int] = []

    def lossy(body: bytes) -> tuple[int, bytes]:
        status, text = real(body)
        answers.append(status)
        if len(answers) <= 2:
            raise ConnectionResetError("the answer was lost")
        return status, text

    site.write(interval(1), interval(2))
    uploader = Uploader(site.journal, HostName("hv1"), lossy, site.refused, random.Random(1))
    uploader.start()
    try:
        assert uploader.wait_idle(30)
    finally:
        uploader.stop()
    assert answers == [200, 200, 200]
    assert site.bytes() == 2_000
    assert site.ledger.conflicts() == 0


def test_one_record_that_is_never_taken_is_put_aside_and_stops_no_other(site: Site):
    site.up()
    bad = interval(3, class_name="x" * 300)
    site.write(interval(1), interval(2), bad, interval(4))
    uploader = site.uploader()
    uploader.start()
    try:
        assert uploader.wait_idle(30)
    finally:
        uploader.stop()
    assert site.bytes() == 3_000
    (line,) = site.refused.read_text().splitlines()
    assert json.loads(line)["record"] == plain(bad)


def test_a_server_error_keeps_the_frames(site: Site):
    site.write(interval(1))
    uploader = Uploader(
        site.journal, HostName("hv1"), lambda body: (503, b"busy"), site.refused, random.Random(1)
    )
    uploader.start()
    try:
        assert not uploader.wait_idle(0.2)
    finally:
        uploader.stop()
    assert site.journal.backlog == 1


def _batch(*records, host: str = "hv1") -> dict:
    return {"host": host, "records": [plain(r) for r in records]}


def test_posting_is_idempotent_and_says_what_it_refused(site: Site):
    site.up()
    assert site.ask("POST", "/v1/usage", _batch(interval(1), gap(2))) == (
        200,
        {"accepted": 2, "repeated": 0, "conflicts": []},
    )
    status, receipt = site.ask("POST", "/v1/usage", _batch(interval(1), gap(2, bound=1)))
    assert (status, receipt["accepted"], receipt["repeated"]) == (200, 0, 1)
    assert len(receipt["conflicts"]) == 1


BAD = [
    {"bytes": -1},
    {"bytes": 1 << 63},
    {"bytes": 1.5},
    {"bytes": "1000"},
    {"bytes": None},
    {"bytes": True},
    {"packets": -1},
    {"sequence": 1 << 60},
    {"from_ms": 3_000},
    {"to_ms": 1 << 60},
    {"port": 0},
    {"port": 1 << 24},
    {"class": 1_024},
    {"epoch": 4096},
    {"kind": "bribe"},
    {"kind": "gap"},
    {"boot_id": ""},
    {"boot_id": "x\0"},
    {"class_name": "\0"},
    {"datapath": "a\0b"},
    {"owner": plain(interval(1))["owner"] | {"port_name": "vm\0"}},
    {"owner": plain(interval(1))["owner"] | {"port_name": "\ud800"}},
    {"class_name": "x" * 256},
    {"header_bytes": 1_000},
    {"owner": {}},
    {"owner": None},
    {"host": "hv2"},
    {"tip": 1},
]


def test_a_record_that_does_not_fit_is_refused_and_nothing_of_its_batch_is_kept(site: Site):
    site.up()
    for change in BAD:
        batch = _batch(interval(1), interval(2))
        batch["records"][1].update(change)
        status, value = site.ask("POST", "/v1/usage", batch)
        assert status == 422, change
        assert value["faults"][0]["remedy"], change
        assert site.bytes() == 0, change
    assert site.ask("POST", "/v1/usage", _batch(interval(1), interval(2)))[0] == 200
    assert site.bytes() == 2_000


def test_a_balance_with_a_figure_below_zero_is_refused(site: Site):
    site.up()
    for change in ({"wire_bytes": -1}, {"counted_bytes": None}, {"counted_bytes": 1 << 63}, {"bytes": 5}):
        batch = _batch(balance(1))
        batch["records"][0].update(change)
        assert site.ask("POST", "/v1/usage", batch)[0] == 422, change
    assert site.ask("POST", "/v1/usage", _batch(balance(1), balance(2, wire_bytes=None)))[1]["accepted"] == 2


def test_a_gap_of_no_known_cause_and_too_many_records_are_refused(site: Site):
    site.up()
    batch = _batch(gap(1))
    batch["records"][0]["cause"] = "moonlight"
    assert site.ask("POST", "/v1/usage", batch)[0] == 422
    many = {"host": "hv1", "records": _batch(gap(1))["records"] * (MAX_RECORDS + 1)}
    assert site.ask("POST", "/v1/usage", many)[0] == 422


def test_a_host_posts_for_itself(site: Site):
    """The key's host is the batch's: what hv2 posts never meets what hv1 posted."""
    site.up()
    site.ask("POST", "/v1/usage", _batch(interval(1)))
    status, receipt = site.ask("POST", "/v1/usage", _batch(interval(1, bytes=7), host="hv2"))
    assert (status, receipt["accepted"]) == (200, 1)
    _, found = site.ask("GET", "/v1/usage/report?tenant=blue&from=0&to=9000&by=host")
    assert [(r["name"], r["bytes"]) for r in found["rows"]] == [("hv1", 1_000), ("hv2", 7)]


def test_the_report_route(site: Site):
    site.up()
    site.ask("POST", "/v1/usage", _batch(interval(1, bytes=(1 << 62) + 1), gap(2, bound=None)))
    status, found = site.ask("GET", "/v1/usage/report?tenant=blue&from=1500&to=2001&by=class")
    assert status == 200
    assert found["rows"] == [
        {"key": "1", "name": "everything-else", "keys": ["1"], "names": ["everything-else"], "packets": 10,
         "bytes": (1 << 62) + 1, "intervals": 1, "gaps": 1, "gapBound": None, "residual": None}
    ]  # fmt: skip
    assert (found["fromMs"], found["toMs"], found["by"]) == (1_500, 2_001, "class")
    assert (found["straddlingBytes"], found["gapCount"], found["gapBound"]) == ((1 << 62) + 1, 1, None)
    assert found["gaps"][0]["cause"] == "vswitchd-ended"


def test_questions_that_make_no_sense(site: Site):
    site.up()
    for query in (
        "tenant=blue&from=5&to=5",
        "tenant=&from=0&to=5",
        "from=0&to=5&by=",
        "from=0&to=5&by=port,port",
        "from=0&to=5&by=port,colour",
        "from=0&to=5&direction=up",
        "from=0&to=5&by=day&zone=Europe/Nowhere",
        "from=0&to=5&zone=",
        "from=0&to=253402300800000",
        "tenant=b&from=-1&to=5",
        "tenant=b&from=0&to=5&by=colour",
        "tenant=b&from=x&to=5",
    ):
        status, value = site.ask("GET", f"/v1/usage/report?{query}")
        assert status == 422, query
        assert value["faults"], query
