"""No later life of the agent says a lower mobility sequence than one before, whatever it lost."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from immutables import Map

from bgp.interest import Interest
from bgp.originate import originate
from bgp.table import Limits
from controller.agent import commands, core, disk, effects, sequences, state
from controller.agent.sequences import Sequences
from model.change import Part
from model.ids import HostName
from model.intent import Binding
from model.inventory import Switch
from model.route import MacRoute, Route
from tests.unit.bgp.test_learn import announced
from tests.unit.bgp.world import HERE, V4, bind, flood_route, mac_route, port, world

RED = world().ports[HERE].network


class Speaker:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[Route] = []

    def announce(self, routes: Iterable[Route]) -> int:
        self.said.extend(routes)
        return len(self.said)

    def withdraw(self, routes: Iterable[Route]) -> int:
        return 0

    def eor(self) -> None: ...
    def learn(self, interest: Interest, targets: tuple[bytes, ...] | None) -> None: ...

    def sequences(self) -> list[int | None]:
        return [r.attributes.sequence for r in self.said if isinstance(r.nlri, MacRoute)]


def say(path: Path, *routes: Route) -> list[int | None]:
    """What a fresh life of the agent says for `routes`."""
    speaker = Speaker()
    Sequences(speaker, path).announce(routes)
    return speaker.sequences()


def test_a_later_life_does_not_go_back(tmp_path: Path) -> None:
    path = tmp_path / "sequences"
    assert say(path, mac_route("h1", 1), mac_route("h1", 1, V4, sequence=5)) == [None, 5]
    assert say(path, mac_route("h1", 1), mac_route("h1", 1, V4, sequence=3)) == [None, 5]
    assert say(path, mac_route("h1", 1, V4)) == [5]
    assert say(path, mac_route("h1", 1, V4, sequence=6), mac_route("h1", 2, V4)) == [6, None]


def test_nothing_is_written_until_something_moved(tmp_path: Path) -> None:
    path = tmp_path / "sequences"
    say(path, mac_route("h1", 1), flood_route("h1"))
    assert not path.exists()
    say(path, mac_route("h1", 1, sequence=1))
    before = path.stat().st_mtime_ns
    keeping = Sequences(Speaker(), path)
    written = path.stat().st_mtime_ns
    keeping.announce([mac_route("h1", 1, sequence=1), mac_route("h1", 1)])
    assert path.stat().st_mtime_ns == written >= before


@pytest.mark.parametrize(
    "garbage", [b"\xff\xfe", b"1 02:00 -", b"x" * 9_999, b"1 02:00:00:00:00:01 - 99999999999999"]
)
def test_a_line_that_was_cut_short_costs_that_line(tmp_path: Path, garbage: bytes) -> None:
    path = tmp_path / "sequences"
    say(path, mac_route("h1", 1, sequence=7))
    with path.open("ab") as out:
        out.write(garbage)
    assert say(path, mac_route("h1", 1)) == [7]
    assert say(path, mac_route("h1", 1, sequence=8)) == [8]
    assert say(path, mac_route("h1", 1)) == [8]


def test_a_full_disk_does_not_hold_up_the_announcement(tmp_path: Path) -> None:
    speaker = Speaker()
    keeping = Sequences(speaker, tmp_path / "missing" / "sequences")
    keeping.announce([mac_route("h1", 1, sequence=7)])
    keeping.announce([mac_route("h1", 1, sequence=2)])
    assert speaker.sequences() == [7, 7]


def test_what_is_remembered_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "MOST", 10)
    monkeypatch.setattr(sequences, "_LONGEST", 30)
    path = tmp_path / "sequences"
    keeping = Sequences(Speaker(), path)
    for number in range(500):
        keeping.announce([mac_route("h1", number % 50, sequence=number + 1)])
    assert len(path.read_text().splitlines()) <= 31
    assert say(path, mac_route("h1", 499 % 50)) == [500]


def _life(path: Path, ready: int) -> None:
    keeping = Sequences(Speaker(), path)
    number = 0
    while True:
        number += 1
        keeping.announce([mac_route("h1", 1, sequence=number)])
        os.write(ready, number.to_bytes(4, "big"))


def test_killed_at_any_moment_it_has_on_disk_what_it_said(tmp_path: Path) -> None:
    """The number comes after the announcement; a life that follows says at least that."""
    path = tmp_path / "sequences"
    for wanted in (1, 20, 57):
        readable, writable = os.pipe()
        life = multiprocessing.get_context("fork").Process(target=_life, args=(path, writable))
        life.start()
        os.close(writable)
        said = b""
        while len(said) < 4 * wanted:
            said += os.read(readable, 4)
        assert life.pid is not None
        os.kill(life.pid, signal.SIGKILL)
        life.join(20)
        while more := os.read(readable, 4096):
            said += more
        os.close(readable)
        last = int.from_bytes(said[-4:], "big")
        (again,) = say(path, mac_route("h1", 1))
        assert again is not None and again >= last >= wanted


def life(saved: Path) -> core.Core:
    return core.start(HostName("h1"), disk.load(saved), Limits())


def of(now: core.Core) -> set[int | None]:
    return {r.attributes.sequence for r in now.routes.ordered() if isinstance(r.nlri, MacRoute)}


def test_a_stale_snapshot_does_not_bring_an_old_sequence_back(tmp_path: Path) -> None:
    """The snapshot is saved now and then; the agent was killed after a move that it had announced already."""
    stale = replace(bind(world(), HERE, "h1", 3), switch=Switch("netdev", 1, "r"), epochs=Map({HERE: 1}))
    disk.save(stale, tmp_path / "snapshot.json")
    say(tmp_path / "sequences", *originate(bind(stale, HERE, "h1", 5)).ordered())
    again = life(tmp_path / "snapshot.json")
    assert of(again) == {3}  # what the agent thinks,
    assert set(say(tmp_path / "sequences", *again.routes.ordered())) == {5}  # and what it says


def test_without_any_file_nothing_is_said_before_the_store_has_spoken(tmp_path: Path) -> None:
    cold = life(tmp_path / "snapshot.json")
    assert not cold.routes.routes
    snapshot = bind(world(), HERE, "h1", 9)
    items = [
        (Part.CLUSTER, None, snapshot.cluster),
        *((Part.TENANT, key, value) for key, value in snapshot.tenants.items()),
        *((Part.NETWORK, key, value) for key, value in snapshot.networks.items()),
        *((Part.HYPERVISOR, key, value) for key, value in snapshot.hypervisors.items()),
        *((Part.PORT, key, value) for key, value in snapshot.ports.items()),
        *((Part.BINDING, key, value) for key, value in snapshot.bindings.items()),
    ]
    seen = state.Seen(Switch("netdev", 1, "r"), dict(snapshot.interfaces))
    warm = core.on_inventory(core.on_store(cold, tuple(items), (), state.Whole.YES).core, seen).core
    assert of(warm) == {9}


def test_a_port_that_an_external_host_had_is_claimed_with_the_next_sequence() -> None:
    snapshot = replace(world(), bindings=world().bindings.delete(HERE), switch=Switch("netdev", 1, "r"))
    ported = port(HERE, RED, ("h1", "ext"))
    snapshot = replace(snapshot, ports=snapshot.ports.set(HERE, ported))
    started = core.start(HostName("h1"), replace(snapshot, interfaces=Map()), Limits())
    started = core.on_peer_up(started, "rr", 0.0).core
    started = core.on_updates(started, [("rr", announced(mac_route("ext", HERE, sequence=6)))], 0.0).core
    result = core.on_inventory(started, state.Seen(Switch("netdev", 1, "r"), dict(world().interfaces)))
    assert commands.Bind(HERE, ported.uid, 7) in result.commands


def test_a_port_that_others_claim_is_claimed_again_with_a_higher_sequence() -> None:
    snapshot = replace(world(), switch=Switch("netdev", 1, "r"), epochs=Map({HERE: 1}))
    ported = port(HERE, RED, ("h1", "ext"))
    snapshot = replace(snapshot, ports=snapshot.ports.set(HERE, ported))
    now = core.on_peer_up(core.start(HostName("h1"), snapshot, Limits()), "rr", 0.0).core
    result = core.on_updates(now, [("rr", announced(mac_route("ext", HERE, sequence=4)))], 1.0)
    assert result.commands == (commands.Bind(HERE, ported.uid, 5),)
    answered = core.on_answer(result.core, HERE, Binding(HERE, HostName("h1"), 5, True))
    (routes,) = (c.routes for c in answered.commands if isinstance(c, commands.Announce))
    assert {r.attributes.sequence for r in routes if isinstance(r.nlri, MacRoute)} == {5}
    assert ip_address("10.0.0.1") in {r.nlri.address for r in routes if isinstance(r.nlri, MacRoute)}


def test_it_can_whatever_the_loop_asks_of_a_speaker(tmp_path: Path) -> None:
    """It stands in a speaker's place: with one method less, no agent gets far."""
    asked = {name for name in vars(effects.Speaker) if not name.startswith("_")}
    assert asked >= {"announce", "withdraw", "eor"}
    made = Sequences(Speaker(), tmp_path / "sequences")
    assert [name for name in sorted(asked) if not callable(getattr(made, name, None))] == []
