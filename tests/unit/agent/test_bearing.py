"""The device half as it runs: threads, a real store, words in the reports, and the file for workloads."""

from __future__ import annotations

import json
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from controller.agent import bearing as bearing_module
from controller.agent.bearing import Bearing
from controller.agent.berthing import Berthing, document
from controller.agent.credence import Credence
from controller.agent.settling import Settled
from controller.daemon.mooring import Moored
from controller.store import gangs
from controller.store.moorings import Moorings
from controller.store.server import Server
from controller.store.writer import Store
from model.bearing import HostPart, HostWord, Reached, parse_host
from model.errors import Fault, Unavailable
from model.fabric import FabricKind
from model.gang import Event, GangState, Progress, begin, finish
from model.wanted import WantedSku
from tests.fakes.host import HOST, NICS, layout, mooring, moorings, reacting, told
from tests.fakes.reacting import Reacting
from tests.unit.store.house import DEADLINE, apply, poll
from tests.unit.store.test_gangs import hardware, reserve

S, R = GangState, Reached


@pytest.fixture
def kernel(tmp_path: Path) -> Reacting:
    return reacting(tmp_path / "sys")


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="rf-") as path:
        made = Server(Path(path) / "db")
        made.start()
        yield made
        made.stop()


@pytest.fixture
def store(server: Server) -> Iterator[Store]:
    made = Store(server.remote)
    made.ensure_cluster(65000, (ip_address("192.0.2.254"),))
    yield made
    made.close()


def word(store: Store) -> HostWord:
    found = store.host_words([HOST])
    return parse_host(found[0].text) if found else HostWord()


def said(store: Store) -> list[tuple[GangState, GangState, Reached]]:
    return [(part.state, part.begun, part.reached) for part in word(store).parts]


def page(berths: Path) -> list[dict[str, Any]]:
    return json.loads(berths.read_text())["gangs"]


def test_from_reserved_to_up_to_parked_over_a_store(
    server: Server, store: Store, kernel: Reacting, tmp_path: Path
) -> None:
    wanted = hardware(nodes=2, kind=FabricKind.ROCE)
    sku = next(each for each in wanted if isinstance(each, WantedSku))
    apply(store, *(replace(each, pfs=layout().pfs) if each is sku else each for each in wanted))
    berths = tmp_path / "berths.json"
    moored = Moored(server.remote, HOST, tmp_path / "state", berths, kernel)
    moored.start()
    try:
        poll(lambda: bool(store.host_words([HOST])))
        assert word(store).parts == ()
        reserve(store, fabric="roce", nodes=("n1", "n2"), count=0)
        poll(lambda: said(store) == [(S.RESERVED, S.RESERVED, R.NOTHING)])
        progress = Progress(S.RESERVED, S.RESERVED)
        for event in (Event.PROGRAM, Event.VERIFY, Event.ACTIVATE):
            for step in (begin, finish):
                gang = store.read_all().ledger.gangs["acme", "job"]
                progress = step(progress, event)
                store.move(gangs.advance(gang, progress, 5))
                reached = R.UP if progress.begun is S.ACTIVE else R.SET
                poll(lambda: said(store) == [(progress.state, progress.begun, reached)])  # noqa: B023
        # The word and the page are written by threads of their own.
        poll(lambda: [(each["state"], each["reached"]) for each in page(berths)] == [("active", "up")])
        (gang_there,) = page(berths)
        assert [each["pci"] for each in gang_there["interfaces"]] == ["0000:18:00.2", "0000:40:00.2"]
        assert stat.S_IMODE(berths.stat().st_mode) == 0o600
        assert told(kernel, 0, 0).mac == gang.berths[0].interfaces[0].mac
        gang = store.read_all().ledger.gangs["acme", "job"]
        store.move(gangs.advance(gang, Progress(S.RELEASING, S.ACTIVE), 6))
        poll(lambda: said(store) == [(S.RELEASING, S.ACTIVE, R.PARKED)])
        assert told(kernel, 0, 0).mac == 0
    finally:
        moored.stop()
    count = len(kernel.written)
    server.stop()
    again = Moored(server.remote, HOST, tmp_path / "state", berths, kernel)
    again.start()
    again.stop()
    assert len(kernel.written) == count, "without a store nothing is touched"


