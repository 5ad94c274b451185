"""`ringfence confirm`: let a host go on that stopped to ask, or that was frozen.

Place: a command. Must not guess which stop was meant: the API compares tokens.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.client import segment
from controller.cli.commands import OK
from controller.cli.session import Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Let a host go on: one that was frozen, or one that stopped by itself (empty or other store, "
        "many ports about to go) and says why in `ringfence status`. Look there first."
    )
    parser.epilog = (
        "examples:\n  ringfence status\n  ringfence confirm hv1\n"
        "  ringfence confirm hv1 delete-40-of-50     only if that is still what stops it"
    )
    parser.add_argument("host", metavar="HOST", help="name of the hypervisor")
    parser.add_argument("token", metavar="STOP", nargs="?", help="the stop that you have looked at")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such host, or another stop than the one named."""
    query = {"token": arguments.token} if arguments.token else None
    answer = session.api.post(f"/v1/confirm/{segment(arguments.host)}", query)
    session.show(answer, lambda value: session.line(_words(arguments.host, value)))
    return OK


def _words(host: str, answer: dict[str, Any]) -> str:
    if answer["stop"]:
        return f"{host} may go on: {answer['stop']} ({answer['reason']})"
    return f"{host} is no longer frozen; nothing else stopped it"
