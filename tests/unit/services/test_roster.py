"""The roster: who may ask and all names, as the agent's file says; and what happens when that changes."""

from __future__ import annotations

import asyncio
import gc
import json
import zlib
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from immutables import Map

from controller.agent import disk
from controller.agent.calm import LARGE
from controller.agent.shelf import Shelf
from controller.services import pages, report, roster
from controller.services.serving import Serving, Settings
from model.ids import HostName, PortKey, TenantKey
from model.seed import Seed, Sown
from model.serving import alias
from model.snapshot import Snapshot, with_port, without_port
from services.metadata.answering import Kind as Answered
from services.naming.outcome import Asker, Kind, Transport
from tests.fakes.tenants import ACME, RIVAL, gang, network, port, question, tenant
from tests.fakes.world import added

BEFORE = roster.empty("internal")


def snapshot() -> Snapshot:
    return added(
        Snapshot(HostName("hv1")),
        tenant("acme", ACME),
        tenant("rival", RIVAL),
        network("front", 1, ACME, "10.0.0.0/24"),
        network("front", 2, RIVAL, "10.0.0.0/24"),
        port("web", 11, 1, "10.0.0.2"),
        port("secret", 12, 2, "10.0.0.2"),
    )


def test_each_port_asks_as_its_tenant_and_a_port_without_a_network_as_nobody() -> None:
    stray = added(snapshot(), port("stray", 13, 77, "10.0.0.9"))
    found = roster.read(stray, BEFORE)
    assert dict(found.askers) == {11: Asker(PortKey(11), ACME), 12: Asker(PortKey(12), RIVAL)}
    assert roster.labels(found, (11, 12, 13)) == {11: ("acme", "web"), 12: ("rival", "secret")}
    zone = found.directory.zones[ACME]
    assert zone.addresses_of((b"web", b"front")) == (ip_address("10.0.0.2"),)
    assert zone.addresses_of((b"secret",)) is None
    assert zone.addresses_of((b"stray",)) is None


def test_gangs_have_names_in_their_own_tenants_zone_alone() -> None:
    gangs = {
        1: gang("acme", "job", ("10.9.0.1",)),
        2: replace(gang("nobody", "job", ("10.9.0.2",)), generation=2),
    }
    found = roster.read(replace(snapshot(), gangs=Map(gangs)), BEFORE)
    name = (b"rank-0", b"job", b"gang")
    assert found.directory.zones[ACME].addresses_of(name) == (ip_address("10.9.0.1"),)
    assert found.directory.zones[RIVAL].addresses_of(name) is None


def test_an_instance_is_told_of_by_each_of_its_nics_that_may_be_here() -> None:
    here = (HostName("hv1"),)
    nics = [replace(port(name, key, 1, f"10.0.0.{key}"), hosts=here) for name, key in (("b", 21), ("a", 22))]
    first = replace(port("vm", 20, 1, "10.0.0.20"), hosts=here)
    stranger = replace(port("z", 23, 2, "10.0.0.23"), hosts=here)
    seeds = {20: Seed(data="#!/bin/sh"), 21: Seed("vm"), 22: Seed("vm"), 23: Seed("vm")}
    plain = added(snapshot(), first, *nics, stranger)
    sown = replace(plain, seeds=Map({key: Sown(PortKey(key), seed) for key, seed in seeds.items()}))
    found = roster.read(sown, BEFORE)
    for key in (20, 21, 22):
        facts = roster.facts(found, Asker(PortKey(key), ACME))
        assert facts is not None and facts.seed.data == "#!/bin/sh"
        assert [nic.name for nic in facts.nics] == ["vm", "a", "b"]
    other = roster.facts(found, Asker(PortKey(23), RIVAL))
    assert other is not None and [nic.name for nic in other.nics] == ["z"], "no port of another tenant's"
    away = added(sown, replace(first, hosts=(HostName("hv2"),)))
    alone = roster.facts(roster.read(away, BEFORE), Asker(PortKey(21), ACME))
    assert alone is not None and [nic.name for nic in alone.nics] == ["b"], "the first is on another host"
    assert alone.seed.data == ""