class Listener:
    """Who hears the words; `trouble`: the store can't be reached."""

    def __init__(self) -> None:
        self.words: list[HostWord] = []
        self.trouble = False
        self.asked = 0

    def __call__(self, said: HostWord) -> None:
        self.asked += 1
        if self.trouble:
            raise Unavailable(Fault("store", "store-unavailable", "it is away", "Wait."))
        self.words.append(said)


@pytest.fixture
def listener() -> Listener:
    return Listener()


def nowhere(_: Moorings, __: Settled) -> None:
    return None


@pytest.fixture
def bearing(kernel: Reacting, listener: Listener, tmp_path: Path) -> Iterator[Bearing]:
    made = Bearing(HOST, kernel, Credence(HOST, tmp_path / "devices.json"), listener, nowhere)
    made.start()
    yield made
    made.stop()


def test_nothing_is_said_or_touched_before_the_store_speaks_and_after_it_is_lost(
    bearing: Bearing, kernel: Reacting, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearing_module, "EVERY", 0.05)
    resting, turns, wait = threading.Event(), list[float](), bearing._wait

    def waiting(holds: Callable[[], bool], seconds: float | None) -> None:
        """`resting`: whoever settles is in no round, and does not begin one by itself."""
        if seconds is None:
            resting.set()
        else:
            turns.append(seconds)
        wait(holds, seconds)

    monkeypatch.setattr(bearing, "_wait", waiting)
    bearing.moor(None)
    bearing.moor(replace(moorings(), nodes=()))
    assert bearing.word() is None
    bearing.moor(moorings(mooring(7, S.PROGRAMMED)))
    poll(lambda: bool(listener.words) and bool(listener.words[-1].parts))
    count = len(listener.words)
    poll(lambda: len(listener.words) > count + 3)  # it is repeated
    resting.clear()
    bearing.moor(None)
    assert bearing.word() is None
    assert resting.wait(DEADLINE)
    kernel.written.clear()
    (kernel.tree.homes[NICS[0]] / "sriov_numvfs").write_text("0\n")
    bearing.moor(None)
    count = len(turns)
    poll(lambda: len(turns) > count + 3)  # whoever speaks has looked several times whether there is a word
    assert kernel.written == []


def test_what_others_write_is_no_reason_to_look_at_devices(
    bearing: Bearing, kernel: Reacting, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearing_module, "EVERY", 3600.0)  # or it looks by itself on a machine that is slow
    found = moorings(mooring(7, S.PROGRAMMED))
    bearing.moor(found)
    poll(lambda: bool(listener.words) and listener.words[-1].parts[0].reached is R.SET)
    looks, links = [], kernel.links

    def counted(netdev: str) -> object:
        looks.append(netdev)
        return links(netdev)

    monkeypatch.setattr(kernel, "links", counted)
    for generation in range(101, 200):
        bearing.moor(replace(found, generation=generation))
    bearing.moor(moorings(mooring(7, S.VERIFIED), generation=200))
    poll(lambda: listener.words[-1].parts[0].state is S.VERIFIED)
    assert set(looks) == {"rail0", "rail1"} and len(looks) <= 4


def test_a_defect_is_told_and_ends_nothing(
    bearing: Bearing, kernel: Reacting, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearing_module, "EVERY", 0.05)
    bearing.moor(moorings(mooring(7, S.PROGRAMMED)))
    poll(lambda: bool(listener.words) and listener.words[-1].parts[0].reached is R.SET)

    def broken(_: str) -> None:
        raise RuntimeError("no such thing")

    with monkeypatch.context() as patch:
        patch.setattr(kernel, "links", broken)
        poll(lambda: [f.rule for f in listener.words[-1].parts[0].faults] == ["devices-unknown"])
        assert listener.words[-1].parts[0].reached is R.NOTHING
    poll(lambda: listener.words[-1].parts[0] == HostPart(7, S.PROGRAMMED, S.PROGRAMMED, R.SET))


