"""`ringfence drift`: what the hosts' audits found changed in their switch, and what they did about it.

Place: a command; from the hosts' own reports. Must not judge what a flow is for.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from controller.cli.commands import OK
from controller.cli.session import Session

Value = dict[str, Any]
_HEADS = ("time (UTC)", "host", "finding", "action", "packets", "flow")
_COUNTS = ("host", "audits", "missing", "wrong", "orphans", "alien")
_LATEST_MS = 253_402_300_799_999
"""End of the year 9999: a host may report any number as its time."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Arguments, help and examples."""
    parser.description = (
        "Every host compares its switch with what it programmed, at intervals, and mends what differs: puts "
        "what is missing or wrong, deletes orphans (flows with our mark that nobody wants). Flows without "
        "our mark (alien) are counted and left alone. Shown are the last receipts of each host, oldest "
        "first, also those from before a restart of its agent, with the packets that the wrong or orphan "
        "flow had counted when found; above them the counts since its agent started. JSON has bytes "
        "(octets), too."
    )
    parser.epilog = "examples:\n  ringfence drift\n  ringfence drift --host hv1 -o json"
    parser.add_argument("--host", metavar="HOST", help="of this host only")


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0, found or not; 1 if the host never reported."""
    query = {"host": arguments.host} if arguments.host else None
    session.show(session.api.get("/v1/drift", query), lambda value: _print(session, value))
    return OK


def _print(session: Session, value: Value) -> None:
    if value["counts"]:
        rows = [[str(each[head]) for head in _COUNTS] for each in value["counts"]]
        session.table("flows since the agent started", _COUNTS, rows)
        session.line("")
    if value["items"]:
        session.table("receipts", _HEADS, [_row(item) for item in value["items"]])
    else:
        session.note("no receipts")


def _row(item: Value) -> list[str]:
    return [
        moment(item["atMs"]),
        item["host"],
        item["finding"],
        item["action"],
        str(item["packets"]),
        item["flow"],
    ]


def moment(at_ms: int) -> str:
    """Unix milliseconds as UTC, to the millisecond."""
    shown = datetime.fromtimestamp(min(at_ms, _LATEST_MS) // 1000, UTC)
    return f"{shown:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}"
