"""Withheld: records that the API does not take from this host, for now: counted under a name it bore earlier.

Place: beside the journal, for the uploader alone: what comes after them must not wait for them, and they
must not be lost. One JSON a line, fsynced before the journal lets go of them; offered again now and then,
since the host's next certificate may have the name. A line that comes twice is known to the ledger as the
same. Must not change one.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from accounting.encode import Plain
from model.ids import HostName

LOG: Final = logging.getLogger(__name__)
_NEXT: Final = ".next"


@dataclass(frozen=True, slots=True)
class Held:
    """`since_ms`: when the earliest record of all began, Unix ms, 0 = there is none."""

    names: frozenset[HostName] = frozenset()
    since_ms: int = 0

    def and_one(self, host: HostName, record: Plain) -> Held:
        """With one record more."""
        began = int(record["from_ms"])
        return Held(self.names | {host}, min(self.since_ms or began, began))

    def joined(self, other: Held) -> Held:
        """Both."""
        since = min((ms for ms in (self.since_ms, other.since_ms) if ms), default=0)
        return Held(self.names | other.names, since)

    def words(self) -> tuple[str, ...]:
        """The alarm; empty if nothing is held."""
        if not self.names:
            return ()
        names = ", ".join(sorted(self.names))
        return (f"what it counted as {names} waits: this host's certificate lacks that name",)


class Withheld:
    """`held` may be read by any thread; all else is the uploader's."""

    def __init__(self, path: Path) -> None:
        """Reads what an earlier life left. OSError if it can't be read."""
        self._path = path
        self.held, self._size = Held(), 0
        self._see()

    @property
    def names(self) -> frozenset[HostName]:
        """Names under which something is held."""
        return self.held.names

    def add(self, records: Sequence[tuple[HostName, Plain]]) -> None:
        """On disk when it returns; OSError, and nothing is added, if they can't be."""
        if not records:
            return
        data = b"".join(_line(host, record) for host, record in records)
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            # What a crash or a full disk cut off is written over: its records are in the journal still.
            os.ftruncate(file, self._size)
            os.lseek(file, self._size, os.SEEK_SET)
            view = memoryview(data)
            while view:
                view = view[os.write(file, view) :]
            os.fsync(file)
        finally:
            os.close(file)
        _sync(self._path.parent)
        self._size += len(data)
        for host, record in records:
            self.held = self.held.and_one(host, record)

    def offer(self, carry: Callable[[HostName, Sequence[Plain]], bool], most: int) -> None:
        """`carry` posts up to `most` records of a name, and says whether it may; what it raises goes on up,
        and nothing is let go of."""
        taken = {name for name, first in self._firsts().items() if carry(name, [first])}
        if not taken:
            return
        # By one descriptor: after a crash it is the old file or the new one.
        with open(self._path.with_name(self._path.name + _NEXT), "wb") as rest:
            batch: list[_Found] = []
            for found in self._lines():
                if batch and (len(batch) == most or batch[0].host != found.host):
                    _pass_on(batch, taken, carry, rest)
                    batch = []
                batch.append(found)
            _pass_on(batch, taken, carry, rest)
            rest.flush()
            os.fsync(rest.fileno())
        os.replace(rest.name, self._path)
        _sync(self._path.parent)
        self._see()
        LOG.info("egress withheld is taken counted-as=%s", ",".join(sorted(taken)))

    def _firsts(self) -> dict[HostName, Plain]:
        """The first record of each name."""
        found: dict[HostName, Plain] = {}
        for line in self._lines():
            if line.host is not None:
                found.setdefault(line.host, line.record)
        return found

    def _see(self) -> None:
        held, size = Held(), 0
        for line in self._lines():
            size += len(line.raw)
            if line.host is None:
                LOG.error("egress withheld has a line that can't be read path=%s", self._path)
            else:
                held = held.and_one(line.host, line.record)
        self.held, self._size = held, size

    def _lines(self) -> Iterator[_Found]:
        """Without a last line that was cut off."""
        if not self._path.exists():
            return
        with open(self._path, "rb") as file:
            for raw in file:
                if raw.endswith(b"\n"):
                    yield _parse(raw)


@dataclass(frozen=True, slots=True)
class _Found:
    """A line. `host` None: it can't be read, and stays as it is."""

    raw: bytes
    host: HostName | None
    record: Plain


def _parse(raw: bytes) -> _Found:
    try:
        found = json.loads(raw)
        record = found["record"]
        return _Found(raw, HostName(str(found["host"])), record | {"from_ms": int(record["from_ms"])})
    except (ValueError, KeyError, TypeError):
        return _Found(raw, None, {})


def _pass_on(
    batch: Sequence[_Found],
    taken: Set[HostName],
    carry: Callable[[HostName, Sequence[Plain]], bool],
    rest: BinaryIO,
) -> None:
    """All of one host, or of none: posted if its name is taken, kept otherwise."""
    host = batch[0].host
    if host not in taken or host is None or not carry(host, [found.record for found in batch]):
        rest.write(b"".join(found.raw for found in batch))


def _line(host: HostName, record: Plain) -> bytes:
    return json.dumps({"host": host, "record": record}, separators=(",", ":")).encode() + b"\n"


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
