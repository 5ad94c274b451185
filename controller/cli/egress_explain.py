"""`ringfence egress explain`: what a figure of a report is made of, down to flows and single intervals.

Place: GET /v1/usage/explain, and its intervals by pages. Must not add up but to compare what pages brought.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from controller.cli import egress_parts
from controller.cli.client import Wrong
from controller.cli.commands import OK, REFUSED
from controller.cli.egress_times import iso, milliseconds_of, parse_time

if TYPE_CHECKING:
    from controller.cli.session import Session

Value = dict[str, Any]
FORMS: Final = ("table", "json")
PAGE: Final = 5_000
_SHOWN: Final = 50
"""Single intervals in a table."""


def declare(parser: argparse.ArgumentParser) -> None:
    """Options of the action."""
    parser.description = (
        "A row of a report, and what it is made of: hosts, flows with their cookies and counters, header "
        "corrections, data paths, gaps, what was refused, what may still come. Says whether the parts add up "
        "to the figure: exit code 0 if they do, 1 if not. -o json holds every single interval."
    )
    parser.epilog = (
        "examples:\n  ringfence egress explain --tenant blue --from 2026-11-01 --to 2026-12-01\n"
        "  ringfence egress explain --tenant blue --port web --class storage --from -1d\n"
        "  ringfence egress explain --tenant blue --host hv1 --from -1h --intervals\n"
        "  ringfence egress explain --tenant blue --port web --from -1h -o json"
    )
    parser.add_argument("--tenant", metavar="T", help="the tenant's name or uid (default: all tenants)")
    parser.add_argument("--from", dest="start", default="today", metavar="TIME", help="default: today")
    parser.add_argument("--to", dest="end", default="now", metavar="TIME", help="default: now")
    for name in ("network", "port", "class", "host"):
        parser.add_argument(f"--{name}", metavar="NAME", help=f"the row of this {name}, as a report names it")
    parser.add_argument(
        "--direction", choices=("out", "in"), default="out", help="what ports sent, or got (default: out)"
    )
    parser.add_argument("--intervals", action="store_true", help=f"list the first {_SHOWN} intervals, too")
    parser.add_argument(
        "-n", "--limit", metavar="N", type=int, default=20, help="flows to list, the largest first (20)"
    )


def run(arguments: argparse.Namespace, session: Session) -> int:
    """0: the parts are the figure; 1: they are not."""
    query = _question(arguments)
    if not 1 <= arguments.limit <= 5_000:
        raise Wrong("-n is a number of flows from 1 to 5000")
    if session.form == "json":
        return _print_json(query, session)
    found = session.api.get("/v1/usage/explain", query | {"limit": arguments.limit})
    egress_parts.show(found, session)
    if arguments.intervals:
        page = session.api.get("/v1/usage/explain/intervals", query | {"limit": _SHOWN})
        egress_parts.show_intervals(page, session)
    egress_parts.judge(found, session)
    return OK if found["exact"] else REFUSED


def _question(arguments: argparse.Namespace) -> Value:
    now = datetime.now(UTC)
    start, end = parse_time(arguments.start, now), parse_time(arguments.end, now)
    if arguments.end == "now":
        # Half open: what ended in this very millisecond belongs to a report up to now.
        end += timedelta(milliseconds=1)
    if start >= end:
        raise Wrong(f"--from {arguments.start} ({iso(start)}) is not before --to ({iso(end)})")
    query: Value = {
        "from": milliseconds_of(start),
        "to": milliseconds_of(end),
        "direction": arguments.direction,
    }
    named = {name: vars(arguments)[name] for name in ("tenant", "network", "port", "class", "host")}
    return query | {name: value for name, value in named.items() if value is not None}


def _print_json(query: Value, session: Session) -> int:
    """The answer with all flows that it lists, then every interval, page by page: there may be millions."""
    found = session.api.get("/v1/usage/explain", query | {"limit": 5_000})
    text = json.dumps(found, indent=2)
    session.out.write(text[: text.rindex("}")].rstrip() + ',\n  "intervals": [')
    sums = {"packets": 0, "bytes": 0, "intervals": 0}
    for place, row in enumerate(_intervals(query, session)):
        session.out.write(("," if place else "") + "\n    " + json.dumps(row))
        sums["packets"] += row["packets"]
        sums["bytes"] += row["bytes"]
        sums["intervals"] += 1
    same = sums == found["parts"]["intervals"]
    session.out.write(f'\n  ],\n  "intervalsTogether": {json.dumps(sums)},\n')
    session.out.write(f'  "intervalsComplete": {json.dumps(same)}\n}}\n')
    if not same:
        session.note("the ledger changed while its intervals were read: ask again")
    return OK if found["exact"] and same else REFUSED


def _intervals(query: Value, session: Session) -> Iterator[Value]:
    after = ""
    while True:
        asked = query | {"limit": PAGE} | ({"after": after} if after else {})
        page = session.api.get("/v1/usage/explain/intervals", asked)
        yield from page["items"]
        if page["after"] is None:
            return
        after = page["after"]
