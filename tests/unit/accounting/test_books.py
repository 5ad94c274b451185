"""Books: what is known of a ledger, on SQLite and PostgreSQL, and what of it is an alarm or a sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from accounting.ledger import Ledger
from accounting.ledger.rollup import roll
from accounting.ledger.standing import account, disk_of
from accounting.records import HOUR, Cause
from accounting.room import Level, Space, look
from controller.api import egress_gauges
from controller.api.books import Books
from controller.api.exposition import Sample, expose
from ipam.contents import Contents, HypervisorRecord
from model.errors import Fault, Unavailable
from model.intent import Hypervisor
from model.report import EgressReport, Report, State, parse, render
from tests.unit.accounting.examples import gap, interval

NOW = 10 * HOUR


def test_an_account_of_a_ledger(ledger: Ledger):
    empty = account(ledger)
    assert (empty.gaps, empty.conflicts, empty.stale, empty.oldest_stale_ms) == ({}, 0, 0, None)
    ledger.post([interval(n, from_ms=n * HOUR, to_ms=n * HOUR + 5) for n in (1, 2, 3)])
    ledger.post([gap(4), gap(5), gap(6, cause=Cause.PORT_REMOVED)])
    ledger.post([interval(1, bytes=5, from_ms=HOUR, to_ms=HOUR + 5)])
    found = account(ledger)
    assert found.gaps == {"port-removed": 1, "vswitchd-ended": 2}
    assert (found.conflicts, found.stale, found.oldest_stale_ms) == (1, 3, HOUR)
    assert found.size >= empty.size > 10_000
    roll(ledger, NOW)
    assert account(ledger).stale == 0


def test_the_disk_of_a_ledger_is_found(ledger: Ledger, url: str):
    """Also PostgreSQL's, which the tests reach by a unix socket, as its superuser."""
    found = disk_of(ledger)
    assert found is not None
    assert look(found) is not None
    assert found.exists()
    assert (found.suffix == ".db") == url.startswith("sqlite")


class Disk:
    def __init__(self) -> None:
        self.space = Space(500, 1_000)

    def __call__(self, _path: Path) -> Space:
        return self.space


def words(books: Books) -> list[str]:
    books.once()
    return [f"{alarm['object']}: {alarm['message']}" for alarm in books.alarms()]


def test_a_ledgers_disk_that_fills_is_an_alarm_and_none_after(ledger: Ledger):
    disk, now = Disk(), [0.0]
    books = Books(ledger, lambda: NOW, lambda: now[0], disk)
    assert list(books.alarms()) == []
    assert words(books) == []
    now[0], disk.space = 600.0, Space(450, 1_000)
    assert words(books) == [
        "Egress ledger: the disk of the egress ledger fills: 450 B of 1.00 kB are free;"
        " full in 90 minutes at this rate"
    ]
    assert books.seen is not None and books.seen.level is Level.SOON
    now[0], disk.space = 1_200.0, Space(50, 1_000)
    assert "50 B of 1.00 kB" in words(books)[0]
    now[0], disk.space = 1_260.0, Space(900, 1_000)
    assert words(books) == []


def test_hours_that_nobody_sums_up_are_an_alarm_at_the_second_look(ledger: Ledger):
    ledger.post([interval(1, from_ms=HOUR, to_ms=HOUR + 5)])
    books = Books(ledger, lambda: NOW, lambda: 0.0, Disk())
    assert words(books) == []
    assert words(books) == ["Egress ledger: an hour that ended 8 hours ago is not summed up"]
    roll(ledger, NOW)
    assert words(books) == []


def test_a_ledger_that_does_not_answer_is_an_alarm(ledger: Ledger, monkeypatch: pytest.MonkeyPatch):
    from controller.api import books as module

    books = Books(ledger, lambda: NOW, lambda: 0.0, Disk())
    books.once()

    def refuse(_: Ledger) -> None:
        raise Unavailable(Fault("egress ledger", "ledger-unreadable", "it is gone", "wait"))

    monkeypatch.setattr(module, "account", refuse)
    assert words(books) == ["Egress ledger: does not answer: it is gone"]
    text = expose(egress_gauges.METRICS, egress_gauges.ledger(books.seen))
    assert "\nringfence_ledger_up 0\n" in text
    assert "\nringfence_ledger_disk_free_bytes 500\n" in text
    assert "\nringfence_ledger_size_bytes " not in text


def test_the_thread_looks_at_once(ledger: Ledger):
    books = Books(ledger, lambda: NOW)
    books.start()
    books.stop()
    assert books.seen is not None
    assert books.seen.space is not None and books.seen.space.size > 0


def samples(found: object) -> dict[tuple[str, tuple[str, ...]], float]:
    return {(s.name.removeprefix("ringfence_"), s.labels): s.value for s in found if isinstance(s, Sample)}


def test_samples_of_a_ledger(ledger: Ledger):
    ledger.post([interval(1, from_ms=HOUR, to_ms=HOUR + 5), gap(2)])
    books = Books(ledger, lambda: NOW, lambda: 0.0, Disk())
    assert list(egress_gauges.ledger(None)) == []
    books.once()
    found = samples(egress_gauges.ledger(books.seen))
    assert found["ledger_up", ()] == 1
    assert found["ledger_gaps_total", ("vswitchd-ended",)] == 1
    assert found["ledger_gaps_total", ("port-removed",)] == 0
    assert found["ledger_unsummed", ()] == 1
    assert found["ledger_stale_age_seconds", ()] == 8 * 3_600
    assert ("ledger_disk_full_seconds", ()) not in found


TOLD = EgressReport(1_000, 900, 1, 5, NOW - 60_000, 2, 10, 100, 3_600)


def test_samples_of_hosts_that_speak():
    hosts = [Hypervisor(name, None, key) for key, name in enumerate(("hv1", "hv2", "hv3", "hv4"))]
    contents = Contents(hypervisors={host.name: HypervisorRecord(host) for host in hosts})
    heads = {
        "hv1": Report("hv1", NOW, 1, State.IN_SYNC, egress=TOLD),
        "hv2": Report("hv2", NOW, 1, State.IN_SYNC),
        "hv3": Report("hv3", NOW - HOUR, 1, State.IN_SYNC, egress=TOLD),
        "hv4": Report("hv4", NOW, 1, State.IN_SYNC, egress=EgressReport()),
        "stranger": Report("stranger", NOW, 1, State.IN_SYNC, egress=TOLD),
    }
    found = samples(egress_gauges.hosts(contents, heads, NOW))
    assert {labels for _, labels in found} == {("hv1",), ("hv4",)}
    assert len(found) == 9 + 6
    assert found["egress_backlog_age_seconds", ("hv1",)] == 60
    assert found["egress_disk_full_seconds", ("hv1",)] == 3_600
    assert found["egress_backlog_age_seconds", ("hv4",)] == 0


def test_what_a_host_says_of_counting_survives_its_report():
    for told in (None, EgressReport(), TOLD):
        made = Report("hv1", 5, 1, State.IN_SYNC, egress=told)
        assert parse(render(made)) == made
    for wrong in (5, {"wire": -1}, {"full_in_s": "x"}, {"size": True}):
        text = render(Report("hv1", 5, 1, State.IN_SYNC)).replace('"egress":null', f'"egress":{wrong}')
        with pytest.raises(ValueError):
            parse(text.replace("'", '"').replace("True", "true"))
    assert (
        replace(TOLD, full_in_s=None)
        == parse(render(Report("hv1", 5, 1, State.IN_SYNC, egress=replace(TOLD, full_in_s=None)))).egress
    )
