"""`ringfenced api`: flags to settings, then serve.

Place: a unit of its own; stateless but for the ledger's database. Must not listen on TCP.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from controller.api.serve import run as serve
from controller.api.settings import Settings
from model.intent import Guard, Policy

_NUMBERS: Final = (
    ("--peer-routes", "EVPN routes that a host keeps of a BGP peer, at most (default 200000)"),
    ("--tenant-routes", "MACs, addresses and prefixes of a tenant that a host keeps (default 50000)"),
    (
        "--mac-moves",
        "so many moves within --mac-window: a MAC is held where it was; 0 = never (default 5)",
    ),
    ("--mac-window", "seconds (default 180)"),
)


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number < 1 << 32:
        raise ValueError(text)
    return number


def run(argv: Sequence[str]) -> int:
    """Until terminated."""
    usual = Settings()
    parser = argparse.ArgumentParser(prog="ringfenced api", description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=usual.store, help="remote of the store (unix:PATH, or a list)")
    parser.add_argument("--listen", default=f"unix:{usual.socket}", help="unix:PATH")
    parser.add_argument("--group", default=usual.group, help="group that may use the socket, if it exists")
    parser.add_argument("--ledger", default=usual.ledger, help="SQLAlchemy URL of the ledger")
    parser.add_argument("--asn", type=int, default=usual.asn, help="AS number of the cluster (new clusters)")
    parser.add_argument("--reflector", action="append", type=ip_address, default=[], help="repeat for more")
    parser.add_argument("--site", type=int, default=usual.site, help="part of every allocated MAC, 0..65535")
    parser.add_argument(
        "--guard",
        type=Guard,
        choices=list(Guard),
        default=Guard.ENFORCE,
        metavar="enforce|count",
        help="EVPN routes without a declaration: refuse them, or use and list them (default enforce)",
    )
    for name, words in _NUMBERS:
        parser.add_argument(name, type=_count, metavar="N", help=words)
    given = parser.parse_args(argv)
    serve(
        Settings(
            store=given.store,
            socket=Path(given.listen.removeprefix("unix:")),
            group=given.group,
            ledger=given.ledger,
            asn=given.asn,
            reflectors=tuple(given.reflector),
            site=given.site,
            policy=Policy(
                given.guard, given.peer_routes, given.tenant_routes, given.mac_moves, given.mac_window
            ),
        )
    )
    return 0
