"""`ringfenced services`: names and metadata for the ports of one hypervisor.

Place: a unit of its own, one for each hypervisor, so that neither a restart of the agent nor its absence ends
an answer. Must not listen on this host: its sockets lie at the far end of a wire into br-int.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import signal
import sys
from argparse import ArgumentTypeError
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from controller.services.serving import Serving, Settings
from model.addresses import Address
from services.naming.directory import open_directory

_DNS: Final = 53
_SWITCH: Final = 0.001
"""Seconds for which the thread that reads the agent's file may hold up the one that answers (Python's own:
0.005)."""


def run(argv: Sequence[str]) -> int:
    """Until terminated."""
    settings = parse(argv)
    sys.setswitchinterval(_SWITCH)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a port has few connections, all of them many
    asyncio.run(_serve(settings))
    return 0


async def _serve(settings: Settings) -> None:
    work = asyncio.create_task(Serving(settings).run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, work.cancel)
    with suppress(asyncio.CancelledError):
        await work


def parse(argv: Sequence[str]) -> Settings:
    """What the flags say."""
    parser = argparse.ArgumentParser(
        prog="ringfenced services",
        description="Answers the ports of one hypervisor that ask for names and metadata.",
    )
    parser.add_argument(
        "--state",
        type=Path,
        default=Path("/var/lib/ringfence/agent"),
        help="the agent's directory, whose last snapshot says who may ask (default %(default)s)",
    )
    parser.add_argument("--ovs-rundir", type=Path, default=Path("/run/openvswitch"))
    parser.add_argument("--bridge", default="br-int")
    parser.add_argument(
        "--suffix",
        type=_suffix,
        default="internal",
        help="names end in TENANT.SUFFIX, the same in the whole cluster (default %(default)s)",
    )
    parser.add_argument(
        "--resolver",
        action="append",
        type=_resolver,
        default=[],
        metavar="ADDRESS[@PORT]",
        help="asked for names outside, from this host; repeat for more (default: none, and they are refused)",
    )
    parser.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="counters in Prometheus's format, for a textfile collector",
    )
    given = parser.parse_args(argv)
    return Settings(
        state=given.state,
        rundir=given.ovs_rundir,
        bridge=given.bridge,
        suffix=given.suffix,
        resolvers=tuple(given.resolver),
        metrics=given.metrics,
    )


def _suffix(text: str) -> str:
    try:
        open_directory(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from error
    return text


def _resolver(text: str) -> tuple[Address, int]:
    place, _, port = text.partition("@")
    try:
        number = int(port) if port else _DNS
        address = ip_address(place)
    except ValueError as error:
        raise ArgumentTypeError(f"{text!r}: write an address, or ADDRESS@PORT") from error
    if not 0 < number < 1 << 16:
        raise ArgumentTypeError(f"{text!r}: no such port")
    return address, number
