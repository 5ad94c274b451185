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
from controller.southbound import unixctl
from model.errors import Fault, Unavailable
from model.ids import PortKey
from tests.unit.agent.test_core import running

ONE, TWO = PortKey(1), PortKey(2)
SNAPSHOT = running(1, 2).effective


class Scene:
    """A meter, a vantage and a switch that note what they are asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now, self.stilled, self.stillness, self.broken = 100.0, 0, Stillness.PROVEN, 0
        self.doubted: list[frozenset[PortKey]] = []
        self.withheld: list[frozenset[PortKey]] = []
        self.purges, self.purgeable, self.order = 0, True, ""
        self.state = SimpleNamespace(baselines=Map({(ONE, 0, 1): None}), unsure=frozenset())
        self.foreseen: list[frozenset[PortKey]] = []
        monkeypatch.setattr(metering, "still", self._still)
        monkeypatch.setattr(unixctl, "revalidate_purge", self._purge)
        monkeypatch.setattr(metering, "run_of", lambda *_: SimpleNamespace(host="hv1"))
        nothing: Any = SimpleNamespace(
            look=lambda *_: None,
            departures=dict,
            settle=lambda _: None,
            ports=lambda links: frozenset({TWO} if links else ()),
            leave=lambda _: None,
            close_links=lambda _: (),
            sight=lambda: frozenset({ONE}),
            recall=lambda *_: None,
            search=lambda *_: None,
            pending=False,
        )
        self.metering = Metering(
            self, nothing, nothing, nothing, nothing, Path("/nowhere"), "boot",
            clock=lambda: self.now, breaches=lambda: self.broken,
        )  # fmt: skip

    def _still(self, _rundir: Path, work: Any) -> Stillness:
        self.stilled += 1
        work()
        return self.stillness

    def _purge(self, _rundir: Path) -> None:
        if not self.purgeable:
            raise Unavailable(Fault("socket", "gone", "no answer", "wait"))
        self.purges += 1
        self.order += "p"

    def tick(self, _run: Any, _snapshot: Any, presence: Presence) -> Outcome:
        self.order += "r"
        return self._told(presence)

    def foresee(self, ports: frozenset[PortKey]) -> None:
        self.order += "f" if ports else "-"
        self.foreseen.append(ports)

    def close_ports(self, *given: Any) -> Outcome:
        return self._told(given[-1])

    def close_flows(self, *given: Any) -> Outcome:
        return self._told(given[-1])

    def _told(self, presence: Presence) -> Outcome:
        self.doubted.append(presence.doubted)
        self.withheld.append(presence.withheld)
        return Outcome.JOURNALLED

    def shift(self, pace: Pace) -> int:
        done: list[int] = []

        def work() -> None:
            self.order += "w"
            done.append(1)

        self.metering.shift(SNAPSHOT, (ONE,), work, pace)
        return len(done)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_what_the_operator_changes_is_stilled_each_time(scene: Scene) -> None:
    assert [scene.shift(Pace.ALWAYS) for _ in range(3)] == [1, 1, 1]
    assert scene.stilled == 3 and not any(scene.doubted)
    assert scene.order == "rfw-fw-fw-", "one reading a second is enough"


def test_what_others_change_is_stilled_now_and_then(scene: Scene) -> None:
    scene.shift(Pace.RATIONED)
    scene.now += 2.0
    assert [scene.shift(Pace.RATIONED) for _ in range(2)] == [1, 1]
    assert scene.stilled == 1 and scene.order == "rfw-rfwpprfw", "what is sure is read before"
    scene.metering.sight(SNAPSHOT)
    assert scene.order == "rfw-rfwpprfw", "one a second"
    scene.now += 1.0
    scene.metering.sight(SNAPSHOT)
    assert scene.order == "rfw-rfwpprfwppr"
    assert scene.doubted == scene.withheld == [frozenset(), frozenset(), {ONE}, {ONE}]
    scene.metering.sight(SNAPSHOT)
    scene.now += RATION
    assert scene.shift(Pace.RATIONED) == 1
    assert scene.stilled == 2 and not any(scene.withheld[4:])


def test_nothing_is_billed_of_a_standstill_that_is_not_proven(scene: Scene) -> None:
    scene.stillness = Stillness.DOUBTFUL
    scene.shift(Pace.RATIONED)
    assert scene.order == "rfwppr", "between two readings, after all that waited has been told"
    assert scene.doubted == scene.withheld == [frozenset(), {ONE}]
    scene.metering.read(SNAPSHOT)
    assert scene.withheld[2:] == [frozenset()]


def test_what_could_not_be_told_stays_in_doubt(scene: Scene) -> None:
    scene.stillness, scene.purgeable = Stillness.DOUBTFUL, False
    scene.shift(Pace.ALWAYS)
    scene.metering.read(SNAPSHOT)
    scene.purgeable = True
    scene.metering.read(SNAPSHOT)
    scene.metering.read(SNAPSHOT)
    assert scene.withheld == [frozenset(), {ONE}, {ONE}, {ONE}, frozenset()]


def test_a_bundle_of_which_nobody_knows_whether_it_went_is_in_doubt(scene: Scene) -> None:
    def broken() -> None:
        raise Unavailable(Fault("switch", "gone", "hung up", "wait"))

    with pytest.raises(Unavailable):
        scene.metering.shift(SNAPSHOT, (ONE,), broken)
    scene.metering.close_flows(SNAPSHOT, (7,))
    scene.metering.read(SNAPSHOT)
    assert scene.withheld == [frozenset(), {ONE}, frozenset()]


def test_a_fence_that_was_not_given_back_is_a_doubt_once(scene: Scene) -> None:
    scene.metering.read(SNAPSHOT)
    scene.broken = 1
    scene.metering.read(SNAPSHOT)
    scene.metering.read(SNAPSHOT)
    assert scene.doubted == [frozenset(), {ONE}, frozenset()]
    assert not any(scene.withheld), "that loses bytes and doubles none"
    scene.broken = 2
    scene.metering.close(SNAPSHOT, (TWO,), ("tap2",))
    scene.metering.read(SNAPSHOT)
    assert scene.doubted[3:] == [{ONE}, frozenset()]
