"""Listener: a unix socket with the right owner and mode, and the HTTP server on it.

Place: used by `controller.api.serve` and by tests. The only file of this room that listens. Must not open
TCP.
"""

from __future__ import annotations

import grp
import logging
import os
import socket
import stat
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from model.errors import Conflict, Fault, Invalid

_LOG: Final = logging.getLogger(__name__)
MODE: Final = 0o660
_LONGEST_PATH: Final = 107
"""sun_path of a unix socket, less its final zero (unix(7))."""
_BACKLOG: Final = 256
_KEEP_ALIVE: Final = 30
_GRACE: Final = 5


def listen(path: Path, group: str) -> socket.socket:
    """A bound unix socket, usable by root and `group`; a stale one is replaced. Invalid, Conflict."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise Invalid(
            _fault(path, "path-too-long", f"longer than {_LONGEST_PATH} bytes", "Use a shorter path.")
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o777 & ~MODE)
    try:
        made.bind(str(path))
    finally:
        os.umask(mask)
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError) as error:
        _LOG.info("api socket keeps its group path=%s reason=%s", path, error)
    made.listen(_BACKLOG)
    return made


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Invalid(_fault(path, "not-a-socket", "is in the way and no socket", "Move it away."))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            path.unlink(missing_ok=True)
            return
    raise Conflict(_fault(path, "already-running", "another process serves it", "Stop that one first."))


def _fault(path: Path, rule: str, message: str, remedy: str) -> Fault:
    return Fault(f"socket {path}", rule, message, remedy)


def server(app: FastAPI, concurrency: int) -> uvicorn.Server:
    """The HTTP server, with its limits, not yet started."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            limit_concurrency=concurrency,
            timeout_keep_alive=_KEEP_ALIVE,
            timeout_graceful_shutdown=_GRACE,
            h11_max_incomplete_event_size=64 * 1024,
        )
    )
