"""Where ports sit is known to the agent's next life, however soon it begins."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from zlib import crc32

import pytest
from immutables import Map

from accounting.records import Owner, Run
from accounting.state import Baseline, Standing, State
from controller.agent.seating import Seat, Seating
from controller.agent.vantage import Vantage
from controller.southbound.netlink.counters import Count, Look
from model.ids import ClassId, HostName, NetworkKey, PortKey, Uid
from model.intent import Port
from model.inventory import Interface, Switch
from model.snapshot import Snapshot, with_port

PORT = PortKey(7)
OWNER = Owner("p", "vm", "t", "acme", "n", "net")
COUNTS = State(1, Run(HostName("hv1"), "boot", "s1"), 0, {(PORT, ClassId(0), 1): Baseline((5, 500), OWNER)})
"""A port that counts, by the journal."""


class Kernel:
    def look(self) -> Look:
        return Look((Count("eth7", 12, 500),), {})


def there(ofport: int = 1, started: str = "s1") -> Snapshot:
    interfaces = {Uid("p"): Interface("eth7", Uid("p"), ofport)} if ofport else {}
    found = Snapshot(HostName("hv1"), switch=Switch("netdev", 1, started), interfaces=Map(interfaces))
    return with_port(found, Port(Uid("p"), NetworkKey(1), "vm", PORT, 2, (), ()))


def life(path: Path | None, saved: Snapshot, state: State = COUNTS) -> Vantage:
    made = Vantage(Kernel(), lambda: 100.0, Seating(path))  # type: ignore[arg-type]
    made.recall(state, saved)
    made.look(saved)
    return made


def hear(vantage: Vantage, snapshot: Snapshot, state: State = COUNTS) -> bool:
    """Whether somebody has left, as far as this life can tell."""
    vantage.look(snapshot)
    vantage.search(state, snapshot)
    return vantage.pending


NOTHING = replace(there(0), switch=None)
"""The snapshot on disk, of before the port came."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """What a life left that saw the port come, and was killed before its snapshot was on disk."""
    first = life(tmp_path / "seats", NOTHING, State(1, COUNTS.run))
    first.look(there())
    first.keep()
    return tmp_path / "seats"


def test_a_port_that_has_sat_there_all_the_time_has_not_left(path: Path) -> None:
    assert not hear(life(path, NOTHING), there())
    assert hear(life(None, NOTHING), there()), "the control: nobody knows"


@pytest.mark.parametrize("now", [there(2), there(0)])
def test_one_that_sits_elsewhere_or_is_gone_has(path: Path, now: Snapshot) -> None:
    assert hear(life(path, NOTHING), now)


def test_what_a_snapshot_says_that_is_older_moves_nobody(path: Path) -> None:
    """The store speaks before the switch does."""
    second = life(path, NOTHING)
    second.look(replace(NOTHING, moment=1))
    assert not second.pending
    assert not hear(second, there())


def test_seats_are_those_of_a_life_of_the_switch(path: Path) -> None:
    other = replace(COUNTS, run=Run(HostName("hv1"), "boot", "s2"))
    assert hear(life(path, NOTHING, other), there(started="s2"), other)


def test_who_left_keeps_his_seat_on_disk_until_that_is_journalled(path: Path) -> None:
    first = life(path, there())
    first.look(there(0))
    first.keep()
    assert hear(life(path, NOTHING), there(0)), "an agent that dies then leaves it to its next life"
    first.settle({PORT: first.departures()[PORT]})
    first.keep()
    assert Seating(path).load("s1") == {}
    closed = replace(COUNTS, baselines={s: replace(b, standing=Standing.CLOSED)
                                        for s, b in COUNTS.baselines.items()})  # fmt: skip
    assert not hear(life(path, NOTHING, closed), there(0), closed)


def test_what_began_to_count_before_anybody_could_look_has_not_left(tmp_path: Path) -> None:
    """It came while no agent ran, and its flows were programmed in the same event that showed it."""
    begun = life(tmp_path / "seats", NOTHING, State(1, COUNTS.run))
    assert not hear(begun, there(), COUNTS)
    known = life(tmp_path / "seats", NOTHING, COUNTS)
    assert hear(known, there(), COUNTS), "the control: it counted before"


SEAT = {Uid("p"): Seat(PORT, "eth7", 1)}
OTHER = {Uid("q"): Seat(PortKey(8), "eth8", 2)}


@pytest.mark.parametrize("text", ["", "{", "[]", "00000000 []", f"{crc32(b'[1]'):08x} [1]"])
def test_what_cannot_be_read_is_not_known(path: Path, text: str) -> None:
    for file in path.parent.glob("seats.*"):
        file.write_text(text)
    assert Seating(path).load("s1") is None
    assert hear(life(path, NOTHING), there())


def test_an_agent_that_dies_as_it_writes_leaves_what_was_there_before(path: Path) -> None:
    seating = Seating(path)
    assert seating.load("s1") == SEAT
    before = {file: file.read_bytes() for file in path.parent.glob("seats.*")}
    assert seating.save("s1", SEAT | OTHER)
    (written,) = [file for file, data in before.items() if file.read_bytes() != data]
    after = written.read_bytes()
    for cut in range(len(after)):
        written.write_bytes(after[:cut] + before[written][cut:])
        assert Seating(path).load("s1") in (SEAT, SEAT | OTHER)
    written.write_bytes(after)
    assert Seating(path).load("s1") == SEAT | OTHER, "the control"


def test_the_last_word_counts_however_many_there_were(path: Path) -> None:
    for number in range(4):
        for seats in (SEAT | OTHER, OTHER, {}, SEAT, OTHER)[number:]:
            seating = Seating(path)
            seating.load("")
            assert seating.save(f"s{number}", seats)
            assert Seating(path).load(f"s{number}") == seats
    assert Seating(path).load("s2") is None, "those of another life of the switch"


def test_a_full_disk_takes_seats_all_the_same(disk: Path) -> None:
    seating = Seating(disk / "seats")
    assert seating.save("s1", {})
    fill(disk)
    many = {Uid(f"{n:036d}"): Seat(PortKey(n), f"tap-{n:010d}", n) for n in range(700)}
    for seats in (SEAT, OTHER, many):
        assert seating.save("s1", seats)
        assert Seating(disk / "seats").load("s1") == seats
    more = {Uid(f"{n:036d}"): Seat(PortKey(n), f"tap-{n:010d}", n) for n in range(4_000)}
    assert not seating.save("s1", more), "the control: the disk is full"
    assert Seating(disk / "seats").load("s1") == many
    (disk / "filling").unlink()
    assert seating.save("s1", more)
    assert Seating(disk / "seats").load("s1") == more


def fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file:
        for size in (1 << 16, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))


def test_a_disk_that_takes_nothing_is_tried_again(tmp_path: Path) -> None:
    missing = tmp_path / "later" / "seats"
    first = life(missing, NOTHING)
    first.look(there())
    first.keep()
    missing.parent.mkdir()
    first.keep()
    assert Seating(missing).load("s1") == SEAT
