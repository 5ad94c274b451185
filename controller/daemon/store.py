"""`ringfenced store`: the embedded ovsdb-server with both databases, in the foreground.

Place: a unit of its own, so that API and agents come and go. Must not write rows.
"""

from __future__ import annotations

import argparse
import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controller.daemon import flags
from controller.store.server import Server

LOG: Final = logging.getLogger(__name__)
_LOOK: Final = 1.0


def run(argv: Sequence[str]) -> int:
    """Until terminated; 1 if ovsdb-server ends by itself."""
    parser = argparse.ArgumentParser(prog="ringfenced store", description=__doc__.splitlines()[0])
    parser.add_argument("--dir", type=Path, default=Path("/var/lib/ringfence/store"), help="database files")
    parser.add_argument(
        "--remote", default="unix:/run/ringfence/store.sock", help="where to serve: unix:PATH"
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="pssl:PORT[:ADDRESS]",
        help="where to listen, too, over TLS, to who has a certificate of --also-ca; repeat for more. On"
        " loopback alone ptcp:PORT:ADDRESS, in clear; punix:PATH",
    )
    flags.add_papers(parser, "--also", "clients'")
    settings = parser.parse_args(argv)
    socket = Path(settings.remote.removeprefix("unix:"))
    server = Server(settings.dir, settings.also, socket, flags.papers(parser, settings, "--also"))
    server.start()
    LOG.info("store serves remote=%s", server.remote)
    ended = threading.Event()
    try:
        while server.pid:
            ended.wait(_LOOK)
            server.renew()
    finally:
        server.stop()
    LOG.error("ovsdb-server ended by itself: see %s", settings.dir)
    return 1
