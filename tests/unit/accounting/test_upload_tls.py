"""An agent's uploads over real TLS: a renamed host, a certificate without its name, nothing lost."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509

from accounting.count import State, Step
from accounting.encode import plain, state_bytes, step_bytes
from accounting.journal import Journal, Written
from accounting.ledger import Ledger, sqlite_url
from accounting.records import Run
from accounting.report import Grouping, Query, report
from accounting.residual import Residual
from controller.agent import upload
from controller.agent.metering import Metering
from controller.agent.post import TlsPost
from controller.agent.upload import Uploader
from controller.agent.withheld import Held, Withheld
from controller.api.door import Door
from controller.api.uploads import uploads
from controller.tls.endpoint import Endpoint
from controller.tls.papers import Current, calling, serving
from model.ids import HostName
from tests.fakes.authority import Authority
from tests.unit.accounting.examples import RUN, interval
from topologies.deadline import until

OLD = replace(RUN, host=HostName("old"))
_PATIENCE = 30.0


class Site:
    """A host, which was renamed to hv1, and its centre."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        self.certify("hv1")
        self.ledger = Ledger(sqlite_url(folder / "ledger.db"))
        self.journal = Journal(folder / "egress")
        self.refused: list[str] = []
        current = Current(self.authority.server(), serving)
        app = uploads(self.ledger, self.refused.append)
        self.door = Door(Endpoint("127.0.0.1", 0), current, app, self.refused.append)
        self.door.start()
        self.uploaders: list[Uploader] = []

    def write(self, *sequences: int, run: Run = RUN) -> None:
        records = tuple(replace(interval(n), run=run, from_ms=1_000 + n) for n in sequences)
        body = step_bytes(Step(run, 5, records))
        assert isinstance(self.journal.append(body, lambda: state_bytes(State(next_sequence=1))), Written)

    def uploader(self) -> Uploader:
        post = TlsPost(Endpoint("127.0.0.1", self.door.port), Current(self.papers, calling))
        refused = self.folder / "egress-refused.jsonl"
        made = Uploader(self.journal, HostName("hv1"), post, refused, random.Random(1))
        self.uploaders.append(made)
        return made

    def certify(self, *names: str) -> None:
        """The names in the host's certificate, from now on."""
        self.papers = self.authority.papers("host", [x509.DNSName(name) for name in names])

    def bytes(self, host: str) -> int:
        found = report(self.ledger, Query("blue", 0, 10**12, (Grouping.HOST,)))
        return sum(row.bytes for row in found.rows if row.keys == (host,))

    def close(self) -> None:
        for each in self.uploaders:
            each.stop()
        self.door.stop()
        self.journal.close()
        self.ledger.close()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    for name, seconds in (("_FIRST_PAUSE", 0.01), ("_LONGEST_PAUSE", 0.05), ("_IDLE", 0.05)):
        monkeypatch.setattr(upload, name, seconds)
    made = Site(tmp_path)
    yield made
    made.close()


