"""A reading in turns: what goes first, what ends it, and that nobody waits for the disk but who must."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from accounting.encode import parse_step
from accounting.journal import Journal, Need, Refused, Written
from accounting.records import Cause, Closed, Gap, Interval
from accounting.state import State
from accounting.turns import whole
from controller.agent.counting import SPELL, Counting
from controller.agent.meter import TRIES, WINDOW, Meter, Outcome, Presence, run_of
from controller.agent.pace import Due, Pace
from controller.agent.sheet import Sheet
from model.ids import ClassId, PortKey
from pipelines import cookies
from tests.unit.agent.test_core import running

SNAPSHOT = running(1, 2).effective
FLOWS = [cookies.account(PortKey(port), ClassId(0), 1) for port in (1, 2)]
NOBODY = Presence(frozenset())
LIMIT = 20.0


class SlowJournal(Journal):
    """One whose disk answers when it is told to."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory)
        self.may, self.asked = threading.Event(), threading.Event()
        self.may.set()
        self.threads: list[str] = []

    def append(
        self, body: bytes, checkpoint: Callable[[], bytes], need: Need = Need.USUAL
    ) -> Written | Refused:
        self.threads.append(threading.current_thread().name)
        self.asked.set()
        assert self.may.wait(LIMIT)
        return super().append(body, checkpoint, need)


class Scene:
    """A meter over a switch with two counters, each in a slice of its own."""

    def __init__(self, directory: Path) -> None:
        self.packets = dict.fromkeys(FLOWS, 0)
        self.now_ms, self.clock, self.reads = 1_800_000_000_000, 0.0, 0
        self.journal = SlowJournal(directory)
        self.meter = Meter(self.journal, self.whole, self._now, slices=self.slices, clock=lambda: self.clock)
        found = run_of(SNAPSHOT, "boot")
        assert found is not None
        self.run = found
        assert self.meter.tick(self.run, SNAPSHOT, NOBODY) is Outcome.JOURNALLED

    def _now(self) -> int:
        self.now_ms += 10_000
        return self.now_ms

    def columns(self, some: list[int]) -> Any:
        packets = np.array([self.packets[c] for c in some], np.uint64)
        return SimpleNamespace(
            cookie=np.array(some, np.uint64), packets=packets, octets=packets * np.uint64(114)
        )

    def whole(self) -> Any:
        self.reads += 1
        return self.columns(sorted(self.packets))

    def slices(self) -> Iterator[Any]:
        for cookie in FLOWS:
            yield self.columns([cookie])

    def turns(self, most: int = 1_000) -> Outcome | None:
        outcome = None
        while outcome is None and most and self.meter.busy:
            outcome, most = self.meter.go_on(SNAPSHOT, 0.0), most - 1
        return outcome

    def written(self) -> Outcome:
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            outcome = self.meter.go_on(SNAPSHOT, 0.0)
            if outcome is not None:
                return outcome
        raise AssertionError("the disk never answered")

    def billed(self) -> int:
        return sum(r.packets for r in self.records() if isinstance(r, Interval))

    def records(self) -> list[Any]:
        return [r for f in self.journal.pending(1_000) for r in parse_step(f.body).records]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path / "egress")
    yield made
    made.journal.may.set()
    made.meter.stop()
    made.journal.close()


def test_a_reading_in_turns_is_on_disk_when_it_says_so_and_no_earlier(scene: Scene) -> None:
    scene.packets[FLOWS[0]] += 7
    scene.journal.may.clear()
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.COUNTED
    assert scene.meter.writing and scene.meter.held == 1 and scene.billed() == 0
    assert scene.journal.asked.wait(LIMIT) and scene.meter.go_on(SNAPSHOT, 0.0) is None, "nobody waits"
    assert scene.meter.handed_ms == 0 or scene.meter.handed_ms < scene.meter.state.read_ms
    scene.journal.may.set()
    assert scene.written() is Outcome.JOURNALLED
    assert scene.billed() == 7 and scene.meter.held == 0
    assert scene.journal.threads[-1] == "egress-journal"


