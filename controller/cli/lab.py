"""`ringfence lab`: hands over to the labs, which are a program of their own.

Place: a command. The product never imports `topologies`; this replaces the process with it. Must not come
back.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys

from controller.cli.client import Wrong
from controller.cli.session import Session


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = "A lab of hypervisors on this machine, in network namespaces. Needs root."
    parser.epilog = (
        "examples:\n  ringfence lab list\n  ringfence lab up two_hypervisors\n"
        "  ringfence lab up rails      gangs on simulated NICs and InfiniBand\n  ringfence lab status\n"
        "  ringfence lab exec hv1 ip -br address\n  ringfence lab down\n"
        "  ringfence lab up --help     the lab's own help"
    )
    parser.add_argument(
        "rest", metavar="...", nargs=argparse.REMAINDER, help="up NAME, status, exec HOST CMD, down"
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """Does not return: the exit code is the lab's."""
    if importlib.util.find_spec("topologies") is None:
        raise Wrong("the labs are not installed here: run this from a checkout of Ringfence")
    if not arguments.rest:
        raise Wrong("what shall the lab do? up NAME, status, exec HOST CMD or down")
    session.out.flush()
    os.execv(sys.executable, [sys.executable, "-m", "topologies", *arguments.rest])