def test_what_was_counted_under_an_old_name_waits_for_a_certificate_and_holds_nothing_up(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.certify("hv1")
    site.write(1, 2, run=OLD)
    site.write(3, 4)
    uploader = site.uploader()
    uploader.start()
    with uploader._condition:
        assert uploader._condition.wait_for(lambda: not site.journal.backlog, _PATIENCE)
    assert (site.bytes("hv1"), site.bytes("old")) == (2_000, 0)
    assert uploader.withheld.names == {"old"} and uploader.withheld.since_ms == 1_001
    assert not uploader.wait_idle(0.2)
    uploader.stop()
    # On disk: the agent's next life has it as well.
    kept = [json.loads(line) for line in (site.folder / "egress-withheld.jsonl").read_text().splitlines()]
    assert [(line["host"], line["record"]["sequence"]) for line in kept] == [("old", 1), ("old", 2)]
    assert sum("counted-as=old" in record.getMessage() for record in caplog.records) == 1
    second = site.uploader()
    assert second.withheld.names == {"old"}
    second.start()
    site.write(5, run=OLD)
    site.write(6)
    assert not second.wait_idle(0.2)
    site.certify("hv1", "old")
    assert second.wait_idle(_PATIENCE)
    assert (site.bytes("hv1"), site.bytes("old")) == (3_000, 3_000)
    assert second.withheld.names == frozenset() and second.withheld.words() == ()
    assert not (site.folder / "egress-refused.jsonl").exists()
    assert (site.folder / "egress-withheld.jsonl").read_bytes() == b""


def test_a_certificate_without_the_name_that_the_host_bears_leaves_all_in_the_journal(site: Site) -> None:
    site.certify("old")
    site.write(1, run=OLD)
    site.write(2)
    uploader = site.uploader()
    uploader.start()
    until("what it has a certificate for is there", lambda: site.bytes("old") == 1_000, _PATIENCE)
    assert not uploader.wait_idle(0.3)
    assert (site.bytes("old"), site.bytes("hv1"), site.journal.backlog) == (1_000, 0, 2)
    site.certify("hv1", "old")
    assert uploader.wait_idle(_PATIENCE)
    assert (site.bytes("old"), site.bytes("hv1"), site.journal.backlog) == (1_000, 1_000, 0)
    assert not (site.folder / "egress-withheld.jsonl").exists()


def test_no_certificate_yet_costs_nothing_but_time(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    site.certify("hv1")
    site.papers.key.rename(site.folder / "away")
    site.write(1)
    uploader = site.uploader()
    uploader.start()
    words = "host.key: it can't be looked at: No such file"
    until("it has been tried", lambda: words in caplog.text, _PATIENCE)
    assert not uploader.wait_idle(0.2)
    assert site.journal.backlog == 1
    assert "Traceback" not in caplog.text
    (site.folder / "away").rename(site.papers.key)
    assert uploader.wait_idle(_PATIENCE)


def test_what_is_withheld_is_said(tmp_path: Path) -> None:
    """An alarm, the age of what waits, and no word that all of it is in the ledger."""
    journal = Journal(tmp_path / "egress")
    uploader = Uploader(journal, HostName("hv1"), lambda _: (403, b""), tmp_path / "r", random.Random(1))
    meter: Any = SimpleNamespace(handed_ms=9_000, held=0, residual=Residual(), state=State(next_sequence=1))
    nothing: Any = None
    devices = [Held()]
    metering = Metering(
        meter, nothing, nothing, uploader, journal, tmp_path, "boot", devices=lambda: devices[0]
    )
    assert metering.told().oldest_ms == 0
    assert (metering.counted_ms(), metering.alarms()) == (9_000, ())
    uploader._withheld.add([(HostName("old"), plain(interval(1)))])
    assert (metering.counted_ms(), metering.told().oldest_ms) == (1_000, 1_000)
    assert metering.alarms() == ("what it counted as old waits: this host's certificate lacks that name",)
    devices[0] = Held(frozenset({HostName("older")}), 7)
    assert "counted as old, older waits" in metering.alarms()[0]
    journal.close()


def test_the_file_survives_what_a_crash_leaves(tmp_path: Path) -> None:
    path = tmp_path / "withheld.jsonl"
    records = [plain(interval(n)) for n in (1, 2, 3)]
    Withheld(path).add([(HostName("a"), records[0])])
    with path.open("ab") as file:
        file.write(b'{"host":"a","rec')
    held = Withheld(path)
    assert held.names == {"a"}
    held.add([(HostName("b"), records[1]), (HostName("b"), records[2])])
    assert [json.loads(line)["host"] for line in path.read_text().splitlines()] == ["a", "b", "b"]
    posted: list[tuple[str, int]] = []

    def carry(host: HostName, some: Any) -> bool:
        posted.append((host, len(some)))
        return host == "b"

    Withheld(path).offer(carry, 1)
    assert posted == [("a", 1), ("b", 1), ("b", 1), ("b", 1)]
    assert [json.loads(line)["host"] for line in path.read_text().splitlines()] == ["a"]
    path.write_bytes(b'{"host":7}\n\xff\n' + path.read_bytes())
    odd = Withheld(path)
    assert odd.names == {"a"}
    odd.offer(lambda *_: True, 9)
    assert path.read_bytes() == b'{"host":7}\n\xff\n' and odd.names == frozenset()


def test_what_fails_in_the_middle_lets_go_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "withheld.jsonl"
    held = Withheld(path)
    held.add([(HostName("a"), plain(interval(n))) for n in range(1, 6)])
    before = path.read_bytes()
    calls: list[int] = []

    def carry(_host: HostName, some: Any) -> bool:
        calls.append(len(some))
        if len(calls) == 3:
            raise ConnectionResetError
        return True

    with pytest.raises(ConnectionResetError):
        held.offer(carry, 2)
    assert path.read_bytes() == before and held.names == {"a"}
    held.offer(carry, 2)
    assert path.read_bytes() == b"" and held.names == frozenset()
