"""What can't be read again finds room on a disk that is full: real ones, filled to the last page."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from accounting import journal as module
from accounting import reserve as reserving
from accounting.bounds import Wire
from accounting.journal import RESERVE, Journal, Need, Refused, Written
from accounting.records import Closed, Gap
from accounting.reserve import reserve
from controller.agent.meter import Outcome
from model.ids import PortKey
from tests.unit.accounting.test_meter import FLOW, OTHER, Bench

BODY = bytes(1_000)


def fill(disk: Path) -> None:
    with (disk / "filler").open("ab", buffering=0) as rest:
        for size in (65_536, 4_096):
            try:
                while True:
                    rest.write(bytes(size))
            except OSError as error:
                assert error.errno == errno.ENOSPC


def append(journal: Journal, need: Need = Need.USUAL) -> Written | Refused:
    return journal.append(BODY, lambda: b"state", need)


def until_refused(journal: Journal, need: Need = Need.USUAL) -> int:
    count = 0
    while isinstance(append(journal, need), Written):
        count += 1
    return count


def test_the_reserve_is_for_what_cannot_be_read_again_only(disk: Path):
    journal = Journal(disk / "egress")
    append(journal)
    fill(disk)
    assert until_refused(journal) < 2 * module.CHUNK // len(BODY), "what was reserved with the last piece"
    written = until_refused(journal, Need.FINAL)
    assert written * len(BODY) > 0.9 * RESERVE
    last = journal.newest
    journal.close()
    again = Journal(disk / "egress")
    assert (again.recovery.torn, again.recovery.missing, again.backlog) == (0, 0, last)
    again.close()


def test_an_agent_that_begins_anew_on_a_full_disk_still_has_it(disk: Path):
    journal = Journal(disk / "egress")
    append(journal)
    fill(disk)
    journal.close()
    again = Journal(disk / "egress")
    until_refused(again)
    assert append(again, Need.FINAL) == Written(again.newest)
    again.close()


def test_it_is_filled_up_when_there_is_room_again_and_moves_on_with_the_segments(disk: Path):
    journal = Journal(disk / "egress", segment_bytes=50_000)
    append(journal)
    fill(disk)
    for _ in range(100):  # a new segment would be due, but has no room
        assert isinstance(append(journal, Need.FINAL), Written)
    assert len(list((disk / "egress").glob("*.log"))) == 1
    (disk / "filler").unlink()
    for _ in range(60):
        assert isinstance(append(journal), Written)
    segments = sorted((disk / "egress").glob("*.log"))
    assert len(segments) > 1
    used = [os.stat(segment).st_blocks * 512 for segment in segments]
    assert used[-1] >= RESERVE
    assert all(each < 200_000 for each in used[:-1]), "an old segment gives its reserve back"
    fill(disk)
    until_refused(journal)
    assert until_refused(journal, Need.FINAL) * len(BODY) > 0.9 * RESERVE
    journal.close()


def test_an_agent_that_dies_on_a_full_disk_loses_no_last_reading(disk: Path):
    bench = Bench(disk / "egress")
    bench.switch.flows = {FLOW: (0, 0), OTHER: (0, 0)}
    bench.tick()
    fill(disk)
    for packets in range(1, 2_000):
        bench.wires = {PortKey(7): Wire("a", 200 * packets)}
        bench.switch.flows = {FLOW: (packets, 114 * packets), OTHER: (packets, 114 * packets)}
        if bench.tick() is not Outcome.JOURNALLED:
            break
    assert bench.tick() is Outcome.DEFERRED, "readings wait"
    assert bench.close(7) is Outcome.JOURNALLED
    bench.kill()
    del bench.switch.flows[FLOW]
    (disk / "filler").unlink()
    assert bench.tick() is Outcome.JOURNALLED
    assert bench.billed(7) == 100 * packets
    assert bench.records(Gap) == []
    assert [record.series[0] for record in bench.records(Closed)] == [7]
    bench.journal.close()


def test_a_disk_that_knows_no_reserve_does_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reader, writer = os.pipe()
    try:
        with pytest.raises(OSError, match="Illegal seek"):
            reserve(writer, 10)
        monkeypatch.setattr(reserving, "_UNABLE", (errno.ESPIPE,))
        reserve(writer, 10)
    finally:
        os.close(reader)
        os.close(writer)
