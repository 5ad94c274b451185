"""When the data path is stilled, and when ports get a doubt instead."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from immutables import Map

from controller.agent import metering
from controller.agent.commands import Pace
from controller.agent.meter import Outcome, Presence
from controller.agent.metering import RATION, Metering
from controller.agent.standstill import Stillness
from model.ids import PortKey
from tests.unit.agent.test_core import running

ONE, TWO = PortKey(1), PortKey(2)
SNAPSHOT = running(1, 2).effective


class Scene:
    """A meter, a vantage and a switch that note what they are asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.stilled, self.stillness, self.broken = 100.0, 0, Stillness.PROVEN, 0
        self.doubted: list[frozenset[PortKey]] = []
        self.state = SimpleNamespace(baselines=Map({(ONE, 0, 1): None}))
        monkeypatch.setattr(metering, "still", self._still)
        monkeypatch.setattr(metering, "run_of", lambda *_: SimpleNamespace(host="hv1"))
        nothing: Any = SimpleNamespace(
            look=lambda *_: None,
            departures=dict,
            settle=lambda _: None,
            ports=lambda links: frozenset({TWO} if links else ()),
            leave=lambda _: None,
            close_links=lambda _: (),
        )
        self.metering = Metering(
            self, nothing, nothing, nothing, nothing, Path("/nowhere"), "boot",  # type: ignore[arg-type]
            clock=lambda: self.now, breaches=lambda: self.broken,
        )  # fmt: skip

    def _still(self, _rundir: Path, work: Any) -> Stillness:
        self.stilled += 1
        work()
        return self.stillness

    def tick(self, _run: Any, _snapshot: Any, presence: Presence) -> Outcome:
        self.doubted.append(presence.doubted)
        return Outcome.JOURNALLED

    def close_ports(self, *given: Any) -> Outcome:
        self.doubted.append(given[-1])
        return Outcome.JOURNALLED

    def shift(self, pace: Pace) -> int:
        done: list[int] = []
        self.metering.shift(SNAPSHOT, (ONE,), lambda: done.append(1), pace)
        return len(done)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_what_the_operator_changes_is_stilled_each_time(scene: Scene) -> None:
    assert [scene.shift(Pace.ALWAYS) for _ in range(3)] == [1, 1, 1]
    assert scene.stilled == 3 and not scene.doubted


def test_what_others_change_is_stilled_now_and_then(scene: Scene) -> None:
    assert [scene.shift(Pace.RATIONED) for _ in range(3)] == [1, 1, 1]
    assert scene.stilled == 1 and scene.doubted == [{ONE}], "the third is told with the next reading"
    scene.metering.read(SNAPSHOT)
    assert scene.doubted[1:] == [{ONE}]
    scene.now += RATION
    assert scene.shift(Pace.RATIONED) == 1
    assert scene.stilled == 2 and len(scene.doubted) == 2


def test_a_standstill_that_is_not_proven_is_a_doubt(scene: Scene) -> None:
    scene.stillness = Stillness.DOUBTFUL
    scene.shift(Pace.RATIONED)
    assert scene.doubted == [{ONE}]


def test_a_fence_that_was_not_given_back_is_a_doubt_once(scene: Scene) -> None:
    scene.metering.read(SNAPSHOT)
    scene.broken = 1
    scene.metering.read(SNAPSHOT)
    scene.metering.read(SNAPSHOT)
    assert scene.doubted == [frozenset(), {ONE}, frozenset()]
    scene.broken = 2
    scene.metering.close(SNAPSHOT, (TWO,), ("tap2",))
    scene.metering.read(SNAPSHOT)
    assert scene.doubted[3:] == [{ONE}, frozenset()]
