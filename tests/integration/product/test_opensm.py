"""OpenSM under our driver on a simulated rail fabric: who resolves whom, and what becomes of drift."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipam.fabric import reading
from ipam.fabric.course import Stand, judge, plan
from ipam.fabric.diagnostics import Diagnostics
from ipam.fabric.opensm import Alarm, Clock, OpenSm, Verdict, reload
from ipam.fabric.partitions import Partition, Partitions
from ipam.fabric.publish import publish
from ipam.fabric.tables import Difference, lingering
from model.fabric import Guid, PKey, RailIndex
from model.gang import Berth, Event, Gang, GangRequest, Interface, Progress, begin, finish
from model.ids import HostName, Mac
from tests.fakes.estate import infiniband
from tests.singular import RUN
from topologies.deadline import until
from topologies.subnet import MANAGERS, Subnet, adapter, open_subnet, port

pytestmark = pytest.mark.integration

NODES, RAILS = 4, 8
ACME, UMBRA = PKey(0x10), PKey(0x11)
SM = Guid(MANAGERS[0])


def ports(*nodes: int) -> tuple[Guid, ...]:
    return tuple(Guid(port(node, rail)) for node in nodes for rail in range(RAILS))


EVERY = ports(*range(NODES))
NOBODY = Partitions((SM,))
BOTH = Partitions((SM,), (Partition(ACME, ports(0, 1)), Partition(UMBRA, ports(2), ports(3))))
LATER = Partitions((SM,), (Partition(UMBRA, ports(2), ports(3)),))


def driver(subnet: Subnet) -> OpenSm:
    clock = Clock(time.monotonic, time.sleep)
    diagnostics = Diagnostics(directory=str(subnet.path), environment=subnet.environment())
    return OpenSm(subnet.partitions, subnet.pid_file, SM, (SM,), diagnostics, clock, patience=1.5)


@pytest.fixture(scope="module")
def subnet() -> Iterator[Subnet]:
    with open_subnet(f"opensm-{RUN}", NODES, RAILS) as made:
        publish(made.partitions, NOBODY)
        made.start()
        yield made
        print(made.logs())


@pytest.fixture
def held(subnet: Subnet) -> OpenSm:
    """Both tenants have their gangs."""
    opensm = driver(subnet)
    verdict = opensm.hold(None, BOTH, EVERY)
    assert not verdict.alarms and not verdict.left, verdict
    return opensm


def tells(verdict: Verdict) -> dict[Guid, set[Difference]]:
    return {
        guid: {d.what for d in verdict.altered if d.guid == guid}
        for guid in {d.guid for d in verdict.altered}
    }


def matrix(subnet: Subnet) -> set[tuple[int, int]]:
    """Pairs of nodes that resolve each other, on the same rail and on another."""
    return {
        (a, b)
        for a in range(NODES)
        for b in range(NODES)
        if a < b
        and (subnet.resolves(port(a, 0), port(b, 0)), subnet.resolves(port(a, 0), port(b, 7))) == (True, True)
    } | {
        (b, a)
        for a in range(NODES)
        for b in range(NODES)
        if a < b and (subnet.resolves(port(a, 0), port(b, 0)) or subnet.resolves(port(b, 3), port(a, 5)))
    }


def intrude(subnet: Subnet, guid: Guid, *entries: int, host: str) -> None:
    info = subnet.ask("smpquery", "-G", "portinfo", f"0x{guid:016x}").stdout
    lid = re.search(r"(?m)^Lid:\.+([0-9]+)$", info)
    assert lid is not None, info
    words = [f"0x{entry:04x}" for entry in entries]
    done = subnet.ask(sys.executable, "-m", "topologies.intruder", lid[1], *words, host=host)
    assert done.ok, done


def test_tenants_resolve_their_own_and_nobody_elses(subnet: Subnet, held: OpenSm) -> None:
    """Full members each other, limited ones the full ones; across tenants none."""
    assert matrix(subnet) == {(0, 1), (1, 0), (2, 3), (3, 2)}
    assert not subnet.resolves(port(3, 0), port(3, 1)), "limited members reach full ones only"
    table = subnet.ask("smpquery", "-G", "pkeys", f"0x{port(0, 0):016x}").stdout.split()
    assert table[1:4] == ["0x8010", "0x7fff", "0x0000"]
    assert subnet.resolves(MANAGERS[0], port(0, 0)), "all reach the subnet manager"


def test_who_left_resolves_nothing_and_may_be_reused_after_that(subnet: Subnet, held: OpenSm) -> None:
    before = held.diagnostics.tables(EVERY)
    assert lingering(ports(0, 1), ACME, before) == ports(0, 1)
    verdict = held.hold(BOTH, LATER, EVERY)
    assert not verdict.alarms and not verdict.left
    assert lingering(ports(0, 1), ACME, verdict.tables) == ()
    assert matrix(subnet) == {(2, 3), (3, 2)}
    # the same ports, for another tenant
    moved = replace(BOTH, tenants=(Partition(UMBRA, ports(1, 2), ports(3)),))
    assert not held.hold(LATER, moved, EVERY).alarms
    assert matrix(subnet) == {(1, 2), (2, 1), (1, 3), (3, 1), (2, 3), (3, 2)}


def gang(tenant: str, pkey: PKey, generation: int, *nodes: int, progress: Progress) -> Gang:
    """As the store has it: all rails of some nodes."""
    berths = tuple(
        Berth(
            f"n{node}",
            HostName(f"hv{node}"),
            (),
            tuple(
                Interface(rail, f"mlx{rail}", 0, RailIndex(rail), (), Mac(0), Guid(guid - 1), guid)
                for rail, guid in enumerate(ports(node))
            ),
        )
        for node in nodes
    )
    return Gang(GangRequest(tenant, "train", "ib", count=len(nodes)), generation, progress, berths, pkey)


def test_gangs_from_reserved_to_released(subnet: Subnet, held: OpenSm) -> None:
    """As the store's states say, by what ports show: nothing before it is begun, gone only when seen gone."""
    fabric, said = infiniband(RAILS), {}

    def turn(before: Partitions | None, *gangs: Gang) -> Partitions:
        course = plan(gangs, fabric, [SM])
        verdict = held.hold(before, course.wanted, course.ask)
        said.update({account.gang.request.tenant: account.stand for account in judge(course, verdict)})
        assert not course.out and not verdict.alarms
        return course.wanted

    reserved = finish(Progress(), Event.RESERVE)
    acme, umbra = (
        gang("acme", ACME, 1, 0, 1, progress=reserved),
        gang("umbra", UMBRA, 2, 2, 3, progress=reserved),
    )
    now = turn(BOTH, acme, umbra)
    assert said == {"acme": Stand.BEGIN, "umbra": Stand.BEGIN}
    held.hold(now, now, EVERY)
    assert matrix(subnet) == set()
    acme = replace(acme, progress=begin(acme.progress, Event.PROGRAM))
    umbra = replace(umbra, progress=begin(umbra.progress, Event.PROGRAM))
    now = turn(now, acme, umbra)
    assert said == {"acme": Stand.JOINED, "umbra": Stand.JOINED}
    assert matrix(subnet) == {(0, 1), (1, 0), (2, 3), (3, 2)}
    acme = replace(acme, progress=finish(acme.progress, Event.RELEASE))
    turn(now, acme, umbra)
    assert said == {"acme": Stand.GONE, "umbra": Stand.JOINED}
    assert matrix(subnet) == {(2, 3), (3, 2)}


