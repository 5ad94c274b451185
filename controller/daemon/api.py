"""`ringfenced api`: flags to settings, then serve.

Place: a unit of its own; stateless but for the ledger's database. Must not listen on TCP, but for uploads.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

from controller.api.serve import run as serve
from controller.api.settings import Settings, Uploads
from controller.daemon import flags


def run(argv: Sequence[str]) -> int:
    """Until terminated."""
    usual = Settings()
    parser = argparse.ArgumentParser(prog="ringfenced api", description=__doc__.splitlines()[0])
    flags.add_store(parser)
    parser.add_argument("--listen", default=f"unix:{usual.socket}", help="unix:PATH")
    parser.add_argument("--group", default=usual.group, help="group that may use the socket, if it exists")
    parser.add_argument("--ledger", default=usual.ledger, help="SQLAlchemy URL of the ledger")
    flags.add_ledger(parser)
    parser.add_argument("--asn", type=int, default=usual.asn, help="AS number of the cluster (new clusters)")
    parser.add_argument("--reflector", action="append", type=ip_address, default=[], help="repeat for more")
    parser.add_argument("--site", type=int, default=usual.site, help="part of every allocated MAC, 0..65535")
    flags.add_policy(parser)
    parser.add_argument(
        "--uploads",
        type=flags.place,
        metavar="tls:ADDRESS:PORT",
        help="where agents on other hosts post egress records; nothing else is answered (default: nowhere)",
    )
    flags.add_papers(parser, "--uploads", "agents'")
    parser.add_argument(
        "--uploads-crl",
        type=Path,
        metavar="FILE",
        help="a list in PEM, of that authority, of certificates that it took back",
    )
    given = parser.parse_args(argv)
    papers = flags.papers(parser, given, "--uploads")
    if (given.uploads is None) != (papers is None) or (given.uploads_crl and papers is None):
        parser.error("--uploads, --uploads-cert, --uploads-key and --uploads-ca go together")
    if papers is not None:
        papers = replace(papers, revoked=given.uploads_crl)
    serve(
        Settings(
            store=given.store,
            caller=flags.caller(parser, given),
            socket=Path(given.listen.removeprefix("unix:")),
            group=given.group,
            ledger=given.ledger,
            keep_days=given.keep_intervals,
            uploads=None if papers is None else Uploads(given.uploads, papers),
            asn=given.asn,
            reflectors=tuple(given.reflector),
            site=given.site,
            policy=flags.policy(given),
        )
    )
    return 0
