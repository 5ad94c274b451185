"""The `ringfenced` command: picks the process to be and hands over to it.

Place: entry point of every unit and lab process. Must not import a process's libraries before it is chosen.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Final

PROCESSES: Final[tuple[tuple[str, str, str], ...]] = (
    ("store", "controller.daemon.store", "the embedded ovsdb-server: intent, allocations, reports"),
    ("api", "controller.daemon.api", "the HTTP API on a unix socket, with the ledger"),
    ("agent", "controller.daemon.agent", "one per hypervisor: programs Open vSwitch, counts egress"),
    ("speaker", "controller.daemon.speaker", "one per hypervisor: EVPN by ExaBGP, outlives the agent"),
    (
        "all",
        "controller.daemon.whole",
        "store, API, speaker and agent on this machine, declared by themselves",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one process until it ends; the exit code is its own (2 = wrong use)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="ringfenced",
        description="The processes of Ringfence. Each listens on unix sockets only.",
        epilog="ringfenced PROCESS --help shows the settings of one.",
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    commands = parser.add_subparsers(dest="process", metavar="PROCESS", required=True)
    for name, _, text in PROCESSES:
        commands.add_parser(name, help=text, add_help=False)
    known, rest = parser.parse_known_args(arguments)
    logging.basicConfig(
        level=known.log_level.upper(),
        format="%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
        stream=sys.stderr,
        force=True,
    )
    logging.Formatter.converter = __import__("time").gmtime
    signal.signal(signal.SIGTERM, _terminate)
    module = importlib.import_module(next(m for n, m, _ in PROCESSES if n == known.process))
    try:
        return int(module.run(rest))
    except KeyboardInterrupt:
        return 130


def _terminate(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