def test_the_last_reading_of_a_port_comes_behind_what_was_on_its_way_to_the_disk(
    scene: Scene,
) -> None:
    scene.packets[FLOWS[0]] += 7
    scene.journal.may.clear()
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.COUNTED
    scene.packets[FLOWS[0]] += 2
    threading.Timer(0.05, scene.journal.may.set).start()
    assert scene.meter.close_ports([PortKey(1)], scene.run, SNAPSHOT, lambda: None) is Outcome.JOURNALLED
    found = [r for r in scene.records() if isinstance(r, (Closed, Interval))][-3:]
    assert [getattr(r, "packets", "closed") for r in found] == [7, 2, "closed"]
    assert not scene.meter.writing and scene.meter.held == 0


def test_a_last_reading_takes_what_the_disk_refused_before_along_into_the_reserve(scene: Scene) -> None:
    whole = scene.journal.append
    refused: list[Need] = []

    def append(body: bytes, checkpoint: Callable[[], bytes], need: Need) -> Written | Refused:
        if need is Need.FINAL:
            return whole(body, checkpoint, need)
        refused.append(need)
        assert scene.journal.may.wait(LIMIT)
        return Refused("full")

    scene.journal.append = append  # type: ignore[method-assign,assignment]
    scene.packets[FLOWS[0]] += 7
    scene.journal.may.clear()
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.COUNTED and scene.meter.writing
    scene.packets[FLOWS[0]] += 2
    threading.Timer(0.05, scene.journal.may.set).start()
    assert scene.meter.close_ports([PortKey(1)], scene.run, SNAPSHOT, lambda: None) is Outcome.JOURNALLED
    assert refused == [Need.USUAL] and scene.billed() == 9 and scene.meter.held == 0


def test_that_a_change_follows_is_on_disk_behind_what_was_counted_and_drops_what_was_not(
    scene: Scene,
) -> None:
    scene.packets[FLOWS[0]] += 7
    scene.journal.may.clear()
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.COUNTED and scene.meter.writing
    threading.Timer(0.05, scene.journal.may.set).start()
    scene.meter.foresee(frozenset({PortKey(1)}))
    assert not scene.meter.writing and scene.billed() == 7
    assert [parse_step(f.body).unsure for f in scene.journal.pending(9)][-2:] == [set(), {PortKey(1)}]
    scene.packets[FLOWS[0]] += 1
    scene.meter.begin(scene.run, NOBODY)
    scene.turns(1)
    scene.meter.foresee(frozenset({PortKey(1)}))
    assert scene.meter.busy, "nothing new"
    scene.meter.foresee(frozenset())
    assert not scene.meter.busy and scene.billed() == 7
    scene.meter.tick(scene.run, SNAPSHOT, NOBODY)
    assert scene.billed() == 8


def test_a_closing_ends_a_reading_under_way_and_counts_all_of_it(scene: Scene) -> None:
    for turns in (1, 2, 4, 8):
        before = scene.billed()
        scene.packets[FLOWS[0]] += 3
        scene.packets[FLOWS[1]] += 5
        scene.meter.begin(scene.run, NOBODY)
        scene.turns(turns)
        assert scene.meter.busy
        scene.packets[FLOWS[1]] += 1
        steps = scene.journal.newest
        assert scene.meter.close_ports([PortKey(9)], scene.run, SNAPSHOT, lambda: None) is Outcome.JOURNALLED
        assert not scene.meter.busy and scene.journal.newest == steps + 1
        assert scene.billed() == before + 9


def test_slices_that_others_kept_apart_too_long_are_read_again(scene: Scene) -> None:
    scene.packets[FLOWS[0]] += 1
    reads = scene.reads
    scene.meter.begin(scene.run, NOBODY)
    scene.turns(1)
    scene.packets[FLOWS[0]] += 1
    scene.clock += WINDOW
    assert scene.turns() is Outcome.COUNTED and scene.written() is Outcome.JOURNALLED
    assert scene.reads == reads and scene.billed() == 2
    scene.packets[FLOWS[0]] += 1
    scene.meter.begin(scene.run, NOBODY)
    for tries in range(1, TRIES + 1):
        scene.turns(1)
        assert scene.reads == reads, tries
        scene.clock += WINDOW
    assert scene.turns() is Outcome.COUNTED and scene.written() is Outcome.JOURNALLED
    assert scene.reads == reads + 1 and scene.billed() == 3, "in the end at a stretch"


