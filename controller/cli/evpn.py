"""`ringfence evpn`: routes that hosts refused, with the reason, and routes that they use.

Place: a command; from the hosts' own reports. Must not judge routes.
"""

from __future__ import annotations

import argparse
from typing import Any

from controller.cli.commands import OK
from controller.cli.session import Session

Value = dict[str, Any]


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "rejected: routes that the guard of a host refused, and why. routes: routes in use; large "
        "hosts report a sample."
    )
    parser.epilog = "examples:\n  ringfence evpn rejected\n  ringfence evpn routes --host hv1 -o json"
    parser.add_argument("what", choices=("rejected", "routes"))
    parser.add_argument("--host", metavar="HOST", help="of this host only")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0; 1 if the host never reported."""
    query = {"host": arguments.host} if arguments.host else None
    value = session.api.get(f"/v1/evpn/{arguments.what}", query)
    heads, row = _REJECTED if arguments.what == "rejected" else _ROUTES
    session.show(value, lambda each: _print(session, heads, [row(item) for item in each["items"]]))
    return OK


def _print(session: Session, heads: tuple[str, ...], rows: list[list[str]]) -> None:
    if rows:
        session.table("", heads, rows)
    else:
        session.note("none")


def _rejected(item: Value) -> list[str]:
    return [item["host"], item["peer"], item["route"], item["reason"]]


def _route(item: Value) -> list[str]:
    return [
        item["host"],
        item["kind"],
        item["network"],
        item["mac"] or "-",
        " ".join(item["addresses"]) or "-",
        item["vtep"],
        str(item["sequence"]),
        item["port"] or "-",
    ]


_REJECTED = (("host", "peer", "route", "reason"), _rejected)
_ROUTES = (("host", "kind", "network", "mac", "addresses", "vtep", "sequence", "port"), _route)
