"""Waiting: `--wait`: until the hosts that a change concerns have programmed it.

Place: last step of apply and delete. The API answers each question within seconds; the patience is here.
Must not write.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

from controller.cli.client import Wrong
from controller.cli.commands import NOT_REACHED, OK
from controller.cli.session import Session

DEFAULT_TIMEOUT: Final = 60.0
_TURN: Final = 10.0
"""Seconds that one question lasts; less than the API's own limit."""


def declare_wait(parser: argparse.ArgumentParser) -> None:
    """`--wait` and `--timeout`."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="until every host with bound ports of what was touched has programmed it; else exit code 3",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help=f"patience of --wait (default {DEFAULT_TIMEOUT:g})",
    )


def check_timeout(arguments: argparse.Namespace) -> None:
    """Wrong for anything but a number of seconds."""
    if not 0 <= arguments.timeout <= 86_400:
        raise Wrong("--timeout is a number of seconds from 0 to 86400")


def wait(session: Session, answer: dict[str, Any], timeout: float) -> tuple[int, list[dict[str, str]]]:
    """(exit code, hosts that are missing with the reason)."""
    hosts = answer["concerned"]
    if not hosts:
        return OK, []
    end = time.monotonic() + timeout
    while True:
        left = max(end - time.monotonic(), 0.0)
        query = {"generation": answer["generation"], "host": hosts, "timeout": f"{min(left, _TURN):.3f}"}
        state = session.api.get("/v1/wait", query)
        if state["reached"]:
            return OK, []
        if time.monotonic() >= end:
            return NOT_REACHED, state["pending"]


def tell(session: Session, answer: dict[str, Any], missing: list[dict[str, str]]) -> None:
    """Say for people how the wait ended."""
    for each in missing:
        session.note(f"not yet on {each['host']}: {each['reason']}")
    if not missing:
        names = ", ".join(answer["concerned"]) or "no host has bound ports of it yet"
        session.note(f"programmed: {names}")
