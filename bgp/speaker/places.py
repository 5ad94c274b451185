"""The speaker's directory, lock, sockets and signals.

Place: effects that `bgp.speaker.loop` takes and gives back. Must not hold state.
"""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from model.errors import Fault, Unavailable

_GROUP: Final = "ringfence"
_PATH_LONGEST: Final = 107
"""Octets in the path of a unix socket (sun_path less its end)."""


def prepare(directory: Path) -> None:
    """Make the directory for what is generated: nobody else may look in, a password may be in it.

    Unavailable if it is a link or another's: who owns it could have us write, and ExaBGP run, what they like.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
    found = directory.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        message = f"{directory} is no directory of this user"
        raise Unavailable(Fault("speaker", "speaker-directory", message, "remove it, or give another --dir"))
    directory.chmod(0o700)


def write(path: Path, text: str) -> None:
    """Replace a file at once, readable by its owner only."""
    fresh = path.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(text)
    fresh.replace(path)


@contextlib.contextmanager
def lock(directory: Path) -> Iterator[None]:
    """Hold the directory; Unavailable if another speaker does."""
    with open(directory / "lock", "w") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            message = f"another speaker runs in {directory}"
            remedy = "stop it, or give this one another --dir and --socket"
            raise Unavailable(Fault("speaker", "speaker-running", message, remedy)) from None
        yield


@contextlib.contextmanager
def listen(path: Path, mode: int) -> Iterator[socket.socket]:
    """A listening unix socket with these permissions, group `ringfence` if there is one; gone at the end.

    A file that is left from an earlier run is replaced; the directory's lock has shown that nobody uses it.
    """
    if len(os.fsencode(path)) > _PATH_LONGEST:
        message, remedy = f"{path} is too long for a unix socket", f"use at most {_PATH_LONGEST} octets"
        raise Unavailable(Fault("speaker", "speaker-socket", message, remedy))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stream:
        before = os.umask(0o777 & ~mode)
        try:
            stream.bind(str(path))
        finally:
            os.umask(before)
        with contextlib.suppress(KeyError, PermissionError):
            os.chown(path, -1, grp.getgrnam(_GROUP).gr_gid)
        stream.listen()
        stream.setblocking(False)
        try:
            yield stream
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def signals() -> Iterator[socket.socket]:
    """A socket that becomes readable on SIGTERM or SIGINT."""
    reader, writer = socket.socketpair()
    with reader, writer:
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno())
        old = [signal.signal(one, lambda *_: None) for one in (signal.SIGTERM, signal.SIGINT)]
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)
            for one, handler in zip((signal.SIGTERM, signal.SIGINT), old, strict=True):
                signal.signal(one, handler)
