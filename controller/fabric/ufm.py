"""UFM: how `ringfenced fabric --driver ufm` reaches NVIDIA UFM Enterprise; its flags.

Place: beside `drivers`, which lists it. Must not take a secret from the command line, where every user of the
host can read it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ipam.fabric import credential
from ipam.fabric.diagnostics import Diagnostics
from ipam.fabric.https import Server, parse_address, parse_pin, trust
from ipam.fabric.opensm import Clock
from ipam.fabric.ufm import Ufm
from model.errors import Fault, Invalid
from model.fabric import Fabric, FabricKind


def declare(parser: argparse.ArgumentParser) -> None:
    """Flags of the driver `ufm`."""
    group = parser.add_argument_group("driver ufm", "NVIDIA UFM Enterprise, by its REST API")
    group.add_argument("--ufm", default="", metavar="URL", help="where it answers: https://HOST[:PORT]")
    group.add_argument(
        "--ufm-credential",
        type=Path,
        metavar="FILE",
        help="one line: `basic USER:PASSWORD` or `token TOKEN`; mode 0600; read again before each round",
    )
    group.add_argument(
        "--ufm-authorities",
        type=Path,
        metavar="FILE",
        help="certificates, in PEM, that may have signed its own (default: the system's)",
    )
    group.add_argument(
        "--ufm-pin", default="", metavar="SHA256", help="its certificate must have this fingerprint besides"
    )
    group.add_argument(
        "--ufm-evidence",
        choices=("ports", "ufm"),
        default="ports",
        help="what shows who is a member: each port's table, asked from this host (default), or UFM's word",
    )
    group.add_argument(
        "--ufm-plain", action="store_true", help="allow http:// to a loopback address, for tests"
    )
    group.add_argument(
        "--ufm-timeout",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="for one request (default %(default)g)",
    )


def driver(given: argparse.Namespace, diagnostics: Diagnostics) -> Ufm:
    """Invalid: what it can't begin with; a server that does not answer yet is no such thing."""
    if not given.ufm or given.ufm_credential is None:
        message = "driver ufm needs --ufm and --ufm-credential"
        raise Invalid(Fault("ringfenced fabric", "ufm-missing", message, "Name its address and the file."))
    if not 0 < given.ufm_timeout <= 600:
        message = f"--ufm-timeout {given.ufm_timeout:g} can't be"
        raise Invalid(Fault("ringfenced fabric", "ufm-timeout", message, "Give seconds, up to 600."))
    if not given.manager:
        message = "driver ufm needs --manager"
        remedy = "Name the port GUIDs that UFM and its standby manage the subnet from."
        raise Invalid(Fault("ringfenced fabric", "manager-missing", message, remedy))
    address = parse_address(given.ufm, plain=given.ufm_plain)
    credential.read(given.ufm_credential)
    server = Server(
        address,
        None if address.plain else trust(given.ufm_authorities),
        parse_pin(given.ufm_pin) if given.ufm_pin else "",
        given.ufm_timeout,
    )
    # Without spaces nothing is its own: it learns them from the store before its first round.
    fabric = Fabric(given.fabric, FabricKind.INFINIBAND, ())
    ports = diagnostics if given.ufm_evidence == "ports" else None
    clock = Clock(time.monotonic, time.sleep)
    return Ufm(server, given.ufm_credential, fabric, tuple(sorted(set(given.manager))), ports, clock)
