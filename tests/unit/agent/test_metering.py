"""When the data path is stilled, and when ports get a doubt instead."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from immutables import Map

from controller.agent import metering
from controller.agent.meter import Outcome, Presence
from controller.agent.metering import REST, Metering
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
        self.took = 0.0
        self.snapshots: list[Any] = []
        self.now, self.stilled, self.stillness, self.broken = 100.0, 0, Stillness.PROVEN, 0
        self.doubted: list[frozenset[PortKey]] = []
        self.withheld: list[frozenset[PortKey]] = []
        self.purges, self.purgeable, self.order = 0, True, ""
        self.busy, self.writing, self.outcomes, self.dropped = False, False, [Outcome.COUNTED], 0
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
            keep=lambda: None,
            search=lambda *_: None,
            pending=False,
        )
        self.metered: Callable[[], Metering] = lambda: Metering(
            self, nothing, nothing, nothing, nothing, Path("/nowhere"), "boot",
            clock=lambda: self.now, breaches=lambda: self.broken,
        )  # fmt: skip
        self.metering = self.metered()

    def _still(self, _rundir: Path, work: Any, ready: Any) -> Stillness:
        self.stilled += 1
        self.now += self.took
        ready()
        work()
        return self.stillness

    def _purge(self, _rundir: Path) -> None:
        if not self.purgeable:
            raise Unavailable(Fault("socket", "gone", "no answer", "wait"))
        self.purges += 1
        self.order += "p"

    def tick(self, _run: Any, snapshot: Any, presence: Presence) -> Outcome:
        self.order += "r"
        self.snapshots.append(snapshot)
        self.drop()
        return self._told(presence)

    def foresee(self, ports: frozenset[PortKey]) -> None:
        self.order += "f" if ports else "-"
        self.foreseen.append(ports)

    def begin(self, _run: Any, presence: Presence) -> None:
        self.order += "b"
        self._told(presence)
        self.busy = True

    def go_on(self, _snapshot: Any, _until: float) -> Outcome | None:
        self.busy = False
        return self.outcomes.pop(0) if self.outcomes else None

    def drop(self) -> None:
        self.dropped += self.busy
        self.busy = False

    def close_ports(self, *given: Any) -> Outcome:
        self.drop()
        return self._told(given[-1])

    def close_flows(self, *given: Any) -> Outcome:
        self.drop()
        return self._told(given[-1])

    def _told(self, presence: Presence) -> Outcome:
        self.doubted.append(presence.doubted)
        self.withheld.append(presence.withheld)
        return Outcome.JOURNALLED

    def shift(self) -> int:
        done: list[int] = []

        def work() -> None:
            self.order += "w"
            done.append(1)

        self.metering.shift(SNAPSHOT, (ONE,), work)
        return len(done)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_the_data_path_is_stilled_for_each_change(scene: Scene) -> None:
    assert [scene.shift() for _ in range(3)] == [1, 1, 1]
    assert scene.stilled == 3 and not any(scene.doubted)
    assert scene.order == "rfw-fw-fw-", "one reading a second is enough"


def test_what_is_read_before_a_change_still_has_its_names(scene: Scene) -> None:
    """A class that goes had its last bytes billed as `class-6`."""
    earlier = running(1).effective
    scene.metering.shift(SNAPSHOT, (ONE,), lambda: None, earlier)
    assert scene.snapshots == [earlier]
    scene.now += 2.0
    scene.stillness = Stillness.DOUBTFUL
    scene.metering.shift(SNAPSHOT, (ONE,), lambda: None, earlier)
    assert scene.snapshots == [earlier, earlier, SNAPSHOT]


def test_after_it_was_stilled_it_is_left_alone_for_a_while(scene: Scene) -> None:
    assert scene.metering.rest() == 0
    scene.took = 0.4
    scene.shift()
    assert scene.metering.rest() == pytest.approx(REST), "from its end on"
    scene.now += REST
    assert scene.metering.rest() == 0


def test_nothing_is_billed_of_a_standstill_that_is_not_proven(scene: Scene) -> None:
    scene.stillness = Stillness.DOUBTFUL
    scene.shift()
    assert scene.order == "rfwppr", "between two readings, after all that waited has been told"
    assert scene.doubted == scene.withheld == [frozenset(), {ONE}]
    scene.metering.read(SNAPSHOT)
    assert scene.withheld[2:] == [frozenset()]


def test_what_could_not_be_told_stays_in_doubt(scene: Scene) -> None:
    scene.stillness, scene.purgeable = Stillness.DOUBTFUL, False
    scene.shift()
    scene.metering.read(SNAPSHOT)
    assert scene.order == "rfwrfrf", "for the next life, too"
    scene.purgeable = True
    scene.metering.read(SNAPSHOT)
    scene.metering.read(SNAPSHOT)
    assert scene.withheld == [frozenset(), {ONE}, {ONE}, {ONE}, frozenset()]
    assert scene.order == "rfwrfrfpprr"


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


def test_a_change_drops_a_reading_in_turns_and_what_was_not_read_to_its_end_is_no_reading(
    scene: Scene,
) -> None:
    scene.metering.begin(SNAPSHOT)
    scene.now += 0.5
    scene.shift()
    assert scene.order == "brfw-" and scene.dropped == 1, "what is sure is read before"
    scene.metering.go_on(SNAPSHOT, 0.0)
    scene.outcomes = [Outcome.COUNTED] * 2
    scene.now += 1.0
    scene.metering.begin(SNAPSHOT)
    scene.metering.go_on(SNAPSHOT, 0.0)
    scene.now += 0.5
    scene.shift()
    assert scene.order == "brfw-bfw-" and scene.dropped == 1, "that was one, a moment ago"
    scene.metering.begin(SNAPSHOT)
    scene.now += 1.5
    scene.metering.go_on(SNAPSHOT, 0.0)
    scene.shift()
    assert scene.order == "brfw-bfw-brfw-", "as old as its first counter"


def test_while_bytes_are_withheld_a_reading_is_made_at_a_stretch_behind_what_waits(scene: Scene) -> None:
    scene.stillness, scene.purgeable = Stillness.DOUBTFUL, False
    scene.shift()
    scene.purgeable = True
    assert scene.order == "rfwrf"
    scene.metering.begin(SNAPSHOT)
    assert scene.order == "rfwrfppr" and not scene.busy
    assert scene.withheld == [frozenset(), {ONE}, {ONE}]
    scene.metering.begin(SNAPSHOT)
    assert scene.order == "rfwrfpprb" and scene.busy and not scene.withheld[-1], "once"


def test_what_an_earlier_life_left_in_doubt_is_read_at_a_stretch(scene: Scene) -> None:
    scene.state.unsure = frozenset({ONE})
    scene.metering = scene.metered()
    scene.metering.begin(SNAPSHOT)
    assert scene.order == "ppr" and scene.withheld == [{ONE}]


def test_doubts_of_a_reading_that_was_not_taken_are_told_again(scene: Scene) -> None:
    for ending in (Outcome.UNREAD, Outcome.SUSPECT, None):
        scene.broken += 1
        scene.outcomes = [] if ending is None else [ending]
        scene.metering.begin(SNAPSHOT)
        scene.metering.go_on(SNAPSHOT, 0.0)
        scene.metering.read(SNAPSHOT)
        assert scene.doubted == [{ONE}, {ONE}]
        scene.doubted.clear()


def test_another_life_of_the_switch_ends_a_reading(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.metering.begin(SNAPSHOT)
    monkeypatch.setattr(metering, "run_of", lambda *_: None)
    scene.metering.go_on(SNAPSHOT, 0.0)
    assert scene.dropped == 1
