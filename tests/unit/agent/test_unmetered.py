"""A switch that does not take all meters: said as an alarm at the audit that finds it, and no longer than it
is so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from controller.agent import switching as module
from controller.agent.commands import Sweep
from controller.agent.switching import Switching
from model.change import Patch
from model.flow import Meter, Unit

WANTED = tuple(Meter(number, 10, 20, Unit.PACKETS) for number in (5, 6, 7))


@dataclass
class Short:
    """A channel to a switch with room for so many meters, and no flows."""

    room: int
    held: dict[int, Meter] = field(default_factory=dict)

    def meters(self) -> Mapping[int, Meter]:
        return dict(self.held)

    def meter_room(self) -> int:
        return self.room

    def send(self, patch: Patch) -> None:
        for meter in patch.meters:
            if len(self.held) < self.room or meter.id in self.held:
                self.held[meter.id] = meter

    def ensure_groups(self) -> tuple[()]:
        return ()

    def dumps(self) -> tuple[()]:
        return ()


@pytest.fixture
def audited(monkeypatch: pytest.MonkeyPatch) -> tuple[Switching, Short, Any]:
    """A switching whose channel is short of one meter; and its audit."""
    quiet = SimpleNamespace(settle=lambda: None, alarms=lambda: (), changed=lambda: None)
    monkeypatch.setattr(module, "ZoneKeeping", lambda *_: quiet)
    monkeypatch.setattr(module, "Forgetting", lambda *_: quiet)
    short = Short(len(WANTED) - 1)
    monkeypatch.setattr(module, "Channel", lambda *_, **__: short)
    made: Any = Switching(None, Path("run"), "br-int", "netdev", lambda: 0.0)  # type: ignore[arg-type]
    program = SimpleNamespace(meters=lambda: WANTED, flows=lambda: ())
    return made, short, lambda: made.audit(program, Sweep.ORPHANS, None)


def test_what_the_switch_has_no_room_for_is_an_alarm(audited: tuple[Switching, Short, Any]) -> None:
    switching, short, audit = audited
    audit()
    (words,) = switching.alarms()
    assert "1 of 3 meters" in words and "room for 2" in words
    audit()
    assert len(switching.alarms()) == 1
    short.room = 3
    audit()
    assert switching.alarms() == () and len(short.held) == 3


def test_a_switch_that_knows_no_meters_is_one(audited: tuple[Switching, Short, Any]) -> None:
    switching, short, audit = audited
    short.room = 0
    audit()
    (words,) = switching.alarms()
    assert "3 of 3 meters" in words and "room for 0" in words
