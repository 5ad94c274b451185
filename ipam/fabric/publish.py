"""Publish: a partitions file that OpenSM may read at any moment is replaced by another, whole and on disk.

Place: first effect of the fabric's driver, before OpenSM is told. Must not put anything at the file's name
but a text that, read by `grammar`, means exactly what is wanted: without the file, or with half of it, OpenSM
opens the whole fabric.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ipam.fabric.grammar import PartitionsError, parse, render
from ipam.fabric.partitions import Partitions

_SUFFIX: Final = ".new"
_MODE: Final = 0o644
_MOST: Final = 64 << 20


def observe(path: Path) -> Partitions | None:
    """What the file says now; None if it says nothing that we would have written, or is not there."""
    try:
        return parse(_read(path))
    except (OSError, UnicodeDecodeError, PartitionsError):
        return None


def publish(path: Path, wanted: Partitions) -> None:
    """Returns when the file has been read back. PartitionsError: nothing was changed, or what was read back
    differs; OSError: as the operating system says.
    """
    text = render(wanted)
    if parse(text) != wanted:
        raise PartitionsError("partitions.conf: what was written down is not what is wanted")
    beside = path.with_name(path.name + _SUFFIX)
    beside.unlink(missing_ok=True)
    # O_EXCL: a link that somebody put there is not followed.
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    if parse(_read(beside)) != wanted:
        raise PartitionsError(f"{beside}: what was read back is not what is wanted")
    beside.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    if observe(path) != wanted:
        raise PartitionsError(f"{path}: somebody else writes this file")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MOST)
    return raw.decode("ascii")
