"""`ringfence unfreeze`: ends a freeze of the operator.

Place: a command. A stop of the agent's own stays: see `ringfence confirm`. Must not touch the host.
"""

from __future__ import annotations

import argparse

from controller.cli.client import segment
from controller.cli.commands import OK
from controller.cli.session import Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = "End a freeze. A host that stopped by itself goes on waiting: see ringfence confirm."
    parser.epilog = "example:\n  ringfence unfreeze hv1"
    parser.add_argument("host", metavar="HOST", help="name of the hypervisor")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such host."""
    answer = session.api.post(f"/v1/unfreeze/{segment(arguments.host)}")
    session.show(answer, lambda _: session.line(f"{arguments.host} is no longer frozen"))
    return OK
