"""Directories of labs: one per name, locked while the lab lives, removed with it.

Place: claimed before a lab is built. Must not remove a directory whose lock is held.

Everything lies under one base directory (RINGFENCE_LAB_DIR, default /run/ringfence-lab), which goes with the
last lab. Paths stay short because a unix socket's may have 107 bytes at most (unix(7)).
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from topologies.errors import LabError

SOCKET = "lab.sock"
"""Of a lab's holder, in the lab's directory."""
BASE_VARIABLE = "RINGFENCE_LAB_DIR"
_DEFAULT_BASE = "/run/ringfence-lab"
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_BASE_LIMIT = 40
_GUARD = ".guard"
_LOCK = "lock"


def base() -> Path:
    """The directory of all labs; LabError if it is not absolute or too long for sockets."""
    found = Path(os.environ.get(BASE_VARIABLE, _DEFAULT_BASE))
    if not found.is_absolute() or len(str(found)) > _BASE_LIMIT:
        raise LabError(f"{BASE_VARIABLE}={found}: must be absolute and at most {_BASE_LIMIT} bytes long")
    return found


@dataclass(frozen=True, slots=True)
class LabDirectory:
    """A claimed directory; `lock` is the open descriptor that says that the lab lives."""

    name: str
    path: Path
    lock: int

    def release(self) -> None:
        """Remove directory and log; the last one takes the base along."""
        with _guarded(self.path.parent):
            _remove_lab(self.path)
            os.close(self.lock)
            _remove_base(self.path.parent)


def claim(name: str) -> LabDirectory:
    """A fresh directory for lab `name`; what a dead lab of that name left is cleared first.

    LabError if the name is not `[a-z0-9-]{1,32}` or a living lab holds it.
    """
    path = place(name)
    with _guarded(path.parent):
        if path.exists() and held(path):
            raise LabError(f"lab {name} is up already: take it down first, or choose another name")
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o755)
        lock = os.open(path / _LOCK, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return LabDirectory(name, path, lock)


def clear(name: str) -> bool:
    """Remove what a dead lab left; True if there was something. LabError if it lives."""
    path = place(name)
    if not any(p.exists() for p in (path, log_of(path), _holder_file(path))):
        return False
    with _guarded(path.parent):
        if held(path):
            raise LabError(f"lab {name} is up")
        _remove_lab(path)
        _remove_base(path.parent)
    return True


def place(name: str) -> Path:
    """Where the lab of this name lives, whether it does or not; LabError for what is no name."""
    if not _NAME.fullmatch(name):
        raise LabError(f"{name!r} is no lab name: lower-case letters, digits and dashes, 32 at most")
    return base() / name


def log_of(path: Path) -> Path:
    """The log of a lab that was brought up in the background; beside its directory, gone with it."""
    return path.with_name(f"{path.name}.log")


def names() -> tuple[tuple[str, bool], ...]:
    """(name, lives) of every lab directory, sorted."""
    root = base()
    if not root.is_dir():
        return ()
    return tuple((p.name, held(p)) for p in sorted(root.iterdir()) if p.is_dir())


def held(path: Path) -> bool:
    """Whether a process holds the lock of this lab directory."""
    try:
        lock = os.open(path / _LOCK, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


@contextmanager
def _guarded(root: Path) -> Iterator[None]:
    """Hold the base directory's own lock; made anew if the last lab removed it in between."""
    while True:
        try:
            root.mkdir(mode=0o755, parents=True, exist_ok=True)
            guard = os.open(root / _GUARD, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue
        except PermissionError as error:
            raise LabError(f"{root} can't be written: run the lab as root, or set {BASE_VARIABLE}") from error
        fcntl.flock(guard, fcntl.LOCK_EX)
        try:
            if os.stat(root / _GUARD).st_ino == os.fstat(guard).st_ino:
                break
        except FileNotFoundError:
            pass
        os.close(guard)
    try:
        yield
    finally:
        os.close(guard)


def note_holder(name: str, pid: int) -> None:
    """Write down which background process holds a lab."""
    _holder_file(place(name)).write_text(f"{pid}\n")


def holder_of(name: str) -> int | None:
    """The background process of a living lab; None for a dead one and for one inside a test process."""
    path = place(name)
    try:
        pid = int(_holder_file(path).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if held(path) else None


def _holder_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.pid")


def _remove_lab(path: Path) -> None:
    shutil.rmtree(path, ignore_errors=True)
    log_of(path).unlink(missing_ok=True)
    _holder_file(path).unlink(missing_ok=True)


def _remove_base(root: Path) -> None:
    """If no lab directory remains, remove the base itself."""
    if any(p.is_dir() for p in root.iterdir()):
        return
    (root / _GUARD).unlink(missing_ok=True)
    try:
        root.rmdir()
    except OSError:
        return
