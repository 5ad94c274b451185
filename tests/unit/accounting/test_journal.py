"""The journal on a real directory: torn at every byte, full disks, failing fsync, rotation, replay."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from accounting import journal as module
from accounting.frames import MAGIC, Frame, Kind, frame_bytes, parse_frames
from accounting.journal import Journal, Refused, Written
from model.errors import Unavailable


def _checkpoint() -> bytes:
    return b"state-0"


def _bodies(journal: Journal) -> list[bytes]:
    return [f.body for f in journal.pending(10_000)]


def _segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("journal-*.log"))


def test_what_was_written_is_found_again(tmp_path: Path):
    journal = Journal(tmp_path)
    assert journal.recovery.checkpoint is None
    assert [journal.append(b"a", _checkpoint), journal.append(b"b", _checkpoint)] == [Written(1), Written(2)]
    journal.close()
    again = Journal(tmp_path)
    assert again.recovery.checkpoint == b"state-0"
    assert again.recovery.steps == (b"a", b"b")
    assert (again.recovery.torn, again.recovery.missing, again.recovery.behind) == (0, 0, False)
    assert _bodies(again) == [b"a", b"b"]
    assert again.append(b"c", _checkpoint) == Written(3)
    again.close()


def test_a_tail_torn_at_any_byte_loses_only_the_last_frames(tmp_path: Path):
    origin = tmp_path / "origin"
    journal = Journal(origin)
    bodies = [b"first", b"", b"\x00" * 9, b"RFJRNL1\n" + frame_bytes(Frame(Kind.STEP, 9, b"fake"))]
    for body in bodies:
        journal.append(body, _checkpoint)
    journal.close()
    (segment,) = _segments(origin)
    data = segment.read_bytes()
    ends = [start + len(frame.body) for start, frame in parse_frames(data)]
    for cut in range(len(data) + 1):
        directory = tmp_path / f"cut-{cut}"
        directory.mkdir()
        (directory / segment.name).write_bytes(data[:cut])
        torn = Journal(directory)
        whole = sum(1 for end in ends[1:] if end <= cut)
        assert list(torn.recovery.steps) == bodies[:whole], cut
        assert torn.recovery.checkpoint == (b"state-0" if cut >= ends[0] else None), cut
        assert isinstance(torn.append(b"next", lambda: b"state-1"), Written)
        torn.close()
        healed = Journal(directory)
        assert list(healed.recovery.steps) == [*bodies[:whole], b"next"], cut
        assert healed.recovery.torn == 0
        healed.close()


@pytest.mark.parametrize("flip", [0x01, 0x80])
def test_a_flipped_bit_anywhere_never_yields_a_wrong_body(tmp_path: Path, flip: int):
    data = MAGIC + b"".join(
        frame_bytes(Frame(kind, n, b"body-%d" % n))
        for n, kind in enumerate([Kind.CHECKPOINT, Kind.STEP, Kind.STEP])
    )
    right = [frame for _, frame in parse_frames(data)]
    assert len(right) == 3
    for place in range(len(data)):
        damaged = bytearray(data)
        damaged[place] ^= flip
        found = [frame for _, frame in parse_frames(bytes(damaged))]
        assert found == right[: len(found)]
        assert len(found) < 3, place


def test_segments_rotate_and_go_when_acknowledged(tmp_path: Path):
    journal = Journal(tmp_path, segment_bytes=100)
    for n in range(20):
        assert journal.append(b"x" * 30, lambda n=n: b"state-%d" % n) == Written(n + 1)
    assert len(_segments(tmp_path)) > 3
    assert journal.acknowledge(12) is None
    assert len(_bodies(journal)) == 8
    journal.close()
    again = Journal(tmp_path, segment_bytes=100)
    assert len(_bodies(again)) == 8
    assert again.recovery.missing == 0
    assert again.acknowledge(20) is None
    assert len(_segments(tmp_path)) == 1
    again.close()
    last = Journal(tmp_path)
    assert last.backlog == 0
    assert last.recovery.checkpoint is not None
    assert last.recovery.checkpoint.startswith(b"state-")
    assert last.append(b"y", _checkpoint) == Written(21)
    last.close()


def test_the_steps_follow_the_newest_checkpoint(tmp_path: Path):
    journal = Journal(tmp_path, segment_bytes=60)
    for n in range(9):
        journal.append(b"step-%d" % n, lambda n=n: b"before-%d" % n)
    journal.close()
    recovery = Journal(tmp_path).recovery
    assert recovery.checkpoint is not None
    first = int(recovery.checkpoint.removeprefix(b"before-"))
    assert first > 0
    assert recovery.steps == tuple(b"step-%d" % n for n in range(first, 9))


def test_a_lost_acknowledgement_offers_everything_again(tmp_path: Path):
    journal = Journal(tmp_path)
    for body in (b"a", b"b"):
        journal.append(body, _checkpoint)
    journal.acknowledge(2)
    journal.close()
    (tmp_path / "acknowledged").write_text("garbage")
    again = Journal(tmp_path)
    assert _bodies(again) == [b"a", b"b"]
    again.close()


def test_acknowledged_frames_that_rotted_are_noticed(tmp_path: Path):
    journal = Journal(tmp_path)
    for body in (b"a", b"b", b"c"):
        journal.append(body, _checkpoint)
    journal.acknowledge(3)
    journal.close()
    (segment,) = _segments(tmp_path)
    segment.write_bytes(segment.read_bytes()[:-1])
    again = Journal(tmp_path)
    assert again.recovery.behind
    assert again.append(b"d", lambda: b"new") == Written(4)
    assert _bodies(again) == [b"d"]
    again.close()


def test_damage_in_an_older_segment_is_counted(tmp_path: Path):
    journal = Journal(tmp_path, segment_bytes=60)
    for n in range(9):
        journal.append(b"step-%d" % n, lambda n=n: b"before-%d" % n)
    journal.close()
    segments = _segments(tmp_path)
    assert len(segments) >= 2
    segments[0].write_bytes(segments[0].read_bytes()[:-1])
    again = Journal(tmp_path)
    assert again.recovery.missing == 1
    assert len(_bodies(again)) == 8
    again.close()


def test_a_second_writer_is_turned_away(tmp_path: Path):
    journal = Journal(tmp_path)
    with pytest.raises(Unavailable) as caught:
        Journal(tmp_path)
    assert caught.value.faults[0].rule == "journal-unusable"
    journal.close()
    Journal(tmp_path).close()


class Disk:
    """Stands before os.write and os.fsync of the journal: fails on demand, after `room` bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self.syncs_fail = False
        self._write, self._fsync = os.write, os.fsync
        monkeypatch.setattr(module.os, "write", self.write)
        monkeypatch.setattr(module.os, "fsync", self.fsync)

    def write(self, file: int, data) -> int:
        if self.room is None:
            return self._write(file, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        count = self._write(file, bytes(data)[: self.room])
        self.room -= count
        return count

    def fsync(self, file: int) -> None:
        if self.syncs_fail:
            raise OSError(errno.EIO, "Input/output error")
        self._fsync(file)


@pytest.mark.parametrize("room", range(0, 60, 3))
def test_a_full_disk_is_a_result_and_heals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int):
    disk = Disk(monkeypatch)
    journal = Journal(tmp_path, segment_bytes=50)
    journal.append(b"a" * 40, _checkpoint)
    disk.room = room
    body = b"b" * 50
    results = [journal.append(body, lambda: b"state-1") for _ in range(3)]
    assert all(isinstance(r, Refused) for r in results)
    assert "No space" in results[0].reason
    assert len(_segments(tmp_path)) <= 2, "each attempt left a file behind"
    disk.room = None
    assert journal.append(body, lambda: b"state-1") == Written(2)
    journal.close()
    again = Journal(tmp_path)
    assert _bodies(again) == [b"a" * 40, body]
    assert again.recovery.missing == 0
    again.close()


