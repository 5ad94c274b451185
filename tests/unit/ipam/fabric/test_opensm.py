"""Holding OpenSM to what is wanted when it, its ports or programs that are asked do not go along."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from ipam.fabric import diagnostics as programs
from ipam.fabric import opensm as module
from ipam.fabric.diagnostics import Diagnostics, Offers
from ipam.fabric.managers import Seen, Standing
from ipam.fabric.opensm import Alarm, Clock, OpenSm, alive, reload
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.publish import observe, publish
from ipam.fabric.tables import Difference
from model.fabric import FULL_MEMBER, Guid, PKey
from tests.fakes import hanging
from topologies.deadline import until

AMPLE = 60.0
"""Seconds for what ends by itself, on a machine that is busy with other things."""

SM, A, B = Guid(0x0002C90300000001), Guid(0x0200000000000001), Guid(0x0200000000000003)
NONE = Partitions((SM,))
WANTED = Partitions((SM,), (Partition(PKey(0x10), (A,)), Partition(PKey(0x11), (B,))))


@dataclass
class Fabric:
    """A subnet manager that reads its file when told, after `lag` looks; it may be deaf, ports stuck."""

    path: Path
    tables: dict[Guid, tuple[int, ...] | None] = field(default_factory=dict)
    lag: int = 0
    deaf: bool = False
    stuck: frozenset[Guid] = frozenset()
    sent: dict[Guid, tuple[int, ...]] = field(default_factory=dict)
    said: tuple[Seen, ...] | None = (Seen(SM, Standing.MASTER),)
    reloads: list[Partitions | None] = field(default_factory=list)
    now: float = 0.0
    waiting: int = 0

    def reload(self, _: Path) -> bool:
        if not self.deaf:
            self.reloads.append(observe(self.path))
            self.waiting = self.lag
            if not self.lag:
                self._send()
        return not self.deaf

    def _send(self) -> None:
        held = observe(self.path) or Partitions()
        own = {g: p.pkey | FULL_MEMBER for p in held.tenants for g in p.full}
        own |= {g: int(p.pkey) for p in held.tenants for g in p.limited}
        for guid in self.tables:
            table = (own[guid], 0x7FFF) if guid in own else (0x7FFF,)
            if guid not in self.stuck and self.sent.get(guid) != table:
                self.sent[guid] = self.tables[guid] = table

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.waiting:
            self.waiting -= 1
            if not self.waiting:
                self._send()


@pytest.fixture
def fabric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fabric]:
    made = Fabric(tmp_path / "partitions.conf", {A: (0x7FFF,), B: (0x7FFF,)})
    publish(made.path, NONE)
    monkeypatch.setattr(module, "reload", made.reload)
    monkeypatch.setattr(module, "alive", lambda _: not made.deaf)
    monkeypatch.setattr(Diagnostics, "tables", lambda _, guids: {g: made.tables.get(g) for g in guids})
    monkeypatch.setattr(Diagnostics, "managers", lambda _: made.said)
    yield made


def driver(fabric: Fabric) -> OpenSm:
    clock = Clock(lambda: fabric.now, fabric.sleep)
    return OpenSm(fabric.path, fabric.path.with_name("pid"), SM, (SM,), Diagnostics(), clock, patience=1.0)


def test_it_waits_until_ports_have_it(fabric: Fabric) -> None:
    fabric.lag = 5
    verdict = driver(fabric).hold(NONE, WANTED, [])
    assert (verdict.alarms, verdict.left) == ((), ())
    assert verdict.tables == {A: (0x8010, 0x7FFF), B: (0x8011, 0x7FFF)}
    assert fabric.reloads == [WANTED]


def test_while_it_is_under_way_few_are_asked(fabric: Fabric, monkeypatch: pytest.MonkeyPatch) -> None:
    """And all of them before it is said that they have it, also if those few had it first."""
    guids = [Guid(0x0200000000000001 + 2 * n) for n in range(1000)]
    fabric.tables, fabric.lag, asked = dict.fromkeys(guids, (0x7FFF,)), 6, []

    def tables(_: Diagnostics, some: Iterable[Guid]) -> dict[Guid, tuple[int, ...] | None]:
        wanted = sorted(some)
        asked.append(len(wanted))
        if fabric.waiting == 3:
            fabric.tables |= {guid: (0x8010, 0x7FFF) for guid in wanted if len(wanted) < 100}
        return {guid: fabric.tables[guid] for guid in wanted}

    monkeypatch.setattr(Diagnostics, "tables", tables)
    wanted = Partitions((SM,), (Partition(PKey(0x10), tuple(guids)),))
    verdict = driver(fabric).hold(NONE, wanted, [])
    assert (verdict.alarms, verdict.left) == ((), ())
    assert set(verdict.tables.values()) == {(0x8010, 0x7FFF)}
    assert asked[0] == asked[-1] == 1000
    assert asked.count(1000) == 3 and sorted(asked)[-4] <= 8


def test_nothing_to_do_is_nothing_done(fabric: Fabric) -> None:
    driver(fabric).hold(NONE, WANTED, [])
    before = fabric.path.stat().st_mtime_ns
    assert driver(fabric).hold(WANTED, WANTED, []).alarms == ()
    assert len(fabric.reloads) == 1
    assert fabric.path.stat().st_mtime_ns == before


def test_a_manager_that_is_away_finds_the_right_file(fabric: Fabric) -> None:
    fabric.deaf = True
    verdict = driver(fabric).hold(NONE, WANTED, [])
    assert set(verdict.alarms) == {Alarm.SILENT, Alarm.LEFT}
    assert observe(fabric.path) == WANTED
    fabric.deaf = False
    assert driver(fabric).hold(WANTED, WANTED, []).left == ()


def test_a_manager_that_dies_later_is_alarmed_though_ports_are_right(fabric: Fabric) -> None:
    driver(fabric).hold(NONE, WANTED, [])
    fabric.deaf = True
    assert driver(fabric).hold(WANTED, WANTED, []).alarms == (Alarm.SILENT,)


def test_a_table_that_only_a_change_mends(fabric: Fabric) -> None:
    """Never is a port in a partition of another while it is set aside; at the end the file is as wanted."""
    driver(fabric).hold(NONE, WANTED, [])
    fabric.tables[A] = (0x8010, 0x7FFF, 0x8011)
    verdict = driver(fabric).hold(WANTED, WANTED, [])
    assert verdict.alarms == (Alarm.PORTS,)
    assert verdict.left == ()
    assert fabric.tables[A] == (0x8010, 0x7FFF)
    assert fabric.reloads[1:] == [WANTED, replace(WANTED, tenants=WANTED.tenants[1:]), WANTED]


def test_a_port_that_takes_nothing_is_left_and_told(fabric: Fabric) -> None:
    fabric.stuck = frozenset({A})
    verdict = driver(fabric).hold(NONE, WANTED, [])
    assert verdict.alarms == (Alarm.LEFT,)
    assert [(d.guid, d.what) for d in verdict.left] == [(A, Difference.LACKING)]
    assert fabric.tables[B] == (0x8011, 0x7FFF), "the others have what is theirs"
    assert observe(fabric.path) == WANTED


def test_a_port_that_is_away_is_waited_for_by_nobody(fabric: Fabric) -> None:
    del fabric.tables[A]
    verdict = driver(fabric).hold(NONE, WANTED, [])
    assert verdict.alarms == ()
    assert [(d.guid, d.what) for d in verdict.left] == [(A, Difference.UNSEEN)]
    assert fabric.now == 0.0


def test_after_a_start_nothing_is_called_drift(fabric: Fabric) -> None:
    fabric.path.unlink()
    fabric.tables[A] = (0xFFFF,)
    verdict = driver(fabric).hold(None, WANTED, [])
    assert (verdict.alarms, verdict.altered, verdict.left) == ((), (), ())


@pytest.mark.parametrize(
    ("said", "alarms"),
    [
        (None, {Alarm.MUTE}),
        ((Seen(SM, Standing.MASTER), Seen(A, Standing.STANDBY)), {Alarm.STRANGER}),
        ((Seen(SM, Standing.STANDBY), Seen(A, Standing.MASTER)), {Alarm.STRANGER, Alarm.DEPOSED}),
    ],
)
def test_managers(fabric: Fabric, said: tuple[Seen, ...] | None, alarms: set[Alarm]) -> None:
    fabric.said = said
    assert set(driver(fabric).hold(NONE, NONE, []).alarms) == alarms


def test_a_signal_goes_to_opensm_only(tmp_path: Path) -> None:
    """Also one that is called so, but would die of the signal, gets none."""
    path, program = tmp_path / "pid", tmp_path / "opensm"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([program, "60"]) as sleeper:
        try:
            path.write_text(f"{sleeper.pid}\n")
            comm = Path(f"/proc/{sleeper.pid}/comm")
            until("it is called so", lambda: comm.read_text().strip() == "opensm", AMPLE)
            assert not alive(path)
            assert not reload(path)
            assert sleeper.poll() is None
        finally:
            sleeper.kill()
    assert not alive(tmp_path / "none")


def _program(folder: Path, text: str) -> Diagnostics:
    for name in ("smpquery", "sminfo", "saquery"):
        path = folder / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    return Diagnostics(environment={"PATH": f"{folder}:/usr/bin:/bin"})


@pytest.mark.parametrize(
    "text",
    [
        "echo nonsense",
        "exit 1",
        "kill -9 $$",
        "echo '32 pkeys capacity for this port'",
        "head -c 2000000 /dev/zero",
    ],
)
def test_programs_that_fail_give_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    made = _program(tmp_path, text)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert made.tables([A, B]) == {A: None, B: None}
    assert made.managers() is None


def test_programs_that_hang_are_ended_with_their_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "_LIMIT", 0.2)
    made, pids = _program(tmp_path, "sleep 600 & echo $! >> pids; wait"), tmp_path / "pids"
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    hanging.install(monkeypatch, lambda: pids.exists() and pids.read_text().endswith("\n"))
    assert replace(made, directory=str(tmp_path)).table(A) is None
    pid = int(pids.read_text())
    until("its child is ended, too", lambda: not _runs(pid), AMPLE)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_programs_that_are_missing_give_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Diagnostics().table(A) is None


def test_ports_that_claim_a_manager_and_are_silent_cost_little_and_hide_none() -> None:
    """Any host of a tenant may claim it; one that answers is asked each time from then on."""
    offers, lids = Offers(), tuple(range(1, 101))
    seen: set[int] = set()
    for _ in range(13):
        turn = offers.next(lids)
        assert len(turn) <= 9
        assert 42 in turn or not offers.heard
        seen |= set(turn)
        offers.heard = {lid for lid in turn if lid == 42}
    assert seen == set(lids)
    assert offers.next(()) == ()
    assert Offers().next((5, 3)) == (3, 5)
