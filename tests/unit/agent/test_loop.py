"""The loop on hands that only note: when it reports."""

from __future__ import annotations

import queue
from dataclasses import fields, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from immutables import Map

from bgp.client import Received
from bgp.codec.update import Parts, join
from bgp.table import Limits
from controller.agent import core
from controller.agent.effects import Effects
from controller.agent.events import Event, SessionDown, SessionUp, Silent
from controller.agent.knowledge import Late
from controller.agent.loop import Loop
from controller.agent.pace import Pace
from controller.agent.receipts import Mended
from controller.agent.switching import Found
from model.asked import NOTHING, Asked
from model.errors import Fault, Unavailable
from model.ids import HostName
from model.report import Finding, Mending, Report
from pipelines import compile as pipeline
from tests.unit.agent.test_reporting import snapshot

FLOW = next(iter(pipeline.compile(snapshot()).flows()))

EMPTY = join(Parts())
"""An UPDATE that says nothing."""


class Hands:
    """All of them in one; keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, head: Report, details: Report | None, _ports: Any) -> None:
        self.reports.append(head if details is None else details)

    def alarms(self) -> tuple[str, ...]:
        return ()

    def least(self) -> int:
        return 0

    def words(self) -> str:
        return ""

    def rest(self) -> float:
        return 0.0

    def asked(self) -> Asked:
        return NOTHING

    def turns(self) -> tuple[int, int]:
        return 0, 0

    def __getattr__(self, _name: str) -> Any:
        return lambda *_, **__: None


class Alarmed(Hands):
    """The same, of a host on which something is wrong."""

    def alarms(self) -> tuple[str, ...]:
        return ("a device is not counted",)


def test_what_is_wrong_with_devices_past_the_switch_is_among_the_alarms() -> None:
    hands = Hands()
    effects: Any = replace(Effects(*[hands] * len(fields(Effects))), bypass=Alarmed())  # type: ignore[arg-type]
    assert effects.alarms() == ("a device is not counted",)


def test_what_peers_said_is_reported_before_the_next_heartbeat(tmp_path: Path) -> None:
    hands, now = Hands(), [100.0]
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    start = core.start(HostName("hv1"), None, Limits())
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    loop = Loop(start, effects, events, tmp_path, Pace(heartbeat=50.0), lambda: now[0], lambda: 0)
    loop._periodic()
    assert len(hands.reports) == 1
    now[0] += 1
    loop._take(0.0)
    loop._periodic()
    assert len(hands.reports) == 1, "nothing happened, and the heartbeat is far"
    events.put(Received("192.0.2.9", EMPTY))
    loop._take(0.0)
    loop._periodic()
    assert len(hands.reports) == 2


def test_a_flood_of_updates_is_heard_in_its_order(tmp_path: Path, monkeypatch: Any) -> None:
    hands, heard = Hands(), list[str]()
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    start = core.start(HostName("hv1"), None, Limits())
    loop = Loop(start, effects, events, tmp_path, Pace(), lambda: 100.0, lambda: 0)

    def note(now: core.Core, updates: Any, _: float) -> core.Result:
        heard.extend(peer for peer, _ in updates)
        return core.Result(now)

    monkeypatch.setattr(core, "on_updates", note)
    said = [str(n) for n in range(2_500)]
    for one in said:
        events.put(Received(one, EMPTY))
    while not events.empty():
        loop._take(0.0)
    assert heard == said


class BusySwitch(Hands):
    """Its first answers come too late."""

    def __init__(self) -> None:
        super().__init__()
        self.late = 2

    def epochs(self) -> Map[Any, int]:
        if self.late:
            self.late -= 1
            raise Unavailable(Fault("switch", "switch-unavailable", "no answer before the deadline", "wait"))
        return Map()


def test_a_session_whose_counters_could_not_be_read_is_adopted_later(tmp_path: Path) -> None:
    hands, now = BusySwitch(), [100.0]
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    start = core.start(HostName("hv1"), None, Limits())
    loop = Loop(start, effects, events, tmp_path, Pace(), lambda: now[0], lambda: 0)
    events.put(SessionUp())
    loop._take(0.0)
    assert not loop.core.session
    for _ in range(4):
        now[0] += 1.0
        loop._take(0.0)
        loop._periodic()
    assert loop.core.session
    events.put(SessionDown("gone"))
    loop._take(0.0)
    now[0] += 1.0
    loop._periodic()
    assert not loop.core.session, "a session that has ended is not taken up again"


class TamperedSwitch(Hands):
    """Each look at it finds what is next in `finds`, and nothing after that."""

    def __init__(self, finds: list[Found]) -> None:
        super().__init__()
        self.finds = finds
        self.looks: list[float] = []
        self.now = [100.0]

    def epochs(self) -> Map[Any, int]:
        return Map()

    def audit(self, *_: Any) -> Found:
        self.looks.append(self.now[0])
        return self.finds.pop(0) if self.finds else Found(0, 0, 0, 0)


def watch(hands: TamperedSwitch, path: Path) -> Loop:
    """A loop with session and cluster whose start lies behind it: looks from now on are periodic ones."""
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    bare = core.start(HostName("hv1"), None, Limits())
    known = replace(bare, session=True, effective=snapshot())
    pace = Pace(audit=60.0, again=2.0, tick=1e9)
    loop = Loop(known, effects, events, path, pace, lambda: hands.now[0], lambda: 7)
    loop._due.tick = 1e9
    return loop


def found() -> Found:
    return Found(0, 1, 0, 0, (Mended(Finding.MISSING, Mending.PUT, FLOW),))


def test_a_finding_is_looked_after_once_and_soon(tmp_path: Path) -> None:
    hands = TamperedSwitch([found(), found()])
    loop = watch(hands, tmp_path)
    for _ in range(130):
        loop._periodic()
        hands.now[0] += 0.5
    assert hands.looks == [100.0, 102.0, 162.0], "not at that pace for ever"
    told = [report.receipts for report in hands.reports if report.receipts]
    assert [r.finding for r in told[-1]] == [Finding.MISSING] * 2
    assert len(told) == 2, "they are long: told when there are more, not with each audit"


def test_what_a_failed_command_left_behind_makes_no_receipt(tmp_path: Path) -> None:
    hands = TamperedSwitch([found()])
    loop = watch(hands, tmp_path)
    loop._audit_due = True
    loop._periodic()
    assert hands.looks == [100.0] and hands.reports[-1].receipts == ()
    assert hands.reports[-1].drift.wrong == 1


def test_a_flow_changed_again_and_again_degrades_the_host(tmp_path: Path) -> None:
    hands = TamperedSwitch([found() for _ in range(3)])
    loop = watch(hands, tmp_path)
    for _ in range(130):
        loop._periodic()
        hands.now[0] += 0.5
    assert "changed by somebody else 3 times" in hands.reports[-1].reason


class Stilled(Hands):
    """The data path was stilled a moment ago."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.busy, self.writing = 0.7, False, False

    def rest(self) -> float:
        return self.left


def test_what_waits_for_the_data_path_is_taken_up_as_soon_as_it_may_be_stilled(
    tmp_path: Path, monkeypatch: Any
) -> None:
    hands, now, rested = Stilled(), [100.0], list[bool]()
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    start = replace(core.start(HostName("hv1"), None, Limits()), late=Late(intent=True))
    slow = Pace(tick=50.0, save=50.0, report=50.0, details=50.0, heartbeat=50.0, sight=50.0, read=50.0)
    loop = Loop(start, effects, events, tmp_path, slow, lambda: now[0], lambda: 0)

    def note(given: core.Core) -> core.Result:
        rested.append(given.resting)
        return core.Result(replace(given, late=Late()))

    monkeypatch.setattr(core, "on_rested", note)
    loop._periodic()
    assert loop.core.resting and not rested
    assert loop._next() - now[0] == pytest.approx(0.7)
    now[0] += 0.7
    hands.left = 0.0
    events.put(Silent(ip_address("192.0.2.12")))
    loop._take(0.0)
    assert not loop.core.resting and not rested, "something else came first"
    loop._periodic()
    assert len(rested) == 1 and not loop.core.late
    loop._periodic()
    assert len(rested) == 1, "once"
