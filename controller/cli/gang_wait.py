"""Waiting for a gang: `--wait` of `ringfence gang request` and `release`, with what it waits for.

Place: after the write, as `controller.cli.waiting` is for manifests. The API answers at once; the patience is
here. Must not write.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from controller.cli.client import Refused, Wrong, segment
from controller.cli.commands import NOT_REACHED, OK
from controller.cli.session import Session

_PATIENCE: Final = 300.0
_PAUSE: Final = 0.3
"""Seconds between looks."""
_NOT_FOUND: Final = 404
_ACTIVE: Final = "active"
_GONE: Final = "released"
_FAILED: Final = "failed"


def declare_wait(parser: argparse.ArgumentParser, until: str, flag: str = "--wait") -> None:
    """The flag and `--timeout`. `until`: what it waits for, in words."""
    parser.add_argument(flag, action="store_true", help=f"until {until}, step by step; else exit code 3")
    parser.add_argument(
        "--timeout",
        type=float,
        default=_PATIENCE,
        metavar="SECONDS",
        help=f"patience of {flag} (default {_PATIENCE:g})",
    )


def check_timeout(arguments: argparse.Namespace) -> None:
    """Wrong for anything but a number of seconds."""
    if not 0 <= arguments.timeout <= 86_400:
        raise Wrong("--timeout is a number of seconds from 0 to 86400")


def until_active(session: Session, gang: dict[str, Any], timeout: float) -> tuple[int, dict[str, Any]]:
    """(exit code, the gang as it is then): OK once it is active, NOT_REACHED if it failed, went, or takes too
    long; what it waits for is told meanwhile.
    """
    return _follow(session, gang, timeout, _ACTIVE)


def until_gone(session: Session, gang: dict[str, Any], timeout: float) -> tuple[int, dict[str, Any]]:
    """The same, until nothing bears it any more."""
    return _follow(session, gang, timeout, _GONE)


def line(gang: dict[str, Any]) -> str:
    """How a gang stands, in one line without its name."""
    status = gang["status"]
    waits = status.get("waitsFor", {}).get("why", "")
    parts = [status["state"], f"why: {status['why']}" if status.get("why") else ""]
    return "; ".join(part for part in (*parts, f"waits: {waits}" if waits else "") if part)


def _follow(
    session: Session, gang: dict[str, Any], timeout: float, wanted: str
) -> tuple[int, dict[str, Any]]:
    named, end, told = gang["metadata"], time.monotonic() + timeout, ""
    title = f"Gang {named['tenant']}/{named['name']}"
    place = f"/v1/tenants/{segment(named['tenant'])}/gangs/{segment(named['name'])}"
    while True:
        found = _look(session, place, gang)
        state = found["status"]["state"]
        if line(found) != told:
            told = line(found)
            session.note(f"{title}: {told}")
        if state == wanted:
            return OK, found
        if state in (_FAILED, _GONE) and wanted == _ACTIVE:
            return NOT_REACHED, found
        if time.monotonic() >= end:
            session.note(f"{title}: not {wanted} within {timeout:g} s")
            return NOT_REACHED, found
        time.sleep(_PAUSE)


def _look(session: Session, place: str, gang: dict[str, Any]) -> dict[str, Any]:
    """The gang of that generation; another one of its name means that it is gone."""
    try:
        found: dict[str, Any] = session.api.get(place)
    except Refused as error:
        if error.status != _NOT_FOUND:
            raise
        found = {}
    if found.get("metadata", {}).get("generation") == gang["metadata"]["generation"]:
        return found
    return gang | {"status": gang.get("status", {}) | {"state": _GONE}}
