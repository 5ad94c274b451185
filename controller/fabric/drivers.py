"""Drivers: how `ringfenced fabric` reaches what holds a fabric's partitions; each with flags of its own.

Place: read by `controller.daemon.fabric`. Must not reach anything before `ready` is called.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controller.fabric import ufm
from ipam.fabric.diagnostics import Diagnostics
from ipam.fabric.hold import Hold, Idle
from ipam.fabric.laws import faults, settings
from ipam.fabric.opensm import Clock, OpenSm
from ipam.fabric.partitions import Partitions
from ipam.fabric.publish import observe
from model.errors import Fault, Invalid
from model.fabric import Guid, parse_guid

_MOST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Ready:
    """`inherited`: what the fabric was last told to hold, None = not known. `standing`: alarms that last as
    long as the process. `lock`: a file of which no two processes may drive the fabric at once.
    """

    driver: Hold
    managers: tuple[Guid, ...] = ()
    inherited: Partitions | None = None
    standing: tuple[Fault, ...] = ()
    lock: Path | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A driver by name. `declare` adds its flags; `ready` raises Invalid for what it can't begin with."""

    name: str
    declare: Callable[[argparse.ArgumentParser], None]
    ready: Callable[[argparse.Namespace], Ready]


def declare_opensm(parser: argparse.ArgumentParser) -> None:
    """Flags of the driver `opensm`."""
    group = parser.add_argument_group("driver opensm", "OpenSM on this host")
    group.add_argument(
        "--partitions", type=Path, default=Path("/etc/opensm/partitions.conf"), help="its partitions file"
    )
    group.add_argument(
        "--pid-file", type=Path, default=Path("/run/opensm.pid"), help="file with its process id"
    )
    group.add_argument(
        "--conf", type=Path, default=Path("/etc/opensm/opensm.conf"), help="its settings, which are checked"
    )
    group.add_argument(
        "--open-settings",
        choices=("refuse", "alarm"),
        default="refuse",
        help="what to do if a setting opens the fabric: not begin (default), or only raise an alarm",
    )
    group.add_argument("--port", type=guid, metavar="GUID", help="the port that it runs on")
    asking = parser.add_argument_group("drivers opensm and ufm", "how ports are asked for their tables")
    asking.add_argument("--ca", metavar="NAME", help="local device to ask with, such as mlx5_0")
    asking.add_argument("--ca-port", type=int, metavar="N", help="port of that device")


def ready_opensm(given: argparse.Namespace) -> Ready:
    """Invalid if it has no port, or a setting opens the fabric."""
    if given.port is None:
        raise Invalid(
            Fault(
                "ringfenced fabric", "port-missing", "driver opensm needs --port", "Name OpenSM's port GUID."
            )
        )
    wrong = _open_settings(given.conf, given.partitions)
    if wrong and given.open_settings == "refuse":
        raise Invalid(*wrong)
    managers = tuple(sorted({given.port, *given.manager}))
    driver = OpenSm(
        given.partitions,
        given.pid_file,
        given.port,
        managers,
        _diagnostics(given),
        Clock(time.monotonic, time.sleep),
    )
    lock = given.partitions.with_name(given.partitions.name + ".lock")
    return Ready(driver, managers, observe(given.partitions), wrong, lock)


def ready_ufm(given: argparse.Namespace) -> Ready:
    """Invalid for an address, a credential or a certificate that can't be."""
    made = ufm.driver(given, _diagnostics(given))
    return Ready(made, made.allowed)


def ready_none(_: argparse.Namespace) -> Ready:
    """Nothing to reach."""
    return Ready(Idle())


def _open_settings(conf: Path, partitions: Path) -> tuple[Fault, ...]:
    try:
        with conf.open("rb") as file:
            text = file.read(_MOST).decode("ascii", "replace")
    except OSError as error:
        message = f"{conf} can't be read: {error.strerror or error}"
        remedy = "Name OpenSM's settings with --conf; its own defaults open a fabric."
        return (Fault("opensm.conf", "opensm-unread", message, remedy),)
    return faults(settings(text), os.fspath(partitions))


def _diagnostics(given: argparse.Namespace) -> Diagnostics:
    device: tuple[str, ...] = ("-C", given.ca) if given.ca else ()
    device += ("-P", str(given.ca_port)) if given.ca_port is not None else ()
    return Diagnostics(device)


def guid(text: str) -> Guid:
    """A flag's value; what it can't be is told in its own words."""
    try:
        return parse_guid(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r}: {error}") from error


DRIVERS: Final[tuple[Kind, ...]] = (
    Kind("opensm", declare_opensm, ready_opensm),
    Kind("ufm", ufm.declare, ready_ufm),
    Kind("none", lambda _: None, ready_none),
)
