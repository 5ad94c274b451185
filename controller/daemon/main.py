"""The `ringfenced` command: picks the process to be and hands over to it.

Place: entry point of every unit and lab process. Must not import a process's libraries before it is chosen.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from typing import Final

from model.errors import RingfenceError

LOG: Final = logging.getLogger(__name__)
DEFECT: Final = 70
"""Exit code of a process whose thread failed (EX_SOFTWARE of sysexits.h)."""
_UNUSED: Final = ("eventlet",)
"""What the library of Open vSwitch would import only to see whether it is in use: 17 MB, 0.2 s of a start."""
PROCESSES: Final[tuple[tuple[str, str, str], ...]] = (
    ("store", "controller.daemon.store", "the embedded ovsdb-server: intent, allocations, reports"),
    ("api", "controller.daemon.api", "the HTTP API on a unix socket, with the ledger"),
    ("agent", "controller.daemon.agent", "one per hypervisor: programs Open vSwitch, counts egress"),
    ("speaker", "controller.daemon.speaker", "one per hypervisor: EVPN by ExaBGP, outlives the agent"),
    ("services", "controller.daemon.services", "one per hypervisor: names and metadata for its ports"),
    ("fabric", "controller.daemon.fabric", "one per fabric: moves gangs on, holds partitions"),
    (
        "all",
        "controller.daemon.whole",
        "store, API, speaker, agent and services on this machine, declared by themselves",
    ),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one process until it ends; the exit code is its own (2 = wrong use)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(
        prog="ringfenced",
        description="The processes of Ringfence. They listen on unix sockets; with certificates"
        " `store --also` and `api --uploads` on TCP, too.",
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
    threading.excepthook = _end
    for unused in _UNUSED:
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # as if it were not installed
    module = importlib.import_module(next(m for n, m, _ in PROCESSES if n == known.process))
    try:
        return int(module.run(rest))
    except RingfenceError as error:
        for fault in error.faults:
            LOG.error("%s: %s. %s", fault.object, fault.message, fault.remedy)
        return 1
    except KeyboardInterrupt:
        return 130


def _end(failed: threading.ExceptHookArgs) -> None:
    """A process that lost a thread would look alive and be deaf: whoever started it shall start it again.

    Nothing is tidied up: what must outlive a crash is on disk, and a thread that waits would hold the end up.
    """
    if failed.exc_type is SystemExit or failed.exc_value is None:
        return
    name = "" if failed.thread is None else failed.thread.name
    LOG.critical("thread %s failed: the process ends", name, exc_info=failed.exc_value)
    logging.shutdown()
    os._exit(DEFECT)


def _terminate(_signal: int, _frame: object) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