def test_zones_that_stay_as_they_are_stay_the_same_values() -> None:
    first = roster.read(snapshot(), BEFORE)
    second = roster.read(with_port(snapshot(), port("new", 14, 1, "10.0.0.3")), first)
    assert second.directory.zones[RIVAL] is first.directory.zones[RIVAL]
    assert second.directory.zones[ACME] is not first.directory.zones[ACME]
    assert second.directory.zones[ACME].addresses_of((b"new",)) == (ip_address("10.0.0.3"),)


def test_a_file_that_is_cut_short_is_no_empty_one(tmp_path: Path) -> None:
    path = tmp_path / roster.FILE
    assert roster.mark(path) is None
    assert roster.load(path, BEFORE) is None
    disk.save(snapshot(), path)
    seen = roster.mark(path)
    found = roster.load(path, BEFORE)
    assert found is not None and set(found.askers) == {11, 12}
    path.write_bytes(path.read_bytes()[:-20])
    assert roster.mark(path) != seen
    assert roster.load(path, BEFORE) is None


def test_what_did_not_change_is_not_read_again(tmp_path: Path) -> None:
    path, many = tmp_path / roster.FILE, [port(f"p{n}", n, 1, f"10.0.0.{n}") for n in range(20, 200)]
    shelf, there = Shelf(path), added(snapshot(), *many)
    shelf.save(there)
    first = pages.read(disk.body(path) or b"", None)
    assert first is not None and len(first.came["ports"]) == 182
    shelf.save(with_port(there, port("new", 14, 1, "10.0.0.3")))
    second = pages.read(disk.body(path) or b"", first.pages)
    assert second is not None and 0 < len(second.came["ports"]) < 20
    assert not second.came["networks"] and not second.gone["tenants"]
    kept = first.pages.maps["ports"].keys() & second.pages.maps["ports"].keys()
    assert kept and all(
        first.pages.maps["ports"][digest] is second.pages.maps["ports"][digest] for digest in kept
    )


def test_a_file_without_lines_is_read_whole(tmp_path: Path) -> None:
    """As agents wrote it before."""
    path = tmp_path / roster.FILE
    disk.save(snapshot(), path)
    lined = roster.load(path, BEFORE)
    flat = (disk.body(path) or b"").replace(b"\n", b"")
    path.write_bytes(json.dumps({"format": disk.FORMAT, "crc": zlib.crc32(flat)}).encode() + b"\n" + flat)
    whole = roster.load(path, BEFORE)
    assert lined is not None and whole is not None and lined.read is not None and whole.read is None
    assert replace(lined, read=None) == whole
    again = roster.load(path, lined)
    assert again is not None and again == replace(whole, others=())


def test_a_file_of_the_right_sum_and_the_wrong_form_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / roster.FILE
    disk.save(snapshot(), path)
    bad = (disk.body(path) or b"").replace(b'"mac":', b'"macs":')
    path.write_bytes(json.dumps({"format": disk.FORMAT, "crc": zlib.crc32(bad)}).encode() + b"\n" + bad)
    assert roster.load(path, BEFORE) is None


