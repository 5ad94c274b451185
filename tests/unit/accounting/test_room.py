"""Room: what is little, when a disk is full at its rate, and a real one that is filled."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from accounting import room
from accounting.journal import Journal, Refused, Written
from accounting.room import LOW_BYTES, Level, Room, Space, Trend, level, look
from controller.agent.meter import Meter, Outcome, Presence
from controller.agent.metering import Metering
from controller.agent.withheld import Held
from tests.unit.accounting.test_meter import FLOW, RUN, SNAPSHOT, FakeSwitch

G = 1 << 30


@pytest.mark.parametrize(
    ("space", "full", "wanted"),
    [
        (Space(50 * G, 100 * G), None, Level.FINE),
        (Space(G, 100 * G), None, Level.FINE),
        (Space(G - 1, 100 * G), None, Level.LOW),
        (Space(100, 1_000), None, Level.FINE),
        (Space(99, 1_000), None, Level.LOW),
        (Space(0, 1_000), None, Level.FULL),
        (Space(500, 1_000, 0), None, Level.FULL),
        (Space(500, 1_000, 99), None, Level.LOW),
        (Space(499, 1_000), 86_399, Level.SOON),
        (Space(499, 1_000), 86_400, Level.FINE),
        (Space(500, 1_000), 60, Level.FINE),
    ],
)
def test_levels(space: Space, full: int | None, wanted: Level):
    assert level(space, full) is wanted
    assert LOW_BYTES == G


def test_the_rate_is_that_of_the_last_half_hour():
    trend = Trend()
    for minute in range(60):
        trend = trend.after(minute * 60, 100_000 - (0 if minute < 30 else (minute - 29) * 1_000))
    # 1,000 a minute, of which 70,000 are left; the window begins when it began to fill
    assert trend.full_in_s == pytest.approx(70 * 60, rel=0.05)
    assert len(trend.seen) <= 62


def test_what_was_not_seen_for_long_or_does_not_fall_has_no_rate():
    assert Trend().full_in_s is None
    assert Trend().after(0, 10).after(299, 5).full_in_s is None
    assert Trend().after(0, 10).after(300, 5).full_in_s == 300
    assert Trend().after(0, 10).after(300, 10).full_in_s is None
    assert Trend().after(0, 10).after(300, 12).full_in_s is None
    assert Trend().after(0, 0).full_in_s == 0


def test_many_looks_keep_few_of_them():
    trend = Trend()
    for second in range(20_000):
        trend = trend.after(second, 10**9 - second)
    assert len(trend.seen) < 70
    assert trend.full_in_s == pytest.approx(10**9 - 20_000, rel=0.01)


def test_what_can_not_be_asked_is_no_alarm(tmp_path: Path):
    assert look(tmp_path / "nowhere") is None
    made = Room(lambda: 0.0, lambda: None)
    assert (made.see(), made.words("x", Level.FINE), made.space) == (Level.FINE, "", None)


def test_words_say_how_much_and_when():
    spaces = iter([Space(3_000_000, 10_000_000), Space(2_000_000, 10_000_000, 9)])
    made = Room(iter([0.0, 600.0]).__next__, spaces.__next__)
    made.see()
    found = made.see()
    assert found is Level.LOW
    words = made.words("the disk", found)
    left = "the disk: 2.00 MB of 10.0 MB are free, and 9 files can be made"
    assert words == f"{left}; full in 20 minutes at this rate"


def test_a_disk_that_fills_is_an_alarm_before_it_is_full_and_none_after(disk: Path):
    """A real one. Readings go on, nothing is lost; the switch is asked for its counters, and nothing else."""
    journal = Journal(disk / "egress")
    switch, now = FakeSwitch({FLOW: (0, 0)}), [1_000_000]
    meter = Meter(journal, switch.counters, lambda: now[0])
    nothing: Any = SimpleNamespace(pending=False, withheld=Held())
    metering = Metering(meter, nothing, nothing, nothing, journal, disk, "boot")
    said: list[tuple[bool, bool]] = []

    def read(packets: int) -> Outcome:
        now[0] += 10_000
        switch.flows[FLOW] = (packets, packets * 114)
        outcome = meter.tick(RUN, SNAPSHOT, Presence(frozenset()))
        metering._outcome = outcome
        words = metering.alarms()
        said.append((any("fills" in w for w in words), any("takes nothing" in w for w in words)))
        return outcome

    assert read(1) is Outcome.JOURNALLED
    assert said == [(False, False)]
    free = look(disk)
    assert free is not None
    (disk / "filler").write_bytes(bytes(free.free - free.size // 10 + 8_192))
    assert read(2) is Outcome.JOURNALLED
    assert said[-1] == (True, False), "an alarm while the journal still takes everything"
    with (disk / "rest").open("wb", buffering=0) as rest, pytest.raises(OSError, match="No space"):
        while True:
            rest.write(bytes(4_096))
    outcomes = [read(n) for n in range(3, 2_000) if journal_takes(said)]
    assert Outcome.HELD in outcomes
    assert said[-1] == (True, True)
    told = metering.told()
    assert (told.held, told.free) == (1, 0)
    assert told.size == free.size
    assert told.oldest_ms == 1_010_000
    (disk / "filler").unlink()
    (disk / "rest").unlink()
    assert read(5_000) is Outcome.JOURNALLED
    assert set(switch.calls) == {"read"}
    assert said[-1] == (False, False)
    assert metering.told().held == 0
    journal.close()
    again = Journal(disk / "egress")
    read_again = Meter(again, switch.counters, lambda: now[0])
    ((_, baseline),) = read_again.state.baselines.items()
    assert baseline.counter == (5_000, 570_000), "nothing is lost"
    again.close()


def journal_takes(said: list[tuple[bool, bool]]) -> bool:
    return not said[-1][1]


def test_the_oldest_reading_that_waits(tmp_path: Path):
    journal = Journal(tmp_path / "j")
    assert journal.oldest(100) == b""
    for body in (b"first, and long", b"second"):
        assert isinstance(journal.append(body, lambda: b""), Written)
    assert journal.oldest(5) == b"first"
    assert journal.oldest(500) == b"first, and long"
    assert not isinstance(journal.acknowledge(1), Refused)
    assert journal.oldest(500) == b"second"
    os.truncate(journal._path, 3)
    assert journal.oldest(500) == b""
    assert room.look(tmp_path) is not None
    journal.close()