def test_opensm_killed_and_back_says_the_same(subnet: Subnet, held: OpenSm) -> None:
    subnet.managers["sm0"].kill()
    verdict = held.hold(BOTH, BOTH, EVERY)
    assert {Alarm.SILENT, Alarm.MUTE} <= set(verdict.alarms)
    assert not reload(subnet.pid_file)
    subnet.start()
    until("quiet", lambda: not held.hold(BOTH, BOTH, EVERY).alarms, 20)
    assert matrix(subnet) == {(0, 1), (1, 0), (2, 3), (3, 2)}


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("Default=0x7fff:ALL=full;\n", id="open"),
        pytest.param("%%%\n", id="broken", marks=pytest.mark.long),
        pytest.param(None, id="gone", marks=pytest.mark.long),
    ],
)
def test_a_file_changed_by_hand_is_alarmed_and_mended(
    subnet: Subnet, held: OpenSm, content: str | None
) -> None:
    if content is None:
        subnet.partitions.unlink()
    else:
        subnet.partitions.write_text(content)
    assert reload(subnet.pid_file)
    until("open", lambda: subnet.resolves(port(0, 0), port(2, 0)), 10)
    verdict = held.hold(BOTH, BOTH, EVERY)
    assert verdict.alarms == (Alarm.FILE, Alarm.PORTS)
    assert tells(verdict)[EVERY[0]] >= {Difference.OPEN, Difference.LACKING}
    assert set(tells(verdict)) == set(EVERY)
    assert not verdict.left
    assert matrix(subnet) == {(0, 1), (1, 0), (2, 3), (3, 2)}
    assert held.hold(BOTH, BOTH, EVERY).alarms == ()


