"""Journal: append-only, fsynced frames on the host, which survive kill -9, power loss and a full disk.

Place: the meter appends each step before it counts as counted; the uploader reads frames and acknowledges
them. A directory holds segments `journal-<number>-<attempt>.log`, each opening with a checkpoint (the whole
state before its frames), and the file `acknowledged`. Segments go once all their frames are acknowledged and
a newer one exists.
The newest one has room on the disk behind its end, which last readings alone may take when the disk is full.
Must not know what bodies mean, and must not raise while running: a full disk is a result.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Final

from accounting.frames import MAGIC, Frame, Kind, frame_bytes, parse_frames
from accounting.reserve import reserve
from model.errors import Fault, Unavailable

SEGMENT_BYTES: Final = 4 << 20
"""A segment ends once its frames after the checkpoint hold this much."""
RESERVE: Final = 1 << 20
"""Bytes behind the end of the newest segment that last readings find on a full disk: thousands of ports."""
CHUNK: Final = 1 << 18
"""So many bytes more are reserved at once, since each time costs a call."""
_ACKNOWLEDGED: Final = "acknowledged"


class Need(Enum):
    """What a step would be missed for. FINAL: it holds what can't be read again."""

    USUAL = "usual"
    FINAL = "final"


@dataclass(frozen=True, slots=True)
class Written:
    """The frame `number` is on disk."""

    number: int


@dataclass(frozen=True, slots=True)
class Refused:
    """Not known to be on disk; nothing written before is lost. The same body must be offered again.

    (After a failed fsync it may be there all the same: another body under its number would contradict it.)
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at opening: the newest checkpoint and the steps after it, in order.

    `torn`: bytes cut from the end of the newest segment. `missing`: frames that were written and not
    acknowledged, but can't be read any more. `behind`: acknowledged frames can't be read any more, so that
    the state is older than the ledger's.
    """

    checkpoint: bytes | None
    steps: tuple[bytes, ...]
    torn: int = 0
    missing: int = 0
    behind: bool = False


@dataclass(frozen=True, slots=True)
class _Place:
    number: int
    path: Path
    offset: int
    length: int


