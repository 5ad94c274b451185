"""A witness of ovs-vswitchd's life: an idle connection to its control socket that breaks when it dies.

Place: in the loop of `SwitchDatabase`. The database itself outlives ovs-vswitchd and does not say that it
is gone. Must not send commands.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from controller.southbound import unixctl
from model.errors import Unavailable

RETRY: Final = 0.25
"""Seconds between looks for a new ovs-vswitchd."""
_CREDENTIALS: Final = struct.Struct("3i")
_START_TIME: Final = 19
"""Index of `starttime` in /proc/PID/stat after the command name (proc(5): field 22)."""


class Witness:
    """`started` names the run of ovs-vswitchd; empty while none answers."""

    def __init__(self, rundir: Path, clock: Callable[[], float]) -> None:
        self._rundir = rundir
        self._clock = clock
        self._socket: socket.socket | None = None
        self._retry = 0.0
        self.started = ""

    def look(self) -> None:
        """See whether it still lives, or whether a new one does."""
        if self._socket is not None and not _open(self._socket):
            self.close()
        if self._socket is None and self._clock() >= self._retry:
            self._retry = self._clock() + RETRY
            self._connect()

    def fileno(self) -> int | None:
        """What to poll for its death; None while there is none, then poll for `RETRY` seconds."""
        return None if self._socket is None else self._socket.fileno()

    def close(self) -> None:
        """Give the connection back."""
        if self._socket is not None:
            self._socket.close()
        self._socket, self.started = None, ""

    def _connect(self) -> None:
        with suppress(Unavailable, OSError):
            path = unixctl.find(self._rundir)
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(str(path))
                connection.setblocking(False)
                self.started = _identity(connection, path)
            except OSError:
                connection.close()
                raise
            self._socket = connection


def _open(connection: socket.socket) -> bool:
    try:
        return bool(connection.recv(4096))
    except BlockingIOError:
        return True
    except OSError:
        return False


def _identity(connection: socket.socket, path: Path) -> str:
    """pid and start time of the process that listens there (unix(7), SO_PEERCRED).

    Seen from another pid namespace the pid is 0: then the socket's inode and birth, for each run makes its
    own.
    """
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid = _CREDENTIALS.unpack(packed)[0]
    with suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return f"{pid}.{fields[_START_TIME]}"
    status = path.stat()
    return f"socket.{status.st_ino}.{status.st_ctime_ns}"