def test_a_word_that_is_lost_is_said_again(
    bearing: Bearing, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearing_module, "EVERY", 0.05)
    listener.trouble = True
    bearing.moor(moorings(mooring(7, S.PROGRAMMED)))
    poll(lambda: listener.asked > 2)
    listener.trouble = False
    poll(lambda: bool(listener.words) and bool(listener.words[-1].parts))


def test_a_device_that_takes_its_time_is_told_meanwhile(
    bearing: Bearing, kernel: Reacting, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bearing_module, "EVERY", 0.05)
    monkeypatch.setattr(bearing_module, "LATE", 0.1)
    bearing.moor(moorings(mooring(7, S.PROGRAMMED)))
    poll(lambda: bool(listener.words) and listener.words[-1].parts[0].reached is R.SET)
    free, write = threading.Event(), kernel.write

    def slow(path: str, text: str) -> None:
        if path.endswith("unbind"):
            free.wait(60)
        write(path, text)

    monkeypatch.setattr(kernel, "write", slow)
    bearing.moor(moorings(mooring(7, S.RELEASING, S.PROGRAMMED)))
    poll(lambda: [f.rule for f in listener.words[-1].parts[0].faults] == ["device-slow"])
    part = listener.words[-1].parts[0]
    assert "VF 1 of 0000:18:00.0" in part.faults[0].message
    assert (part.state, part.reached) == (S.PROGRAMMED, R.SET), "no answer to what is asked now"
    free.set()
    poll(lambda: listener.words[-1].parts == (HostPart(7, S.RELEASING, S.PROGRAMMED, R.PARKED),))


def test_the_file_is_replaced_whole_and_is_roots(tmp_path: Path) -> None:
    path = tmp_path / "run" / "berths.json"
    write = Berthing(path, HOST, lambda: 77)
    write(moorings(), Settled())
    first = path.open()
    (path.parent / ".berths.json.new").symlink_to(tmp_path / "elsewhere")
    write(moorings(mooring(7, S.ACTIVE)), Settled())
    assert json.loads(first.read()) == {"version": 1, "stamp": 77, "host": HOST, "gangs": []}
    assert not (tmp_path / "elsewhere").exists()
    assert [each.name for each in path.parent.iterdir()] == ["berths.json"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_the_file_says_of_an_interface() -> None:
    plain = mooring(7, S.ACTIVE)
    first = replace(plain.berth.interfaces[0], addresses=(ip_address("10.64.1.3"), ip_address("fd00::1:3")))
    gang = replace(plain, berth=replace(plain.berth, interfaces=(first,)))
    (found,) = document(moorings(gang), Settled(), HOST, 5)["gangs"]
    assert found == {
        "tenant": "acme",
        "name": "job7",
        "generation": 7,
        "state": "active",
        "reached": "nothing",
        "pkey": "",
        "for": "container",
        "membership": "full",
        "fabric": "roce",
        "kind": "roce",
        "interfaces": [
            {
                "pf": "mlx0",
                "vf": 1,
                "pci": "",
                "rail": 0,
                "railName": "r0",
                "addresses": ["10.64.1.3/31", "fd00::1:3/127"],
                "gateway": ["10.64.1.2", "fd00::1:2"],
                "mac": "02:0a:00:00:00:02",
            }
        ],
    }
    ib = mooring(7, S.ACTIVE, kind=FabricKind.INFINIBAND)
    (found,) = document(moorings(ib, kind=FabricKind.INFINIBAND), Settled(), HOST, 5)["gangs"]
    assert (found["pkey"], found["kind"]) == ("0x0010", "infiniband")
    assert found["interfaces"][1]["portGuid"] == "0200:0000:0000:0213"
    for state in (S.RELEASED, S.PLANNED):
        gone = document(moorings(mooring(7, state, S.PLANNED)), Settled(), HOST, 5)
        assert gone["gangs"] == []
