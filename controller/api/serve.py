"""Serve: the API on a unix socket, mode 0660, until told to stop.

Place: run by `ringfenced api`. The only file of this room that listens. Must not open TCP: there is no TLS
and no token yet, and the operator's rights are the socket's.
"""

from __future__ import annotations

import grp
import logging
import os
import socket
import stat
import time
import uuid
from pathlib import Path
from typing import Final

import uvicorn
from fastapi import FastAPI

from controller.api.settings import Settings
from model.errors import Conflict, Fault, Invalid
from model.ids import Uid

_LOG: Final = logging.getLogger(__name__)
MODE: Final = 0o660
_LONGEST_PATH: Final = 107
"""sun_path of a unix socket, less its final zero (unix(7))."""
_BACKLOG: Final = 256
_KEEP_ALIVE: Final = 30
_GRACE: Final = 5


def now_ms() -> int:
    """Unix time in milliseconds."""
    return time.time_ns() // 1_000_000


def new_uid() -> Uid:
    """A random UUID."""
    return Uid(str(uuid.uuid4()))


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


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises model.errors if it can't begin."""
    listening = listen(settings.socket, settings.group)
    try:
        app = assemble(settings)
        _LOG.info("api serves path=%s store=%s", settings.socket, settings.store)
        server(app, settings.concurrency).run(sockets=[listening])
    finally:
        listening.close()
        settings.socket.unlink(missing_ok=True)
        _LOG.info("api stopped path=%s", settings.socket)
