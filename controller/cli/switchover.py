"""`ringfence switchover`: the other DPU of a server serves its ports from now on.

Place: a command. It leaves a word for the agents, who do it when the host is ready. Must not wait for that.
"""

from __future__ import annotations

import argparse

from controller.cli.client import segment
from controller.cli.commands import OK
from controller.cli.session import Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Have HOST serve the ports that it shares with its partner. The active one stops first, so that "
        "for a moment nobody does; it stays active while HOST gives no sign of life."
    )
    parser.epilog = "examples:\n  ringfence switchover node7-dpu1\n  ringfence status     who is active"
    parser.add_argument("host", metavar="HOST", help="the host that is to be active")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such host, it has no partner, or it is active already."""
    answer = session.api.post(f"/v1/switchover/{segment(arguments.host)}")
    session.show(answer, lambda value: session.line(f"{value['from']} hands over to {arguments.host}"))
    return OK