class Journal:
    """One directory, one writer (held by a lock file). `append`, `pending` and `acknowledge` may come from
    three threads; nothing but `append` waits for a disk that another one uses."""

    def __init__(self, directory: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        """Opens and recovers (see `recovery`); Unavailable if the directory can't be used or is in use."""
        self.directory, self._segment_bytes = directory, segment_bytes
        self._guard, self._writing = threading.Lock(), threading.Lock()
        self._file: int | None = None
        self._path = directory
        self._size = self._fresh_from = self._reserved = 0
        self._places: deque[_Place] = deque()
        self._segments: list[tuple[Path, int]] = []
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.acknowledged = _read_acknowledged(directory)
            self.recovery = self._recover()
        except OSError as error:
            raise Unavailable(
                Fault(
                    f"journal {directory}",
                    "journal-unusable",
                    f"the egress journal can't be opened: {error.strerror or error}",
                    "see that no other agent runs on this host, and that its state directory can be written",
                )
            ) from error

    def append(
        self, body: bytes, checkpoint: Callable[[], bytes], need: Need = Need.USUAL
    ) -> Written | Refused:
        """Write and fsync one step. `checkpoint` gives the state before it, if a new segment is due.

        The reserve is for steps that are FINAL; others are refused once there is nothing beside it.
        """
        with self._writing:  # not `_guard`: nobody else has to wait for the disk
            try:
                self._find_segment(checkpoint, need)
                number = self._next
                start = self._put(Frame(Kind.STEP, number, body), need)
            except OSError as error:
                return Refused(error.strerror or str(error))
            with self._guard:
                self._next += 1
                self._places.append(_Place(number, self._path, start, len(body)))
                self._segments[-1] = (self._path, number)
            return Written(number)

    @property
    def begins_segment(self) -> bool:
        """Whether the next step needs its checkpoint."""
        return self._file is None or self._size - self._fresh_from >= self._segment_bytes

    def pending(self, limit: int) -> tuple[Frame, ...]:
        """Up to `limit` frames that are not acknowledged, oldest first. OSError if the disk can't be read."""
        with self._guard:
            places = [place for _, place in zip(range(limit), self._places, strict=False)]
        return tuple(Frame(Kind.STEP, p.number, _read(p)) for p in places)

    def oldest(self, length: int) -> bytes:
        """The begin of the oldest body that is not acknowledged; empty if there is none that can be read."""
        with self._guard:
            place = self._places[0] if self._places else None
        if place is None:
            return b""
        try:
            return _read(replace(place, length=min(place.length, length)))
        except OSError:
            return b""

    @property
    def backlog(self) -> int:
        """How many frames are not acknowledged."""
        return len(self._places)

    @property
    def waiting(self) -> int | None:
        """The number of the first frame that is not acknowledged."""
        with self._guard:
            return self._places[0].number if self._places else None

    @property
    def newest(self) -> int:
        """The number of the last frame."""
        return self._next - 1

    def skip(self, number: int) -> None:
        """Frames up to `number` hold nothing to upload: not offered again by this process."""
        with self._guard:
            while self._places and self._places[0].number <= number:
                self._places.popleft()

    def acknowledge(self, number: int) -> Refused | None:
        """Frames up to `number` are safe elsewhere. Refused: they will be offered again after a restart."""
        self.skip(number)
        try:
            _write_acknowledged(self.directory, number)
        except OSError as error:
            return Refused(error.strerror or str(error))
        with self._guard:
            try:
                self.acknowledged = number
                while len(self._segments) > 1 and self._segments[0][1] <= number:
                    self._segments[0][0].unlink(missing_ok=True)
                    self._segments.pop(0)
            except OSError as error:
                return Refused(error.strerror or str(error))
            return None

    def close(self) -> None:
        """Give the directory back. Everything that was `Written` is on disk already."""
        with self._writing:
            if self._file is not None:
                os.close(self._file)
                self._file = None
            os.close(self._lock)

    def _recover(self) -> Recovery:
        checkpoint: bytes | None = None
        steps: list[bytes] = []
        last = covered = missing = torn = 0
        for path in sorted(self.directory.glob("journal-*.log")):
            data = path.read_bytes()
            end, frames = len(MAGIC), 0
            for start, frame in parse_frames(data):
                end, frames = start + len(frame.body), frames + 1
                if frame.kind is Kind.CHECKPOINT:
                    if self._segments:
                        missing += max(0, frame.number - max(last, self.acknowledged))
                    checkpoint, steps, covered = frame.body, [], frame.number
                    last = max(last, covered)
                    continue
                if frame.number > covered:
                    steps.append(frame.body)
                    covered = frame.number
                # A step whose fsync failed may stand in two segments, with the same content.
                if frame.number > max(last, self.acknowledged):
                    self._places.append(_Place(frame.number, path, start, len(frame.body)))
                last = max(last, frame.number)
            torn = len(data) - end if frames else len(data)
            if frames:
                self._segments.append((path, last))
                self._path, self._size = path, end
            else:
                path.unlink()
        behind = self.acknowledged > last
        self._next = max(last, self.acknowledged) + 1
        if self._segments and not behind:
            self._reopen()
        return Recovery(checkpoint, tuple(steps), torn, missing, behind)

    def _reopen(self) -> None:
        """Go on in the newest segment, after its last whole frame."""
        self._file = os.open(self._path, os.O_RDWR)
        if os.fstat(self._file).st_size > self._size:  # else what is reserved stays so
            os.ftruncate(self._file, self._size)
        os.fsync(self._file)
        os.lseek(self._file, 0, os.SEEK_END)
        with suppress(OSError):
            self._hold_room(0)

    def _hold_room(self, length: int) -> None:
        """Have room for a frame, and the reserve behind it. OSError if there is less."""
        assert self._file is not None
        wanted = self._size + length + RESERVE
        if self._reserved < wanted:
            reserve(self._file, wanted + CHUNK)
            self._reserved = wanted + CHUNK

    def _find_segment(self, checkpoint: Callable[[], bytes], need: Need) -> None:
        """A new one, if it is due; what is FINAL goes into an old one if there is no room for that."""
        if not self.begins_segment:
            return
        try:
            self._begin_segment(checkpoint())
        except OSError:
            if self._file is None or need is Need.USUAL:
                raise

    def _begin_segment(self, checkpoint: bytes) -> None:
        """Open the next segment; nothing changes unless its checkpoint is on disk, and room behind it."""
        path = self._free_path()
        data = MAGIC + frame_bytes(Frame(Kind.CHECKPOINT, self._next - 1, checkpoint))
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        room = len(data) + RESERVE + CHUNK
        try:
            reserve(file, room)
            _write_all(file, data)
            os.fsync(file)
            _sync_directory(self.directory)
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        if self._file is not None:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)  # gives its reserve back
            os.close(self._file)
        self._file, self._path, self._size, self._fresh_from = file, path, len(data), len(data)
        self._reserved = room
        with self._guard:
            self._segments.append((path, self._next - 1))

    def _free_path(self) -> Path:
        """Never that of an older attempt: its checkpoint may be the only one that is on disk."""
        attempt = 0
        while (path := self.directory / f"journal-{self._next:020d}-{attempt:04d}.log").exists():
            attempt += 1
        return path

    def _put(self, frame: Frame, need: Need) -> int:
        """Append and fsync; the offset of the body."""
        assert self._file is not None
        data = frame_bytes(frame)
        try:
            self._hold_room(len(data))
        except OSError:
            if need is Need.USUAL:
                raise
        try:
            _write_all(self._file, data)
        except OSError:
            self._cut()
            raise
        try:
            os.fsync(self._file)
        except OSError:
            # The kernel may have dropped pages and says so only once: never write to this file again. Whether
            # the frame is on disk is not known, so the same one must be offered again.
            self._cut()
            self._abandon()
            raise
        self._size += len(data)
        return self._size - len(frame.body)

    def _cut(self) -> None:
        """Take a half-written frame away; a file that refuses is given up, and the frame's CRC ends it."""
        assert self._file is not None
        try:
            self._reserved = 0  # what is cut goes with all that is behind it
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError:
            self._abandon()

    def _abandon(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _write_all(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]


def _read(place: _Place) -> bytes:
    with open(place.path, "rb") as file:
        file.seek(place.offset)
        body = file.read(place.length)
    if len(body) != place.length:
        raise OSError(f"{place.path.name} was cut short")
    return body


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_acknowledged(directory: Path) -> int:
    """0 if unknown: then everything is uploaded again, which the ledger takes as repeated."""
    try:
        return int((directory / _ACKNOWLEDGED).read_text())
    except (FileNotFoundError, ValueError):
        return 0


def _write_acknowledged(directory: Path, number: int) -> None:
    part = directory / (_ACKNOWLEDGED + ".part")
    with open(part, "w") as out:
        out.write(f"{number}\n")
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, directory / _ACKNOWLEDGED)
    _sync_directory(directory)