def test_what_the_disk_refuses_is_offered_again_before_anything_is_read(scene: Scene) -> None:
    refusing, scene.journal.append = scene.journal.append, lambda *_: Refused("full")  # type: ignore[method-assign]
    scene.packets[FLOWS[0]] += 4
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.COUNTED and scene.written() is Outcome.HELD
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.DEFERRED
    scene.journal.append = refusing  # type: ignore[method-assign]
    scene.meter.begin(scene.run, NOBODY)
    assert scene.turns() is Outcome.COUNTED and scene.written() is Outcome.JOURNALLED
    assert scene.billed() == 4


def test_a_counter_that_stands_still_is_not_looked_at(scene: Scene) -> None:
    sheet, state = Sheet(), State(1, run=scene.run)
    page, _, moved = whole(sheet.compare([scene.whole()], state, scene.run))
    assert moved is None, "nothing to compare with"
    sheet.keep(page, state)
    assert list(whole(sheet.compare([scene.whole()], state, scene.run))[2] or ()) == []
    scene.packets[FLOWS[1]] += 1
    assert list(whole(sheet.compare([scene.whole()], state, scene.run))[2] or ()) == [(2, 0, 1)]
    del scene.packets[FLOWS[0]]
    _, counters, moved = whole(sheet.compare([scene.whole()], state, scene.run))
    assert sorted(moved or ()) == [(1, 0, 1), (2, 0, 1)] and (1, 0, 1) not in counters
    assert whole(sheet.compare([scene.whole()], State(1, run=scene.run), scene.run))[2] is None


def test_a_flow_that_goes_while_the_others_stand_still_is_a_gap(scene: Scene) -> None:
    scene.packets = dict.fromkeys(FLOWS, 1)
    scene.meter.tick(scene.run, SNAPSHOT, NOBODY)
    del scene.packets[FLOWS[0]]
    scene.meter.tick(scene.run, SNAPSHOT, NOBODY)
    assert [r.cause for r in scene.records() if isinstance(r, Gap)] == [Cause.FLOW_VANISHED]


class Metered:
    """A metering that notes what it is told."""

    def __init__(self) -> None:
        self.busy = self.writing = False
        self.said: list[str] = []

    def sight(self, _: object) -> None:
        self.said.append("sight")

    def begin(self, _: object) -> None:
        self.said.append("begin")
        self.busy = True

    def go_on(self, _: object, seconds: float) -> None:
        assert seconds == SPELL
        self.said.append("go on")


def test_the_loop_begins_when_it_is_due_and_goes_on_without_a_rest() -> None:
    meter, due, now = Metered(), Due(read=5.0, sight=5.0), [0.0]
    counting = Counting(meter, due, Pace(), lambda: now[0], lambda: True)  # type: ignore[arg-type]
    assert counting.next() == 5.0
    counting.periodic(SNAPSHOT, 1.0, session=True)
    assert not meter.said
    counting.periodic(SNAPSHOT, 5.0, session=True)
    assert meter.said == ["sight", "begin", "go on"] and counting.next() == -math.inf
    due.read = 5.0  # a port was programmed: what was never read leaves no trace
    counting.periodic(SNAPSHOT, 5.1, session=True)
    assert meter.said[3:] == ["go on"] and due.read == 5.0, "no reading begins before the last is through"
    meter.busy, meter.writing, now[0] = False, True, 5.2
    assert 5.2 < counting.next() < 5.3
    counting.periodic(SNAPSHOT, 5.2, session=True)
    assert meter.said[4:] == ["go on"]
    meter.writing = False
    assert counting.next() == 5.0
    counting.periodic(SNAPSHOT, 5.3, session=True)
    assert meter.said[5:] == ["sight", "begin", "go on"] and due.read > 15


def test_without_a_session_nothing_is_read() -> None:
    meter, due = Metered(), Due()
    counting = Counting(meter, due, Pace(), lambda: 1.0, lambda: False)  # type: ignore[arg-type]
    counting.periodic(SNAPSHOT, 1.0, session=False)
    assert not meter.said and due.read > 1.0


def test_nobody_but_the_writer_waits_for_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "egress")
    held = journal._writing
    assert isinstance(journal.append(b"one", lambda: b"state"), Written)
    with held:  # as while a step is synced
        assert journal.waiting == 1 and journal.oldest(3) == b"one" and journal.acknowledge(1) is None
        assert journal.backlog == 0
    journal.close()
