"""`ringfenced fabric`: moves the gangs of one fabric on, and holds its partitions.

Place: a unit of its own, one for each fabric, on the host of the subnet manager (driver opensm) or anywhere.
Stopping it leaves fabric and devices as they are. Must not listen anywhere.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import math
import os
import signal
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from controller.daemon import flags
from controller.fabric.bell import Bell
from controller.fabric.conductor import PATIENCE, Conductor, Duty
from controller.fabric.drivers import DRIVERS, Ready, guid
from controller.fabric.office import Office
from controller.fabric.process import conduct
from controller.store.wire import Connection
from controller.store.writer import Store, clock
from model.errors import Conflict, Fault

LOG: Final = logging.getLogger(__name__)


def run(argv: Sequence[str]) -> int:
    """Until terminated."""
    given = _parse(argv)
    kind = next(each for each in DRIVERS if each.name == given.driver)
    ready = kind.ready(given)
    # Whoever has the lock knows that there is no earlier life of it any more.
    owner = f"{socket.gethostname()}:{ready.lock or os.getpid()}"
    with _alone(ready.lock):
        if given.caller is not None:
            given.caller.check()
        store = Store(given.store, connect=partial(Connection, caller=given.caller))
        try:
            _conduct(store, given, ready, owner)
        finally:
            store.close()
    return 0


def _conduct(store: Store, given: argparse.Namespace, ready: Ready, owner: str) -> None:
    office = Office(store, given.fabric, owner, clock, time.monotonic)
    duty = Duty(given.fabric, given.driver, ready.managers, given.patience, ready.inherited, ready.standing)
    for fault in ready.standing:
        LOG.warning("fabric=%s %s: %s: %s", given.fabric, fault.rule, fault.path, fault.message)
    LOG.info("fabric=%s driver=%s store=%s", given.fabric, given.driver, given.store)
    conductor = Conductor(store, office, ready.driver, duty, clock, time.monotonic)
    bell = Bell()
    # A round is finished first: in the middle of one, ports may be out of their partitions for a moment.
    signal.signal(signal.SIGTERM, lambda *_: bell.ring())
    try:
        conduct(conductor, office, bell)
    finally:
        LOG.info("fabric=%s stopped", given.fabric)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="ringfenced fabric", description=__doc__.splitlines()[0])
    parser.add_argument("--fabric", required=True, metavar="NAME", help="the fabric, as it is declared")
    parser.add_argument(
        "--driver",
        required=True,
        choices=[kind.name for kind in DRIVERS],
        help="what holds its partitions; none: a fabric of RoCE, which has none",
    )
    flags.add_store(parser)
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="for each step of a gang; what is not through by then fails and is undone (default %(default)g)",
    )
    parser.add_argument(
        "--manager",
        action="append",
        type=guid,
        default=[],
        metavar="GUID",
        help="port of a subnet manager that there may be; repeat for more",
    )
    for kind in DRIVERS:
        kind.declare(parser)
    given = parser.parse_args(argv)
    given.caller = flags.caller(parser, given)
    if not 0 < given.patience < math.inf:
        parser.error(f"--patience {given.patience}: write seconds, more than 0")
    return given


@contextmanager
def _alone(lock: Path | None) -> Iterator[None]:
    """Raises Conflict if another process of this host drives the same thing."""
    if lock is None:
        yield
        return
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        message = "another process drives this fabric"
        raise Conflict(Fault(str(lock), "fabric-driven", message, "Stop one of the two.")) from error
    else:
        yield
    finally:
        os.close(descriptor)