def serving(state: Path) -> Serving:
    return Serving(Settings(state, state, "br-int", "internal"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    disk.save(snapshot(), tmp_path / roster.FILE)
    return tmp_path


def ask(one: Serving, place: int, name: str, version: int = 4) -> Kind | None:
    """What becomes of a question from an alias; None: nobody may ask from there."""
    asker = one.identify(alias(PortKey(place), 0, version))
    if asker is None:
        return None
    before = one.resolver.tally.copy()
    one.resolver.ask(question(name), asker, Transport.UDP)
    ((_, kind),) = (one.resolver.tally - before).keys()
    return kind


def test_what_was_read_is_answered_and_what_cannot_be_read_changes_nothing(here: Path) -> None:
    async def run() -> None:
        one = serving(here)
        assert ask(one, 11, "web.acme.internal") is None
        await one.follow()
        for version in (4, 6):
            assert ask(one, 11, "web.acme.internal", version) is Kind.ANSWERED
        assert ask(one, 12, "web.acme.internal") is Kind.NO_NAME
        assert ask(one, 99, "web.acme.internal") is None
        assert one.identify(ip_address("192.0.2.1")) is None
        path = here / roster.FILE
        whole = path.read_bytes()
        path.write_bytes(whole[:-20])
        await one.follow()
        assert ask(one, 11, "web.acme.internal") is Kind.ANSWERED
        path.unlink()
        await one.follow()
        assert ask(one, 11, "web.acme.internal") is Kind.ANSWERED
        disk.save(with_port(snapshot(), port("new", 14, 1, "10.0.0.3")), path)
        await one.follow()
        assert ask(one, 14, "new.acme.internal") is Kind.ANSWERED

    asyncio.run(run())


def test_names_of_many_ports_are_out_of_the_garbage_collectors_way(tmp_path: Path) -> None:
    """With 50,000 ports it would walk for a second, and nobody would be answered meanwhile."""
    many = [port(f"p{n}", n, 1, str(ip_address("10.0.0.0") + n)) for n in range(100, 6100)]
    disk.save(added(snapshot(), *many), tmp_path / roster.FILE)
    before = gc.get_freeze_count()
    try:
        asyncio.run(serving(tmp_path).follow())
        assert gc.get_freeze_count() - before > LARGE and gc.isenabled()
    finally:
        gc.unfreeze()


def test_a_port_that_goes_or_gets_another_tenant_starts_from_nothing(here: Path) -> None:
    async def run() -> None:
        one = serving(here)
        await one.follow()
        assert ask(one, 11, "web.acme.internal") is Kind.ANSWERED
        assert ask(one, 12, "secret.rival.internal") is Kind.ANSWERED
        moved = with_port(without_port(snapshot(), PortKey(12)), port("web", 11, 2, "10.0.0.2"))
        disk.save(moved, here / roster.FILE)
        await one.follow()
        assert set(one.resolver.tally) == set()
        assert ask(one, 12, "secret.rival.internal") is None
        assert ask(one, 11, "web.acme.internal") is Kind.NO_NAME
        assert ask(one, 11, "web.rival.internal") is Kind.ANSWERED
        gone = replace(moved, tenants=moved.tenants.delete(TenantKey(RIVAL)))
        disk.save(gone, here / roster.FILE)
        await one.follow()
        assert ask(one, 11, "web.rival.internal") is None

    asyncio.run(run())


def test_a_snapshot_that_is_not_understood_costs_news_and_no_answer(
    here: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def run() -> None:
        one = serving(here)
        await one.follow()
        disk.save(with_port(snapshot(), port("new", 14, 1, "10.0.0.3")), here / roster.FILE)
        monkeypatch.setattr(roster, "_follow", lambda *_: 1 / 0)
        await one.follow()
        assert ask(one, 11, "web.acme.internal") is Kind.ANSWERED
        assert ask(one, 14, "new.acme.internal") is None

    asyncio.run(run())
    assert "not understood" in caplog.text


def test_the_report_names_ports_and_leaves_out_who_is_gone(tmp_path: Path) -> None:
    tally = {(PortKey(11), Kind.ANSWERED): 3, (PortKey(11), Kind.NO_NAME): 1, (PortKey(99), Kind.ANY): 7}
    requests = {(PortKey(11), Answered.ABSENT): 2}
    text = report.render(tally, requests, {PortKey(11): ("acme", "web")})
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert lines == [
        'ringfence_names_questions_total{tenant="acme",port="web",kind="answered"} 3',
        'ringfence_names_questions_total{tenant="acme",port="web",kind="no-name"} 1',
        'ringfence_metadata_requests_total{tenant="acme",port="web",kind="absent"} 2',
    ]
    path = tmp_path / "names.prom"
    report.put(path, text)
    assert path.read_text() == text
    report.put(tmp_path / "nowhere" / "names.prom", text)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["names.prom"]