def test_after_a_failed_fsync_the_file_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    disk = Disk(monkeypatch)
    journal = Journal(tmp_path)
    journal.append(b"a", _checkpoint)
    disk.syncs_fail = True
    assert isinstance(journal.append(b"b", lambda: b"state-1"), Refused)
    assert isinstance(journal.append(b"b", lambda: b"state-1"), Refused)
    disk.syncs_fail = False
    assert journal.append(b"b", lambda: b"state-1") == Written(2)
    assert len(_segments(tmp_path)) == 2
    journal.close()
    again = Journal(tmp_path)
    assert again.recovery.checkpoint == b"state-1"
    assert again.recovery.steps == (b"b",)
    assert _bodies(again) == [b"a", b"b"]
    again.close()


def test_a_step_that_stands_in_two_segments_counts_once(tmp_path: Path):
    """As after an fsync that failed though the page reached the disk."""
    first = [Frame(Kind.CHECKPOINT, 0, b"s0"), Frame(Kind.STEP, 1, b"a"), Frame(Kind.STEP, 2, b"b")]
    second = [Frame(Kind.CHECKPOINT, 1, b"s1"), Frame(Kind.STEP, 2, b"b"), Frame(Kind.STEP, 3, b"c")]
    for number, frames in ((1, first), (2, second)):
        path = tmp_path / f"journal-{number:020d}-0000.log"
        path.write_bytes(MAGIC + b"".join(map(frame_bytes, frames)))
    journal = Journal(tmp_path)
    assert journal.recovery.checkpoint == b"s1"
    assert journal.recovery.steps == (b"b", b"c")
    assert _bodies(journal) == [b"a", b"b", b"c"]
    assert journal.recovery.missing == 0
    journal.close()
