"""Who is alive is judged by when the API heard of it: a host's clock may say what it likes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from controller.api.concern import DEAD_AFTER_MS
from controller.api.hearing import LOG, Hearing
from controller.api.serve import Cluster
from controller.api.service import Service
from controller.api.settings import Settings
from controller.store.records import HostReport
from controller.store.writer import random_uid
from model.errors import Fault, Unavailable
from model.ids import HostName
from model.report import Report, State, render
from tests.unit.api.house import House

HOST = HostName("h1")
BEHIND, AHEAD = -600_000, 600_000


class World:
    """`now`: true Unix ms. `shift`: by how much the API's wall clock is off, `stamps`: what the store has."""

    def __init__(self) -> None:
        self.now, self.shift = 1_800_000_000_000, 0
        self.stamps: dict[HostName, int] = {}
        self.away = False
        self.hearing = Hearing(self._read, self.wall, lambda: self.now / 1_000)

    def wall(self) -> int:
        return self.now + self.shift

    def report(self, off: int = 0) -> None:
        """By a host whose clock is off by so many milliseconds."""
        self.stamps[HOST] = self.now + off

    def age(self) -> int:
        """Milliseconds, as a reader of the API sees it."""
        (row,) = self.hearing.told([HostReport(HOST, "", self.stamps[HOST])])
        return self.wall() - row.stamp

    def _read(self) -> list[tuple[HostName, int]]:
        if self.away:
            raise Unavailable(Fault("store", "store-unavailable", "it is away", "Wait."))
        return list(self.stamps.items())


@pytest.mark.parametrize("off", [BEHIND, -16_000, 0, 16_000, AHEAD])
def test_a_host_with_a_wrong_clock_lives_as_long_as_it_reports(off: int) -> None:
    world = World()
    world.report(off)
    world.hearing.once()
    for _ in range(5):
        world.now += 5_000
        world.report(off)
        world.hearing.once()
        assert world.age() == 0
    world.now += DEAD_AFTER_MS + 1
    world.hearing.once()
    assert world.age() == DEAD_AFTER_MS + 1


@pytest.mark.parametrize("off", [BEHIND, 0, AHEAD])
def test_what_was_said_before_the_api_came_is_as_old_as_it_says_and_never_of_the_future(off: int) -> None:
    world = World()
    world.report(off)
    assert world.age() == max(-off, 0)
    world.now += 20_000
    assert world.age() == max(-off, 0) + 20_000


def test_steps_of_either_wall_clock_are_no_death_and_no_life() -> None:
    world = World()
    world.report()
    world.hearing.once()
    world.now += 4_000
    world.shift = AHEAD
    assert world.age() == 4_000
    world.shift = BEHIND
    assert world.age() == 4_000
    world.report(BEHIND)  # the host's clock was set back
    assert world.age() == 0
    world.now += 30_000
    assert world.age() == 30_000


def test_a_look_that_fails_costs_nothing_but_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "controller.api.hearing")
    world = World()
    world.report()
    world.hearing.once()
    world.away = True
    for _ in range(3):
        world.hearing.once()
    world.now += 3_000
    assert world.age() == 3_000
    world.away = False
    world.hearing.once()
    assert [record.getMessage() for record in caplog.records if record.name == LOG.name] == [
        "hosts are not heard: it is away",
        "hosts are heard again",
    ]
    world.stamps.clear()
    world.hearing.once()
    world.report()
    assert world.age() == 0


def test_it_looks_by_itself() -> None:
    world = World()
    world.report(BEHIND)
    world.hearing.start()
    world.hearing.stop()
    world.report(BEHIND + 1)
    assert world.age() == 0


@pytest.fixture
def heard(house: House) -> Iterator[Service]:
    """The service as `ringfenced api` assembles it, on the real store."""
    now_ms = house.service.clock
    hearing = Hearing(house.store.report_stamps, now_ms)
    yield Service(Cluster(house.store, Settings(), hearing), now_ms, random_uid)  # type: ignore[arg-type]


@pytest.mark.parametrize("off", [BEHIND, AHEAD])
def test_wait_counts_a_host_whose_clock_is_wrong(house: House, heard: Service, off: int) -> None:
    host = HostName(f"clock{off}")
    for generation in (3, 4):
        stamp = house.service.clock() + off + generation
        house.store.put_report(host, render(Report(host, stamp, generation, State.IN_SYNC)), stamp)
        (waiting,) = heard.waiting([host], 5)
        # At first there is nothing to compare with.
        assert ("no heartbeat" in waiting.reason) == (off < 0 and generation == 3)
    assert "generation 4 of 5" in waiting.reason
    assert heard.waiting([host], 4) == ()
