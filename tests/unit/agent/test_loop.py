"""The loop on hands that only note: when it reports."""

from __future__ import annotations

import queue
from dataclasses import fields
from pathlib import Path
from typing import Any

from bgp.client import Received
from bgp.codec.update import Update
from bgp.table import Limits
from controller.agent import core
from controller.agent.effects import Effects
from controller.agent.events import Event
from controller.agent.loop import Loop, Pace
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
