"""The loop on hands that only note: when it reports."""

from __future__ import annotations

import queue
from dataclasses import fields
from pathlib import Path
from typing import Any

from immutables import Map

from bgp.client import Received
from bgp.codec.update import Update
from bgp.table import Limits
from controller.agent import core
from controller.agent.effects import Effects
from controller.agent.events import Event, SessionDown, SessionUp
from controller.agent.loop import Loop, Pace
from model.errors import Fault, Unavailable
from model.ids import HostName
from model.report import Report


class Hands:
    """All of them in one; keeps the reports."""

    def __init__(self) -> None:
        self.reports: list[Report] = []

    def report(self, report: Report) -> None:
        self.reports.append(report)

    def alarms(self) -> tuple[str, ...]:
        return ()

    def __getattr__(self, _name: str) -> Any:
        return lambda *_: None


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
    events.put(Received("192.0.2.9", Update()))
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
        events.put(Received(one, Update()))
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
