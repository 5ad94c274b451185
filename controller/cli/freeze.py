"""`ringfence freeze`: a host's agent changes nothing until confirmed.

Place: a command. The data plane of the host goes on as it is. Must not touch the host itself.
"""

from __future__ import annotations

import argparse

from controller.cli.client import segment
from controller.cli.commands import OK
from controller.cli.session import Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = "Tell the agent of a host to change nothing. Its traffic goes on as it is."
    parser.epilog = "examples:\n  ringfence freeze hv1\n  ringfence unfreeze hv1     ends it"
    parser.add_argument("host", metavar="HOST", help="name of the hypervisor")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if there is no such host."""
    answer = session.api.post(f"/v1/freeze/{segment(arguments.host)}")
    session.show(answer, lambda _: session.line(f"{arguments.host} is told to change nothing"))
    return OK
