"""The life of a gang: its table, what is undone, and a crash at each step that the table has."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from model.gang import (
    IN_STORE,
    TABLE,
    UNDONE_BY,
    Effect,
    Event,
    GangState,
    Progress,
    begin,
    due,
    finish,
    resume,
    transition,
    undo,
)

MARKS = {
    Effect.SET_DEVICES: "devices",
    Effect.JOIN_PARTITIONS: "partitions",
    Effect.RAISE_LINKS: "links",
}
UNMARKS = {
    Effect.RESET_DEVICES: "devices",
    Effect.LEAVE_PARTITIONS: "partitions",
    Effect.LOWER_LINKS: "links",
}


class Crash(Exception):
    """The process ends here."""


@dataclass
class World:
    """The store (progress and slots change together, in a transaction) and what is outside of it."""

    progress: Progress = field(default_factory=Progress)
    slots: bool = False
    outside: set[str] = field(default_factory=set)

    def drive(self, event: Event, steps: Iterator[bool]) -> None:
        """Carry an event out as the product has to: the intent, effects outside, then the transaction.

        `steps`: whether to go on, asked before and after each thing that lasts.
        """
        self._commit(begin(self.progress, event), steps)
        effects = due(self.progress, event)
        for effect in effects:
            if effect not in IN_STORE:
                go(steps)
                self._outside(effect)
        go(steps)
        for effect in effects:
            if effect in IN_STORE:
                self.slots = effect is Effect.TAKE_SLOTS
                assert self.slots or not self.outside, "slots are freed while something still bears them"
        self.progress = finish(self.progress, event)
        go(steps)

    def _commit(self, progress: Progress, steps: Iterator[bool]) -> None:
        if progress != self.progress:
            go(steps)
            self.progress = progress
            go(steps)

    def _outside(self, effect: Effect) -> None:
        if effect in MARKS:
            assert self.slots, "nothing is programmed that is not reserved"
            self.outside.add(MARKS[effect])
        elif effect in UNMARKS:
            self.outside.discard(UNMARKS[effect])
        elif effect is Effect.SEE_GONE:
            assert "partitions" not in self.outside
        else:
            assert effect is Effect.READ_BACK
            assert {"devices", "partitions"} <= self.outside

    def settle(self, steps: Iterator[bool]) -> None:
        """Go on until nothing is left to do."""
        while (event := resume(self.progress)) is not None:
            self.drive(event, steps)

    def give_up(self, steps: Iterator[bool]) -> None:
        """Undo whatever there is."""
        if self.progress.state is not GangState.RELEASED:
            self.drive(Event.FAIL, steps)
        self.settle(steps)


def go(steps: Iterator[bool]) -> None:
    if not next(steps, True):
        raise Crash


def on() -> Iterator[bool]:
    return itertools.repeat(True)


def paths() -> list[tuple[Event, ...]]:
    """Every way through the table that takes no transition twice."""
    found: list[tuple[Event, ...]] = []
    todo: list[tuple[Progress, tuple[Event, ...], frozenset[tuple[GangState, Event]]]] = [
        (Progress(), (), frozenset())
    ]
    while todo:
        progress, path, walked = todo.pop()
        if path:
            found.append(path)
        for state, event in TABLE:
            if state is progress.state and (state, event) not in walked:
                todo.append((finish(progress, event), (*path, event), walked | {(state, event)}))
    return found


PATHS = paths()


def crash_points(act: World, path: tuple[Event, ...]) -> int:
    """How many steps the path has that a crash can follow."""
    count = itertools.count()
    counted = (next(count) >= 0 for _ in itertools.repeat(None))
    for event in path:
        act.drive(event, counted)
    return next(count)


def crashed(path: tuple[Event, ...], after: int) -> World:
    world = World()
    steps = itertools.chain(itertools.repeat(True, after), [False])
    with pytest.raises(Crash):
        for event in path:
            world.drive(event, steps)
    return world


def whole(world: World) -> bool:
    active = world.progress.state is GangState.ACTIVE
    return active and world.slots and world.outside == {"devices", "partitions", "links"}


def empty(world: World) -> bool:
    gone = world.progress.state in {GangState.RELEASED, GangState.PLANNED}
    return gone and not world.slots and not world.outside


def test_the_paths_walk_the_whole_table() -> None:
    walked = set()
    for path in PATHS:
        progress = Progress()
        for event in path:
            walked.add((progress.state, event))
            progress = finish(progress, event)
    assert walked == set(TABLE)
    assert {state for state, _ in walked} == set(GangState)


@pytest.mark.parametrize(
    "path", [p for p in PATHS if len(p) <= 6], ids=lambda p: "-".join(e.value for e in p)
)
def test_a_crash_anywhere_leaves_no_orphan_and_no_half_gang(path: tuple[Event, ...]) -> None:
    """After it the gang is completed, or undone; a second crash on the way there changes nothing."""
    for after in range(crash_points(World(), path)):
        completed = crashed(path, after)
        completed.settle(on())
        assert whole(completed) or empty(completed)
        undone = crashed(path, after)
        undone.give_up(on())
        assert empty(undone)
        for again in itertools.count():
            twice = crashed(path, after)
            steps = itertools.chain(itertools.repeat(True, again), [False])
            try:
                twice.give_up(steps)
            except Crash:
                twice.give_up(on())
                assert empty(twice)
            else:
                break


def test_release_from_each_state_leaves_nothing() -> None:
    for path in PATHS:
        world = World()
        for event in path:
            world.drive(event, on())
        world.drive(Event.RELEASE, on())
        world.settle(on())
        assert empty(world)


def test_undo_is_the_mirror() -> None:
    last = undo(GangState.ACTIVE)
    assert (
        last
        == TABLE[GangState.RELEASING, Event.CLEAR].effects
        == TABLE[GangState.FAILED, Event.CLEAR].effects
    )
    assert undo(GangState.RESERVED) == (Effect.FREE_SLOTS,)
    assert undo(GangState.PLANNED) == ()
    assert set(itertools.chain(*UNDONE_BY.values())) == set(last)
    forward = [effect for row in TABLE.values() for effect in row.effects if effect not in last]
    assert set(forward) == set(UNDONE_BY), "what is done can be undone"


def test_a_reserved_gang_bears_nothing_outside() -> None:
    """What the product can do without drivers: reserve, and release in one transaction."""
    reserved = finish(Progress(), Event.RESERVE)
    assert begin(reserved, Event.RELEASE) == reserved
    releasing = finish(reserved, Event.RELEASE)
    assert due(releasing, Event.CLEAR) == (Effect.FREE_SLOTS,)
    assert finish(releasing, Event.CLEAR).state is GangState.RELEASED


def test_what_stands_in_no_row_is_refused() -> None:
    with pytest.raises(ValueError, match="a gang that is planned can't verify"):
        transition(GangState.PLANNED, Event.VERIFY)
    with pytest.raises(ValueError, match="released can't program"):
        begin(finish(Progress(), Event.RELEASE), Event.PROGRAM)