@pytest.mark.long
def test_a_table_changed_past_opensm_is_alarmed_and_mended(subnet: Subnet, held: OpenSm) -> None:
    victim, idle = Guid(port(2, 0)), Guid(port(0, 0))
    intrude(subnet, victim, 0x8011, 0x7FFF, 0x8010, host=adapter(0, 0))
    verdict = held.hold(BOTH, BOTH, EVERY)
    assert verdict.alarms == (Alarm.PORTS,)
    assert tells(verdict) == {victim: {Difference.STRAY}}
    assert not verdict.left
    assert held.diagnostics.table(victim) == (0x8011, 0x7FFF, *[0] * 62)
    # a port of no gang
    assert not held.hold(BOTH, LATER, EVERY).alarms
    intrude(subnet, idle, 0xFFFF, 0x8011, host=adapter(1, 1))
    verdict = held.hold(LATER, LATER, EVERY)
    assert verdict.alarms == (Alarm.PORTS,)
    assert tells(verdict) == {idle: {Difference.OPEN, Difference.STRAY, Difference.DEFAULT}}
    assert not verdict.left
    assert held.diagnostics.table(idle) == (0x7FFF, *[0] * 63)


@pytest.mark.long
def test_a_port_that_is_away_is_nobodys_proof(subnet: Subnet, held: OpenSm) -> None:
    """Its node comes back with the table that it had; until it is read again, its GUID is not free."""
    away = Guid(port(1, 4))
    subnet.command(f'Unlink "{adapter(1, 4)}"')
    until("away", lambda: held.diagnostics.table(away) is None, 20)
    verdict = held.hold(BOTH, LATER, EVERY)
    assert [(d.guid, d.what) for d in verdict.left] == [(away, Difference.UNSEEN)]
    assert lingering(ports(0, 1), ACME, verdict.tables) == (away,)
    subnet.command(f'ReLink "{adapter(1, 4)}"')
    assert reload(subnet.pid_file)
    until("back", lambda: held.diagnostics.table(away) is not None, 20)
    verdict = held.hold(LATER, LATER, EVERY)
    assert lingering(ports(0, 1), ACME, verdict.tables) == ()


@pytest.mark.long
def test_another_manager_is_alarmed(subnet: Subnet, held: OpenSm) -> None:
    rogue = Guid(MANAGERS[1])
    other = subnet.manager("sm1", rogue)
    other.start()
    try:
        until("known", lambda: Alarm.STRANGER in held.hold(BOTH, BOTH, ()).alarms, 20)
        assert [each.guid for each in held.hold(BOTH, BOTH, ()).managers] == [rogue]
        allowed = replace(held, allowed=(SM, rogue))
        assert allowed.hold(BOTH, BOTH, ()).alarms == ()
    finally:
        other.stop()


def test_ports_say_the_same_to_us_as_to_smpquery(subnet: Subnet, held: OpenSm) -> None:
    """Two blocks of each; also when all that is known of LIDs is wrong, and of a port that does not exist."""
    asked = held.diagnostics
    expected = {guid: asked.table(guid) for guid in EVERY}
    assert {len(table or ()) for table in expected.values()} == {64}
    assert len(set(expected.values())) == 3, "two tenants, full and limited members"
    asked.lids.clear()
    assert asked.tables(EVERY) == expected
    right = dict(asked.lids)
    assert set(right) == set(EVERY)
    asked.lids.update({guid: right[other] for guid, other in zip(EVERY, EVERY[1:] + EVERY[:1], strict=True)})
    foreign = Guid(port(NODES, 0))
    assert asked.tables([*EVERY, foreign]) == expected | {foreign: None}
    assert asked.lids == right
    asked.lids[EVERY[0]] = 0xBFFF
    assert asked.tables(EVERY) == expected


def test_a_library_that_hangs_holds_nobody_up(
    subnet: Subnet, held: OpenSm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator's waits for ever for a simulator that is not there, as one may for a device."""
    monkeypatch.setattr(reading, "_PATIENCE", 0.2)
    monkeypatch.setattr(reading, "_GRACE", 0.3)
    nowhere = subnet.environment() | {"IBSIM_SOCKNAME": "nowhere"}
    asked = replace(held.diagnostics, environment=nowhere)
    assert set(asked.tables(EVERY).values()) == {None}


def test_a_process_that_is_not_opensm_gets_no_signal(tmp_path: Path) -> None:
    """The number of a dead OpenSM may be another process' by now. Whoever starts the tests may ignore the
    signal (nohup), so the other process takes it as is usual."""
    path = tmp_path / "pid"
    with subprocess.Popen(["env", "--default-signal=HUP", "sleep", "600"]) as other:
        try:
            until("it sleeps", lambda: Path(f"/proc/{other.pid}/comm").read_text() == "sleep\n", 10)
            path.write_text(f"{other.pid}\n")
            assert not reload(path)
            assert other.poll() is None
            other.send_signal(signal.SIGHUP)
            assert other.wait(10) == -signal.SIGHUP, "it would have died of it"
        finally:
            other.kill()
    for text in ("", "-1", "0", "x", "9" * 40):
        path.write_text(text)
        assert not reload(path)
