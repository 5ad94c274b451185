"""Which generation a host says it has: that which its data path goes by, not only its tables."""

from __future__ import annotations

import queue
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from immutables import Map

from bgp.table import Limits
from controller.agent import core, reporting
from controller.agent.effects import Effects
from controller.agent.events import Event, Followed
from controller.agent.loop import Loop
from controller.agent.pace import Pace
from controller.agent.speech import Followed as Words
from model.ids import HostName
from model.report import Report
from tests.unit.agent.test_loop import TamperedSwitch
from tests.unit.agent.test_reporting import running, snapshot

PLAIN = reporting.report(running(), reporting.Circumstance(), 1_000, 900)


def brief(generation: int, missing: int = 0) -> Report:
    return replace(PLAIN, generation=generation, evpn=replace(PLAIN.evpn, missing=missing))


def said(words: Words, generation: int, made: int, followed: int, missing: int = 0) -> tuple[int, int]:
    told = words.word(brief(generation, missing), made, followed)
    return told.generation, told.evpn.missing


def test_a_generation_is_held_back_until_its_changes_are_followed() -> None:
    words = Words()
    assert said(words, 7, 0, 0) == (7, 0), "nothing had to be changed"
    assert said(words, 8, 2, 1) == (7, 0)
    assert said(words, 8, 3, 1) == (7, 0)
    assert said(words, 8, 3, 2) == (8, 0), "what was changed later does not hold it back"


def test_so_are_the_routes_that_have_come() -> None:
    words = Words()
    assert said(words, 8, 1, 1, missing=2) == (8, 2)
    assert said(words, 8, 2, 1, missing=0) == (8, 2)
    assert said(words, 8, 2, 2, missing=0) == (8, 0)


def test_without_a_session_there_is_none() -> None:
    words = Words()
    assert said(words, 8, 1, 1) == (8, 0)
    assert said(words, 9, 2, 1) == (8, 0)
    assert said(words, 0, 3, 1) == (0, 0)
    assert said(words, 9, 3, 2) == (0, 0)
    assert said(words, 9, 3, 3) == (9, 0)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_no_word_is_said_before_its_changes_are_followed_and_each_one_after(
    steps: list[tuple[int, int, int]],
) -> None:
    """Each step: so many generations later, after so many changes, of which so many are not followed yet."""
    words, generation, made, followed = Words(), 1, 0, 0
    first: dict[int, int] = {}
    for later, changes, behind in steps:
        generation, made = generation + later, made + changes
        followed = max(followed, made - behind)
        first.setdefault(generation, made)
        told, _ = said(words, generation, made, followed)
        assert told in {0, *first}
        assert told == max((g for g, needs in first.items() if needs <= followed), default=0)


class Following(TamperedSwitch):
    """A switch whose data path is behind."""

    made, followed = 1, 0

    def turns(self) -> tuple[int, int]:
        return self.made, self.followed


def test_it_is_reported_when_the_data_path_has_followed(tmp_path: Path) -> None:
    hands, now = Following([]), [100.0]
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    start = replace(core.start(HostName("hv1"), None, Limits()), session=True, effective=snapshot())
    loop = Loop(start, effects, events, tmp_path, Pace(heartbeat=50.0), lambda: now[0], lambda: 0)
    wanted = snapshot().cluster
    assert wanted is not None and wanted.generation
    loop._periodic()
    hands.followed = 1
    now[0] += 1
    loop._take(0.0)
    loop._periodic()
    assert [report.generation for report in hands.reports] == [0], "nobody said that there are news"
    events.put(Followed())
    loop._take(0.0)
    loop._periodic()
    assert [report.generation for report in hands.reports] == [0, wanted.generation]


def test_what_was_kept_for_cached_flows_goes_when_all_changes_are_followed(tmp_path: Path) -> None:
    hands = Following([])
    events: queue.SimpleQueue[Event] = queue.SimpleQueue()
    effects: Any = Effects(*[hands] * len(fields(Effects)))
    kept = replace(snapshot(), zones=Map({("draining", 9): 1, ("tenant", 1): 2}))
    start = replace(core.start(HostName("hv1"), None, Limits()), session=True, effective=kept)
    loop = Loop(start, effects, events, tmp_path, Pace(), lambda: 0.0, lambda: 0)
    for hands.made, hands.followed, left in ((2, 1, 2), (2, 2, 1)):
        events.put(Followed())
        loop._take(0.0)
        assert len(loop.core.effective.zones) == left
    assert ("tenant", 1) in loop.core.effective.zones
